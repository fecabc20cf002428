"""The command that looks for what may be wrong. It spends nothing and shows no key."""

from __future__ import annotations

import os
import platform
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from cyclopts import Parameter

from krea_aleph import __version__, contract
from krea_aleph.cli import stores
from krea_aleph.cli.exits import DONE, FAILED
from krea_aleph.cli.folders import problem_with
from krea_aleph.cli.params import Common, Keeping
from krea_aleph.cli.session import Session
from krea_aleph.errors import KreaError, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import httpx

    from krea_aleph import Aleph

State: TypeAlias = Literal["ok", "warn", "fail"]

_KNOWN_HOST: Final = "api.krea.ai"
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_PATIENCE: Final = 10.0
_MOST_SKEW: Final = 30.0
_OLD_DAYS: Final = 180
_LITTLE_BYTES: Final = 1_000_000_000
_OPEN: Final = ("posting", "unknown", "parked")
_EXTRA: Final = re.compile(r"""^([\w.-]+).*;.*extra\s*==\s*["']([\w-]+)["']""")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: its state, what was found, and what to do about it."""

    name: str
    state: State
    found: str
    advice: str = ""

    def line(self) -> str:
        """Return it as a line."""
        advice = f"  -> {self.advice}" if self.advice else ""
        return f"{self.state:<5} {self.name:<10} {self.found}{advice}"


def doctor(
    *,
    send_key: Annotated[
        bool, Parameter(help="Try the key even where the host is no well-known one.")
    ] = False,
    common: Common | None = None,
    keeping: Keeping | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> int:
    """Look for what may be wrong here, and say what to do about it.

    Nothing is submitted and no key is shown. Exit code 3 says that something fails; what is only
    worth a look does not. Paste the output of --json into a report.
    """
    found = list(_looked(session, common or Common(), keeping or Keeping(), send_key=send_key))
    failed = any(check.state == "fail" for check in found)
    document = {"type": "doctor", "ok": not failed, "checks": [asdict(check) for check in found]}
    session.out.result(document, "\n".join(check.line() for check in found))
    return FAILED if failed else DONE


def _looked(
    session: Session, common: Common, keeping: Keeping, *, send_key: bool
) -> Iterator[Check]:
    yield Check(
        "version",
        "ok",
        f"krea-aleph {__version__}, Python {platform.python_version()}, {platform.platform()}",
    )
    yield _extras()
    yield _contract()
    yield from _account(session, common, keeping, send_key=send_key)
    yield _disk("disk", Path.cwd(), "Results are saved here unless --output says otherwise.")
    yield _disk("state", stores.state_folder(), "Name another file with --store.")


def _account(
    session: Session, common: Common, keeping: Keeping, *, send_key: bool
) -> Iterator[Check]:
    """Look at all that needs a client; without a key at what needs none."""
    try:
        with session.client(common) as aleph:
            yield Check("key", "ok", "there is one, not shown")
            if (yield from _network(common, aleph)):
                yield _key_works(aleph, send_key=send_key)
            yield _store(keeping, aleph)
    except KreaError as error:
        failure = session.failure(error)
        keyless = failure.message.startswith(("no API key", "--api-key"))
        yield Check("key" if keyless else "settings", "fail", failure.message, failure.hint)
        if keyless:
            nobody: Any = {"api_key": lambda: ""}
            with session.client(replace(common, api_key_file=None), **nobody) as aleph:
                yield from _network(common, aleph)


def _extras() -> Check:
    try:
        needs = [_EXTRA.match(line) for line in requires("krea-aleph") or ()]
    except PackageNotFoundError:
        return Check("extras", "warn", "not installed as a package", "Install it with pip.")
    extras: dict[str, bool] = {}
    for need in filter(None, needs):
        package, extra = need.groups()
        if extra != "all":
            extras[extra] = extras.get(extra, True) and _is_installed(package)
    there = [name for name, complete in extras.items() if complete]
    missing = [name for name, complete in extras.items() if not complete]
    words = f"installed: {', '.join(there) or 'none'}"
    return Check("extras", "ok", f"{words}; not installed: {', '.join(missing) or 'none'}")


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _contract() -> Check:
    pinned, ends = contract.pinned(), contract.notices()
    days = (datetime.now(UTC).date() - date.fromisoformat(pinned.date)).days
    words = f"of {pinned.date}, {pinned.sha256[:12]}"
    if ends:
        return Check(
            "contract",
            "warn",
            f"{words}; going to end: {', '.join(ends)}",
            "krea-aleph contract says when; upgrade krea-aleph.",
        )
    if days > _OLD_DAYS:
        advice = "krea-aleph contract diff --live says whether that matters."
        return Check("contract", "warn", f"{words}, {days} days old", advice)
    return Check("contract", "ok", words)


def _network(common: Common, aleph: Aleph) -> Generator[Check, None, bool]:
    """Look at the way to the host, and return whether it was reached."""
    proxy = aleph.proxy
    yield Check("proxy", "ok", proxy or "none")
    answer = _reach(common, aleph)
    if isinstance(answer, Check):
        yield answer
        return False
    yield Check("host", "ok", f"{aleph.base_url} answers ({answer.status_code})")
    yield _tls(aleph)
    yield _clock(answer)
    return True


def _reach(common: Common, aleph: Aleph) -> Any:
    """Ask the host for anything, without the key."""
    import httpx  # noqa: PLC0415 - help needs no HTTP

    try:
        with httpx.Client(proxy=common.proxy, timeout=_PATIENCE) as plain:
            return plain.get(aleph.base_url)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        return _unreachable(aleph, error)


def _unreachable(aleph: Aleph, error: Exception) -> Check:
    words = one_line(str(error)) or type(error).__name__
    where = f"{aleph.base_url} is not reached"
    if "CERTIFICATE" in words.upper() or "SSL" in words.upper():
        advice = (
            "Is there a proxy that opens TLS? Name its authority's file in SSL_CERT_FILE."
            " Is this machine's clock right?"
        )
        return Check("tls", "fail", f"{where}: {words}", advice)
    through = f" and the proxy {aleph.proxy}" if aleph.proxy else ""
    return Check("host", "fail", f"{where}: {words}", f"Check the network{through}, the base URL.")


def _tls(aleph: Aleph) -> Check:
    if urlsplit(aleph.base_url).scheme == "https":
        own = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ), "")
        return Check("tls", "ok", f"the certificate is good{f', by {own}' if own else ''}")
    return Check("tls", "ok", "none: a host of one's own")


def _clock(answer: httpx.Response) -> Check:
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
        skew = (datetime.now(UTC) - theirs).total_seconds()
    except (TypeError, ValueError):
        return Check("clock", "ok", "the server does not say what time it is")
    if abs(skew) <= _MOST_SKEW:
        return Check("clock", "ok", "as the server's")
    direction = "ahead of" if skew > 0 else "behind"
    return Check(
        "clock",
        "warn",
        f"{abs(skew):.0f} s {direction} the server's",
        "Set this machine's clock: signed addresses and certificates depend on it.",
    )


def _key_works(aleph: Aleph, *, send_key: bool) -> Check:
    """Try the key with a request that costs nothing, where it is safe to send it."""
    place = urlsplit(aleph.base_url)
    if place.scheme != "https" and aleph.proxy is not None:
        advice = "Set NO_PROXY for the host, or use https."
        return Check("account", "warn", "the key was not sent: the proxy would see it", advice)
    if not send_key and place.hostname not in {_KNOWN_HOST, *_LOCAL}:
        advice = "If it is yours: krea-aleph doctor --send-key"
        return Check("account", "warn", f"the key was not sent to {place.hostname}", advice)
    try:
        next(aleph.list_jobs(), None)
    except KreaError as error:
        return Check("account", "fail", one_line(str(error.args[0])), error.hint)
    return Check("account", "ok", f"the key is taken; label {aleph.account!r}")


def _store(keeping: Keeping, aleph: Aleph) -> Check:
    """Look into the store of submits, if there is one: looking makes none."""
    path = stores.path_of(keeping.store, aleph.base_url)
    in_file = not stores.is_database(keeping.store)
    if in_file and not path.exists():
        problem = problem_with(path.parent)
        if problem:
            return Check("store", "fail", f"{path} cannot be made: {problem}", stores.ANOTHER)
        return Check("store", "ok", f"{path}: none yet")
    name = str(path) if in_file else "in Postgres"
    try:
        with stores.opened(keeping.store, aleph.base_url) as store:
            still = store.find(aleph.account, _OPEN)
    except KreaError as error:
        return Check("store", "fail", one_line(str(error.args[0])), error.hint)
    if still:
        found = f"{name}: {len(still)} submits without an answer"
        return Check("store", "warn", found, "krea-aleph recover finds what became of them.")
    return Check("store", "ok", name)


def _disk(name: str, folder: Path, advice: str) -> Check:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if problem := problem_with(folder):
        return Check(name, "fail", f"{folder} cannot be written: {problem}", advice)
    with suppress(OSError):
        free = shutil.disk_usage(there).free
        words = f"{folder}: {free / 1e9:.1f} GB free"
        if free < _LITTLE_BYTES:
            return Check(name, "warn", words, f"Make room. {advice}")
        return Check(name, "ok", words)
    return Check(name, "fail", f"{folder} cannot be looked at", advice)
