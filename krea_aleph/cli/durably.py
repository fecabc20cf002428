"""The commands for jobs on the durable engine: `worker`, `enqueue`, `status`, `rescue`."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter

from krea_aleph import manifest
from krea_aleph.cli.exits import DONE, FAILED
from krea_aleph.cli.params import REQUEST, Common, Fields, texts
from krea_aleph.cli.session import Session, key_in
from krea_aleph.errors import ConfigError
from krea_aleph.outcomes import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from krea_aleph.durable import Durable, Enqueued

ENGINE: Final = Group("Engine", sort_key=5)
_LABEL: Final = "default"


@Parameter(name="*", group=ENGINE)
@dataclass(frozen=True, kw_only=True)
class Where:
    """Which jobs a command is about."""

    database: Annotated[
        str | None,
        Parameter(
            env_var="KREA_DATABASE",
            metavar="URL",
            help="Where they are: sqlite:///jobs.sqlite3 or postgresql://user@host/name.",
        ),
    ] = None
    app: Annotated[
        str | None,
        Parameter(
            env_var="KREA_APP",
            metavar="MODULE:NAME",
            help="A Durable of a program of yours, which says all the rest: for several accounts.",
        ),
    ] = None
    name: Annotated[
        str, Parameter(metavar="NAME", show_default=True, help="Of the application.")
    ] = "krea-aleph"

    @contextmanager
    def opened(self, **options: Any) -> Generator[Durable]:
        """Give the application that the options lead to."""
        from krea_aleph.durable import Durable  # noqa: PLC0415 - an extra

        if self.app is not None:
            if self.database is not None:
                raise ConfigError("--app: it says where its jobs are; leave --database out.")
            found = _imported(self.app)
            if not isinstance(found, Durable):
                raise ConfigError(f"--app: {self.app!r} is no krea_aleph.durable.Durable.")
        elif self.database is None:
            message = "where are the jobs?"
            raise ConfigError(message, hint="Name a --database, or set KREA_DATABASE.")
        else:
            found = Durable(self.database, name=self.name, **options)
        with found:
            yield found


def worker(
    *,
    executor_id: Annotated[
        str | None,
        Parameter(
            group=ENGINE,
            env_var="KREA_EXECUTOR_ID",
            metavar="NAME",
            help="The worker's name, the same after each start. On SQLite it needs none.",
        ),
    ] = None,
    output_dir: Annotated[
        str,
        Parameter(alias="-o", metavar="DIR", help="The folder of results, or s3://bucket/folder."),
    ] = ".",
    slots: Annotated[
        int, Parameter(show_default=True, metavar="N", help="How many jobs at once, at first.")
    ] = 8,
    shared_paths: Annotated[
        bool, Parameter(help="Every process sees the same files: clips may be local ones.")
    ] = False,
    shared_account: Annotated[
        bool,
        Parameter(help="Others submit for the account, too: a lost answer waits for somebody."),
    ] = False,
    where: Where | None = None,
    common: Common | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Work on enqueued jobs until Ctrl-C or SIGTERM.

    On an SQLite file one worker works, on Postgres any number does, each under a name of its own.
    Whatever was under way goes on after any end, and nothing is paid twice.
    """
    from krea_aleph import Aleph, AsyncAleph  # noqa: PLC0415 - help needs no client

    where, common = where or Where(), common or Common()
    client: dict[str, Any] = {**session.options, **common.given()}
    client.pop("account", None)
    if common.api_key_file is not None:
        client["api_key"] = key_in(common.api_key_file)
    options: dict[str, Any] = {
        "accounts": {
            common.account or _LABEL: partial(AsyncAleph, exclusive=not shared_account, **client)
        },
        "executor_id": executor_id,
        "output_dir": output_dir,
        "slots": slots,
        "shared_paths": shared_paths,
    }
    if where.app is None:
        Aleph(**client).close()  # else a missing key would be found by the first job
    with session.speaking(common), where.opened(**options) as app:
        app.run(ready=lambda: session.out.note("working; Ctrl-C ends it in order"))


