"""The commands that work on jobs of the durable engine and hand them over: `worker`, `enqueue`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Final

from cyclopts import Parameter

from krea_aleph import manifest
from krea_aleph.cli.applications import ENGINE, Where
from krea_aleph.cli.exits import DONE, FAILED
from krea_aleph.cli.params import REQUEST, Common, Fields, texts
from krea_aleph.cli.session import Session, key_in
from krea_aleph.errors import ConfigError
from krea_aleph.outcomes import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krea_aleph.durable import Durable, Enqueued

_LABEL: Final = "default"


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
        str | None,
        Parameter(alias="-o", metavar="DIR", help="The folder of results, or s3://bucket/folder."),
    ] = None,
    slots: Annotated[
        int | None, Parameter(metavar="N", help="How many jobs at once, at first; 8.")
    ] = None,
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
    if common.api_key_file is not None and where.app is None:
        client["api_key"] = key_in(common.api_key_file)
    options: dict[str, Any] = {
        "accounts": {
            common.account or _LABEL: partial(AsyncAleph, exclusive=not shared_account, **client)
        },
        "shared_paths": shared_paths,
    }
    wanted = {"executor_id": executor_id, "output_dir": output_dir, "slots": slots}
    options |= {name: value for name, value in wanted.items() if value is not None}
    shared = {"shared_paths": shared_paths, "shared_account": shared_account}
    given = {**wanted, **shared, **asdict(common), "json": False, "verbose": False}
    if where.app is None:
        Aleph(**client).close()  # else a missing key would be found by the first job
    with session.speaking(common), where.opened(given, **options) as app:
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
    asked = {"video": video, "prompt": prompt, "output": output, "intent": intent, **texts(fields)}
    wanted = {name: text for name, text in asked.items() if text is not None}
    where, given = where or Where(), {"shared_paths": shared_paths}
    if manifest_file is not None:
        if wanted:
            message = f"--manifest: it says what is wanted; leave {', '.join(wanted)} out."
            raise ConfigError(message)
        rows = manifest.read(manifest_file, passthrough or ())
        with where.opened(given, **options) as app:
            outcomes = app.enqueue_many(rows, account=account)
            return _tell(session, outcomes, before=lambda: _look(session, app, account))
    if video is None or prompt is None:
        message = "what is to be enqueued?"
        raise ConfigError(message, hint="Name a VIDEO and a PROMPT, or a --manifest.")
    item = manifest.item({"video": video, "prompt": prompt, **texts(fields)})
    with where.opened(given, **options) as app:
        name = app.enqueue(
            item["video"],
            item["prompt"],
            account=account,
            intent=intent,
            output=output,
            options=item.get("options"),
        )
        _look(session, app, account)
    session.out.result({"type": "enqueued", "intent": name}, name)
    return DONE


def _look(session: Session, app: Durable, account: str | None) -> None:
    """Say so where jobs will wait for a worker of another kind than those that run."""
    if app.has_worker(account) is False:
        label = repr(account or _LABEL)
        session.out.note(f"no worker that runs has the account {label}; jobs wait for one that has")


def _tell(
    session: Session, outcomes: Iterator[Enqueued | Failed], before: Callable[[], object]
) -> int:
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
    before()
    code = FAILED if failed else DONE
    counts = {"new": new, "known": known, "failed": failed, "exit_code": code}
    text = f"{new} enqueued, {known} were there already, {failed} failed"
    session.out.counts({"type": "manifest", **counts}, text)
    return code
