"""Bad weather: whole transforms in which things go wrong at random, and what must hold after each.

Everything in a run follows from its seed. One seed is played again, with all that happened, by:

    PYTHONPATH=tests/support .venv/bin/python -m weather SEED

and the page docs/reliability.md is written by the long run itself:

    PYTHONPATH=tests/support .venv/bin/python -m weather --runs 10000 --write

`stage` has the servers, `scene` one run's dice and circumstances, `kinds` what can go wrong,
`customer` somebody who follows the library's advice, `checks` what must hold, `play` one run.
"""