def enqueue(
    video: Annotated[
        str | None, Parameter(help="The clip: a URL; with --shared-paths also a file.")
    ] = None,
    prompt: Annotated[
        str | None, Parameter(help="What it should become, at most 1,000 characters.")
    ] = None,
    /,
    *,
    manifest_file: Annotated[
        str | None,
        Parameter(
            name="--manifest",
            alias="-m",
            metavar="FILE",
            help="A CSV or JSONL file, as batch takes it, instead of one clip; - for stdin.",
        ),
    ] = None,
    passthrough: Annotated[
        list[str] | None,
        Parameter(metavar="COLUMN", help="A column of the manifest that is yours; repeatable."),
    ] = None,
    output: Annotated[
        str | None,
        Parameter(alias="-o", metavar="NAME", help="The result's name inside the workers' folder."),
    ] = None,
    intent: Annotated[
        str | None,
        Parameter(group=REQUEST, metavar="NAME", help="Your name for it: it is paid once."),
    ] = None,
    shared_paths: Annotated[
        bool, Parameter(help="Every process sees the same files: clips may be local ones.")
    ] = False,
    json: Annotated[
        bool, Parameter(help="Print one JSON document a line on stdout, and nothing else.")
    ] = False,
    account: Annotated[
        str | None,
        Parameter(
            env_var="KREA_ACCOUNT", metavar="LABEL", help="The label of the account that pays."
        ),
    ] = None,
    fields: Fields | None = None,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> int:
    """Hand a job over to the workers, or all of a manifest, and print the names.

    No worker need be running. The same name and request again is the same job. A row that is wrong
    stops no other; exit code 3: some could not be enqueued.
    """
    del json
    options: dict[str, Any] = {"accounts": [account or _LABEL], "shared_paths": shared_paths}
    given = {"video": video, "prompt": prompt, "output": output, "intent": intent, **texts(fields)}
    wanted = {name: text for name, text in given.items() if text is not None}
    where = where or Where()
    if manifest_file is not None:
        if wanted:
            message = f"--manifest: it says what is wanted; leave {', '.join(wanted)} out."
            raise ConfigError(message)
        rows = manifest.read(manifest_file, passthrough or ())
        with where.opened(**options) as app:
            return _tell(session, app.enqueue_many(rows, account=account))
    if video is None or prompt is None:
        message = "what is to be enqueued?"
        raise ConfigError(message, hint="Name a VIDEO and a PROMPT, or a --manifest.")
    item = manifest.item({"video": video, "prompt": prompt, **texts(fields)})
    with where.opened(**options) as app:
        name = app.enqueue(
            item["video"],
            item["prompt"],
            account=account,
            intent=intent,
            output=output,
            options=item.get("options"),
        )
    session.out.result({"type": "enqueued", "intent": name}, name)
    return DONE


def _tell(session: Session, outcomes: Iterator[Enqueued | Failed]) -> int:
    """Tell what has become of each row, and how many there were of which."""
    new = known = failed = 0
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            failed += 1
            session.out.outcome(outcome, session.failure(outcome.error))
            continue
        new += outcome.new
        known += not outcome.new
        document = {"type": "enqueued", "intent": outcome.intent}
        more = {"index": outcome.index, "new": outcome.new}
        session.out.result({**document, **more}, outcome.intent)
    code = FAILED if failed else DONE
    counts = {"new": new, "known": known, "failed": failed, "exit_code": code}
    text = f"{new} enqueued, {known} were there already, {failed} failed"
    session.out.counts({"type": "manifest", **counts}, text)
    return code


def status(
    *,
    json: Annotated[
        bool, Parameter(help="Print one JSON document a line on stdout, and nothing else.")
    ] = False,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Show how many jobs are in which state, who works on them, and which accounts rest."""
    del json
    with (where or Where()).opened() as app:
        found = app.status()
    session.out.result({"type": "status", **asdict(found)}, str(found))


def rescue(
    executor_id: Annotated[
        str | None, Parameter(help="The worker; without it all that are dead.")
    ] = None,
    /,
    *,
    json: Annotated[
        bool, Parameter(help="Print one JSON document a line on stdout, and nothing else.")
    ] = False,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Give the jobs of workers that will never come back to those that live.

    A worker that is started again under its own name takes up its jobs by itself.
    """
    del json
    with (where or Where()).opened() as app:
        intents = app.rescue(executor_id)
    session.out.result({"type": "rescued", "intents": intents}, "\n".join(intents) or "nothing")


def _imported(place: str) -> object:
    """Return what a program of the user's has under a name."""
    module, _, name = place.partition(":")
    if not name:
        raise ConfigError(f"--app: {place!r} is no MODULE:NAME.")
    if "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - the path as it is
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"--app: {place!r} cannot be had: {error}.") from error
