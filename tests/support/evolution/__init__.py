"""Each version of the library against each version of Krea: built, played and told on a page.

After a change that moves marks or the page on purpose, write both anew and read the difference:

    PYTHONPATH=tests/support .venv/bin/python -m evolution
"""
