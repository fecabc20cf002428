"""Make the project's environments and run the scripts in them.

Every script starts with ``bootstrap.enter()``. With nothing but Python and this checkout it makes
``.venv`` from the hashed lock, installs the project into it in editable mode, and starts the
script again with that environment's Python. When all of that is in place it costs milliseconds.

Standard library only. This file and the scripts keep to a syntax that any Python 3.6 can read, so
that an old one says what is missing instead of failing on its own grammar.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, NoReturn, Optional, Sequence

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


class Environment(NamedTuple):
    """A virtual environment of this checkout; `editable` says that the project itself is in it."""

    folder: Path
    lock: Path
    editable: bool

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """The file that says what is installed."""
        return self.folder / "installed.json"

    @property
    def active(self) -> bool:
        """Whether this very process runs in it."""
        return Path(sys.prefix).resolve() == self.folder.resolve()


DEV = Environment(ROOT / ".venv", ROOT / "scripts/requirements/dev.txt", editable=True)
CODEGEN = Environment(
    ROOT / ".venv-codegen", ROOT / "scripts/codegen/requirements.txt", editable=False
)
DOCS = Environment(ROOT / ".venv-docs", ROOT / "scripts/requirements/docs.txt", editable=False)
LOCK = Environment(ROOT / ".venv-lock", ROOT / "scripts/requirements/lock.txt", editable=False)
AUDIT = Environment(ROOT / ".venv-audit", ROOT / "scripts/requirements/audit.txt", editable=False)


def enter(environment: Environment = DEV) -> None:
    """Go on only inside the environment: install what is missing, start the script again there."""
    python = ensure(environment)
    if not environment.active:
        os.execv(str(python), [str(python), *sys.argv])


def ensure(environment: Environment = DEV) -> Path:
    """Install what the environment's lock names, unless it is there already.

    Returns:
        The environment's interpreter.
    """
    need_modern_python()
    wanted = _fingerprint(environment)
    if _installed(environment) != wanted:
        with _locked(environment):
            have = _installed(environment)
            if have != wanted:
                _install(environment, have, wanted)
    return environment.python


def say(text: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(text, file=sys.stderr, flush=True)


def stop(text: str) -> NoReturn:
    """Give up with a message that says what to do."""
    say(text)
    raise SystemExit(1)


def _need_posix() -> None:
    if os.name != "posix":
        stop("The scripts run on Linux and macOS; on Windows use WSL.")


def need_modern_python() -> None:
    """Stop, or go on with a newer Python, where this one cannot run the scripts."""
    _need_posix()
    if sys.version_info >= OLDEST:
        return
    newer = _newer_python()
    if newer is None:
        stop(
            f"krea_aleph needs Python {_dotted(OLDEST)}; this is {_dotted(sys.version_info)}.\n"
            "Install a newer one (`apt-get install python3 python3-venv`, `brew install python`,\n"
            f"`uv python install`), then run `python3.NN {sys.argv[0]}`."
        )
    say(f"This Python is {_dotted(sys.version_info)}; going on with {newer}")
    os.execv(newer, [newer, *sys.argv])


def _dotted(version: Sequence[object]) -> str:
    return ".".join(str(number) for number in version[:2])


def _newer_python() -> Optional[str]:
    """Find an interpreter that is new enough and really starts."""
    names = [shutil.which(f"python3.{minor}") for minor in range(19, OLDEST[1] - 1, -1)]
    candidates = [name for name in names if name]
    if shutil.which("uv"):
        found = _output(["uv", "python", "find", f">={_dotted(OLDEST)}"])
        candidates += [found] if found else []
    probe = f"import sys; print(sys.version_info >= {OLDEST})"
    working = (name for name in candidates if _output([name, "-c", probe]) == "True")
    return next(working, None)


def _output(command: List[str]) -> str:
    """The first thing a program prints; empty if it fails."""
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _fingerprint(environment: Environment) -> Dict[str, str]:
    """What should be installed. A checkout that was moved needs new environments, too."""
    fingerprint = {"root": str(ROOT), "requirements": _sha256(environment.lock)}
    if environment.editable:
        fingerprint["project"] = _sha256(ROOT / "pyproject.toml", ROOT / "krea_aleph/_version.py")
    return fingerprint


def _sha256(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _installed(environment: Environment) -> Dict[str, str]:
    """What the stamp says is installed; empty when in doubt."""
    if not environment.python.exists():
        return {}
    try:
        return dict(json.loads(environment.stamp.read_text()))
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def _locked(environment: Environment) -> Iterator[None]:
    """Let one process at a time install into an environment."""
    import fcntl  # noqa: PLC0415 - after _need_posix, which explains its absence

    with Path(str(environment.folder) + ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another script that is installing {environment.folder.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(environment: Environment, have: Dict[str, str], wanted: Dict[str, str]) -> None:
    installer = _installer(environment)
    if have.get("root") != wanted["root"]:
        say(f"Making {environment.folder.name} (once; about a minute)")
        shutil.rmtree(str(environment.folder), ignore_errors=True)
        _run(installer.make)
        have = {}
    if environment.stamp.exists():
        environment.stamp.unlink()  # an interrupted installation starts over
    if have.get("requirements") != wanted["requirements"]:
        say(f"Installing {environment.lock.relative_to(ROOT)}")
        _run([*installer.install, "--require-hashes", "-r", str(environment.lock)])
    if environment.editable:
        say("Installing the project itself, editable")
        _run([*installer.install, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    environment.stamp.write_text(json.dumps(wanted))


class _Installer(NamedTuple):
    make: List[str]
    install: List[str]


def _installer(environment: Environment) -> _Installer:
    """Choose pip, which Python brings, or uv where a system package of Python's is missing."""
    folder, python = str(environment.folder), str(environment.python)
    try:
        import ensurepip  # noqa: F401, PLC0415 - whether it is there is the question
    except ImportError:
        if not shutil.which("uv"):
            stop(
                "This Python cannot make virtual environments: on Debian and Ubuntu run\n"
                f"`apt-get install python{_dotted(sys.version_info)}-venv`, or install uv."
            )
        make = ["uv", "venv", "--quiet", "--python", sys.executable, folder]
        return _Installer(make, ["uv", "pip", "install", "--quiet", "--python", python])
    make = [sys.executable, "-m", "venv", folder]
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return _Installer(make, [*pip, "--no-input"])


def _run(command: List[str]) -> None:
    """Run an installation step; show all it said only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        say(done.stdout.decode(errors="replace"))
        stop(f"This step failed: {' '.join(command)}")
