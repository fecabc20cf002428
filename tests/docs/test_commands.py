"""The commands of the pages exist, with the options that they are shown with."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md"))]
LINES = sorted(
    {
        line
        for page in PAGES
        for block in re.findall(r"(?sm)^```console\n(.*?)^```", page.read_text("utf-8"))
        for line in re.findall(r"(?m)^\$ (.*?)(?: {2,}#.*)?$", block.replace("\\\n", ""))
    }
)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
# Those that tell something, in no time, and change nothing.
CHEAP = ("python -m krea_aleph.contract", "python -m krea_aleph.emulator --list-quirks")


@cache
def _help(*program: str) -> str:
    command = [sys.executable, *program, "--help"]
    return subprocess.check_output(command, text=True, cwd=ROOT)


def _options(line: str) -> list[str]:
    return [word for word in shlex.split(line) if word.startswith("--")]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python -m krea")])
def test_programs_of_the_library_take_what_is_shown(line: str) -> None:
    """Each option is one that the program's own help lists."""
    _, module, name, *words = shlex.split(line)
    verbs = [words[0]] if words and not words[0].startswith("-") else []
    told = _help(module, name, *verbs)
    assert not [option for option in _options(line) if option not in told]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("krea-aleph ")])
def test_the_command_takes_what_is_shown(line: str) -> None:
    """Each option of `krea-aleph` is one that the help of its command lists."""
    _, verb, *_ = shlex.split(line.partition("|")[0])
    told = _help("-c", "from krea_aleph.cli import main; main()", verb)
    assert not [option for option in _options(line.partition("|")[0]) if option not in told]


@pytest.mark.parametrize("line", CHEAP)
def test_cheap_ones_run(line: str) -> None:
    """They stand on a page, and say something."""
    assert line in LINES
    _, *words = shlex.split(line)
    assert subprocess.check_output([sys.executable, *words], text=True, cwd=ROOT)


@pytest.mark.parametrize("line", [line for line in LINES if re.search(r"scripts/\w|\.ci/", line)])
def test_scripts_take_what_is_shown(line: str) -> None:
    """Each script is there and knows the options, in its own text or in that of its package."""
    (script,) = re.findall(r"(?:^| )((?:scripts|\.ci)/[\w/.]+)", line)
    packages = {"regenerate": "codegen", "release": "releasing", "update": "updating"}
    package = packages.get(Path(script).name, "?")
    sources = [ROOT / script, *(ROOT / "scripts" / package).glob("*.py")]
    known = "".join(path.read_text("utf-8") for path in sources)
    assert not [option for option in _options(line) if f'"{option}"' not in known]


def test_extras_exist() -> None:
    """Whatever is said to be installed with [extra] can be."""
    named = {
        extra
        for page in PAGES
        for extras in re.findall(r"(?:krea-aleph|'\.)\[([\w,]+)\]", page.read_text("utf-8"))
        for extra in extras.split(",")
    }
    assert named
    assert named <= set(EXTRAS)


def test_every_command_of_ours_is_looked_at() -> None:
    """Nobody shows a program of this project that no test here knows."""
    programs = re.compile(r"python -m krea|krea-aleph |(?:.* )?(?:scripts|\.ci|docs)/\w")
    others = re.compile(r'(?:pip|pipx|uv|uvx|gh|"\$\{EDITOR:-vi\}") ')
    named = [line for line in LINES if re.search(r"krea[-_]aleph|scripts/|\.ci/", line)]
    assert len(named) > 10
    assert not [line for line in named if not (programs.match(line) or others.match(line))]


def test_files_that_are_shown_exist() -> None:
    """A command that begins with a path of this checkout names a file that is there."""
    paths = {
        path for line in LINES for path in re.findall(r"(?:^| )((?:docs|scripts)/[\w./-]+)", line)
    }
    assert not [path for path in paths if not (ROOT / path).is_file()]
