"""What the long runs have shown, kept as data, and the page that tells it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from checkouts import ROOT
from weather.every_kind import KINDS
from weather.play import Run

RESULTS: Final = ROOT / "tests/weather/results.json"
PAGE: Final = ROOT / "docs/reliability.md"
KILL_COLUMNS: Final = ("killed", "lived", "lost", "doubled", "wrong")
_COUNTS: Final = ("tried", "at_once", "later", "refused", "lost", "doubled")

Counts: TypeAlias = dict[str, dict[str, int]]
"""By kind of weather, "" being all of them: how many runs ended in which way."""


def tally(runs: Iterable[Run]) -> Counts:
    """Count what came of runs by kind of weather; "" counts every run."""
    counts: Counts = {}
    for run in runs:
        for name in ["", *run.kinds]:
            count = counts.setdefault(name, dict.fromkeys(_COUNTS, 0))
            count["tried"] += 1
            ended = "at_once" if run.at_once else "later" if run.saved else "refused"
            count[ended] += 1
            count["lost"] += run.lost
            count["doubled"] += run.doubled
    return counts


def add(counts: Counts, more: Counts) -> None:
    """Add counts to counts."""
    for name, row in more.items():
        mine = counts.setdefault(name, dict.fromkeys(_COUNTS, 0))
        for column, number in row.items():
            mine[column] += number


def read() -> dict[str, Any]:
    """Return the results that are kept."""
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return found


def write(section: str, facts: Mapping[str, Any]) -> None:
    """Keep the results of one suite, with where and when they were had, and write the page."""
    results = read()
    day = datetime.now(UTC).date().isoformat()
    results[section] = {"commit": _commit(), "date": day, **facts}
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", "utf-8")
    PAGE.write_text(page(results), "utf-8")


def _commit() -> str:
    git = ["git", "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def page(results: Mapping[str, Any]) -> str:
    """Return the page."""
    parts = [_INTRODUCTION, _transforms(results), _kills(results), _inputs(results), _AGAIN]
    return "\n".join(parts)


def _transforms(results: Mapping[str, Any]) -> str:
    section = results.get("transforms")
    if section is None:
        return "Not played yet.\n"
    counts = section["counts"]
    rows = [
        [kind.name, kind.sees, *_numbers(counts.get(kind.name, {}), _COUNTS)]
        for kind in KINDS.values()
    ]
    rows.append(["**all runs**", "", *(f"**{n}**" for n in _numbers(counts[""], _COUNTS))])
    return f"{_told_of(section, counts[''])}\n\n{_table(_HEAD, rows, words=2)}\n"


def _told_of(section: Mapping[str, Any], row: Mapping[str, int]) -> str:
    happened = sum(bool(name) for name in section["counts"])
    return (
        f"{row['tried']:,} runs in which {happened} kinds of things went wrong,\n"
        f"{_source(section)}.\n"
        "No run ended with a wrong file, an error of another library, a leaked task, thread,\n"
        "socket or file, a warning, or the key in what was shown or written."
    )


def _source(section: Mapping[str, Any]) -> str:
    first, last = section["seeds"]
    return f"seeds {first} to {last}, on {section['date']} at commit `{section['commit']}`"


def _numbers(row: Mapping[str, int], columns: Sequence[str]) -> list[str]:
    return [f"{row.get(column, 0):,}" for column in columns]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> str:
    """Write a table whose first columns are words and whose others are numbers."""
    marks = ["---"] * words + ["--:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, marks, *rows])


_HEAD: Final = (
    *("what goes wrong", "what you see", "tried", "file at once", "file later"),
    *("refused for good", "jobs lost", "jobs paid twice"),
)


def _kills(results: Mapping[str, Any]) -> str:
    section = results.get("kills")
    if section is None:
        return f"{_KILLING}\nNot played yet.\n"
    rows = [[name, *(f"{number:,}" for number in row)] for name, row in section["counts"].items()]
    head = ("program", "killed", "got through first", "jobs lost", "jobs paid twice", "wrong files")
    return f"{_KILLING}\n{_source(section).capitalize()}.\n\n{_table(head, rows, words=1)}\n"


def _inputs(results: Mapping[str, Any]) -> str:
    section = results.get("inputs")
    if section is None:
        return f"{_ANSWERS}\nNot played yet.\n"
    where = f"on {section['date']} at commit `{section['commit']}`, seed {section['seed']}"
    return f"{_ANSWERS}\n{section['count']:,} of each, {where}: none broke out.\n"


_KILLING: Final = """\
## Killed processes

Real processes that submit under an intent with an `SQLiteStore`, or download, are killed with
`kill -9`: at a random moment, at a random line of the library, or by the server just after it has
accepted the job. Some submit the same intent in two processes at once, of which one is killed. Then
the same program is run again until it is through.
"""

_ANSWERS: Final = """\
## Answers and webhooks of every kind

Generated answers are read as every reader in the library does: damaged, cut, deep, of another
shape, or no JSON at all. Each becomes a value, or a typed error that pickles and whose message is
one line. Generated webhooks reach a receiver in each way that it can be mounted, on genuine, aged
and forged addresses: only genuine ones are heard, of a body only a job's id is taken, and what is
wrong is refused.
"""

_INTRODUCTION: Final = """\
# What happens when things go wrong

Jobs cost money, take minutes to hours, and run over networks that fail. This page says what each
fault does to a call of `transform`, and how often that was tried. It is written by the tests
themselves; nobody has edited the figures.

A run makes one to three wishes with a client of one colour (`Aleph`, or `AsyncAleph` on asyncio or
trio), with or without a `store`, on a shared or an exclusive account, with or without a
`WebhookReceiver`, with uploads that are shared, kept or deleted, against a local emulation of Krea
over real sockets. One to four things go wrong. The customer then does what the library's error
says, and nothing else: waits again with the job's id, calls `recover`, decides with `adopt`, or
submits again where `resubmit` is "safe".

After each run it is looked at that files are whole or absent, that jobs are known and paid once,
that no status of a webhook's body was believed, that a lost submit was recovered where a webhook
on its own path had told of it, that uploads were deleted when they should be and not before, that
every error is one of the library's own and survives pickling, and that no task, thread, socket or
file is left. A run in which what was to go wrong did not come about does not count for it.

- **file at once**: every call brought its file in spite of the fault.
- **file later**: a typed error said what to do, doing so brought the file.
- **refused for good**: the error says that the same request will never succeed, as in moderation.
- **jobs lost**: paid jobs whose id nobody was told, and that no error announced.
- **jobs paid twice**: paid jobs beyond one for each wish, when the library's advice is followed.
"""

_AGAIN: Final = """\
## Try it yourself

One run, with all that happened in it, is played again by its seed; the second and third line play
many and write this page:

    PYTHONPATH=tests/support .venv/bin/python -m weather SEED
    PYTHONPATH=tests/support .venv/bin/python -m weather --runs 10000 --write
    PYTHONPATH=tests/support .venv/bin/python -m weather --kills 300 --write
    PYTHONPATH=tests/support .venv/bin/python -m weather --inputs 200000 --write

`scripts/test` plays 120 runs, kills one program of each sort, and reads some thousand answers and
webhooks; `scripts/test --long` does all of it.

Runs are drawn by a seed and not by hypothesis, because they are counted, are many, and take their
interruptions from real time and real signals, which a shrinker cannot repeat. Beside them
`tests/weather/test_machine.py` is a state machine of hypothesis: it does the public verbs of one
client in any order, with faults, crashes and restarts in between, and shows what fails in the
fewest steps.
"""
