"""The commands around the library: a local Krea, the contract, shell completion."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from krea_aleph import contract as pinned_contract
from krea_aleph.cli.commands import build
from krea_aleph.cli.failures import Failure
from krea_aleph.cli.session import Session
from krea_aleph.cli.words import paragraphs
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph.emulator import Emulator

Json = Annotated[
    bool,
    Parameter(name="--json", help="Print one JSON document a line on stdout, and nothing else."),
]
# In the order of the framework: to Python both are equal, and help would have whichever came first.
Shell = Literal["zsh", "bash", "fish", "powershell"]


def emulator(
    *,
    host: Annotated[str, Parameter(show_default=True, help="The address to listen on.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, Parameter(show_default=True, help="The port; 0 takes a free one.")] = 8765,
    key: Annotated[str | None, Parameter(metavar="TEXT", help="The API key to accept.")] = None,
    job_seconds: Annotated[
        float, Parameter(show_default=True, metavar="SECONDS", help="How long a job runs.")
    ] = 10.0,
    concurrency: Annotated[
        int, Parameter(show_default=True, metavar="N", help="How many jobs run at once.")
    ] = 8,
    backlog: Annotated[
        int, Parameter(show_default=True, metavar="N", help="How many jobs may wait.")
    ] = 100,
    credits: Annotated[  # noqa: A002 - Krea's word
        float | None, Parameter(metavar="N", help="How many completed jobs can be paid for.")
    ] = None,
    contract: Annotated[
        str | None, Parameter(metavar="FILE", help="An OpenAPI document to speak instead.")
    ] = None,
    dialect: Annotated[
        Literal["wire", "declared"],
        Parameter(show_default=True, help="As seen in the wild, or by the letter."),
    ] = "wire",
    quirk: Annotated[
        list[str] | None,
        Parameter(metavar="NAME", help="A deviation to switch on, or with no- off; repeatable."),
    ] = None,
    list_quirks: Annotated[bool, Parameter(help="List the deviations, and end.")] = False,
    sunset: Annotated[
        str | None, Parameter(metavar="DATE", help="When the model retires: 2027-01-31.")
    ] = None,
    public_url: Annotated[
        str | None, Parameter(metavar="URL", help="What addresses in answers begin with.")
    ] = None,
    no_render: Annotated[
        bool, Parameter(help="Serve seeded bytes instead of restyled clips.")
    ] = False,
    json: Json = False,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Run a local Krea until Ctrl-C, and print the address and the key to use.

    It makes no real restyled videos and costs nothing. Requests are logged on stderr.
    """
    from krea_aleph.emulator.serving import quirks_listed, serve  # noqa: PLC0415 - an extra

    del json
    if list_quirks:
        lines = quirks_listed()
        session.out.result({"type": "quirks", "quirks": lines}, "\n".join(lines))
        return

    def introduce(emulator: Emulator) -> None:
        lines = [
            f"export KREA_BASE_URL={emulator.base_url}",
            f"export KREA_API_KEY={emulator.key}",
        ]
        page = f"{emulator.base_url}/"
        document = {
            "type": "emulator",
            "base_url": emulator.base_url,
            "key": emulator.key,
            "page": page,
        }
        session.out.result(document, "\n".join(lines))
        session.out.note(f"see what happens in it, and make bad weather: {page}")

    serve(
        introduce,
        quirk or (),
        host=host,
        port=port,
        key=key,
        job_seconds=job_seconds,
        concurrency=concurrency,
        backlog=backlog,
        credits=credits,
        contract=contract,
        dialect=dialect,
        sunset=sunset,
        public_url=public_url,
        render=not no_render,
    )


def _show(*, json: Json = False, session: Annotated[Session, Parameter(parse=False)]) -> None:
    """Show which contract the installed library speaks, and what of it is going to end.

    "contract diff" tells what has changed since.
    """
    from krea_aleph.specdiff.command import end_of  # noqa: PLC0415 - not for help

    del json
    pinned, notices = pinned_contract.pinned(), pinned_contract.notices()
    document = {
        "type": "contract",
        **asdict(pinned),
        "notices": {name: asdict(notice) for name, notice in notices.items()},
        "options": list(pinned_contract.options()),
    }
    lines = [
        f"contract   {pinned.sha256}",
        f"taken on   {pinned.date}",
        f"generator  {pinned.generator}",
        f"options    {', '.join(pinned_contract.options())}",
        *(end_of(notice) for notice in notices.values()),
        *(["deprecated nothing"] if not notices else []),
    ]
    session.out.result(document, "\n".join(lines))


def _diff(
    file: Annotated[Path | None, Parameter(help="An OpenAPI description in JSON or YAML.")] = None,
    /,
    *,
    live: Annotated[
        bool, Parameter(help="What Krea publishes today; without FILE the default.")
    ] = False,
    save: Annotated[
        Path | None, Parameter(metavar="FILE", help="Keep what was fetched, for the emulator.")
    ] = None,
    json: Json = False,
    session: Annotated[Session, Parameter(parse=False)],
) -> int:
    """Compare the installed contract with a newer one, and say whether it matters.

    Exit codes: 0 nothing that matters, 30 new features, 31 to be looked at, 32 breaking; from 10 to
    29 the comparison itself has failed.
    """
    from krea_aleph.specdiff.changes import SEVERITY_EXITS, worst  # noqa: PLC0415 - as above
    from krea_aleph.specdiff.command import compare, conclusion  # noqa: PLC0415 - as above
    from krea_aleph.specdiff.diff import as_json, as_table  # noqa: PLC0415 - as above
    from krea_aleph.specdiff.errors import StepError  # noqa: PLC0415 - as above

    del json
    if file is not None and (live or save):
        raise InvalidRequestError("FILE", "--live and --save go with what is fetched")
    try:
        changes, remarks = compare(file, save)
    except StepError as error:
        hint = f"The step that failed is {error.step}; see: krea-aleph contract diff --help"
        failure = Failure(
            error="StepError", message=error.problem, hint=hint, exit_code=error.exit_code
        )
        session.out.fail(failure)
        return error.exit_code
    for remark in remarks:
        session.out.note(remark)
    code = SEVERITY_EXITS[worst(changes)]
    document = {"type": "diff", **_loads(as_json(changes)), "exit_code": code}
    session.out.result(document, f"{as_table(changes)}\n{conclusion(changes, file or save)}")
    return code


def _loads(text: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(text)
    return found


contract = App(name="contract", help_format="plaintext", group_commands="Commands")
contract.default(_show)
contract.command(_diff, name="diff", help=paragraphs(_diff.__doc__))


def completion(
    shell: Annotated[Shell | None, Parameter(help="Default: the shell that runs this.")] = None,
    /,
    *,
    install: Annotated[
        bool, Parameter(help="Write it where the shell finds it, instead of printing it.")
    ] = False,
    json: Json = False,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Print the shell's completion for krea-aleph, or install it.

    To install it changes a start-up file of bash, zsh or PowerShell, which is named.
    """
    del json
    app = build(name="krea-aleph")
    shell = shell or _this_shell()
    script = _script(app, shell)
    if not install:
        session.out.result({"type": "completion", "script": script}, script.rstrip())
        return
    path = app.install_completion(shell=shell, add_to_startup=False)
    path.write_text(script, "utf-8")
    changed = _read_at_start(path, shell)
    if changed is not None:
        session.out.note(f"changed {changed}: a shell that is started from now on reads it")
    if shell == "zsh":
        session.out.note("zsh needs this in .zshrc, too: autoload -Uz compinit && compinit")
    document = {"type": "completion", "path": str(path), "changed": changed}
    session.out.result(document, str(path))


def _script(app: App, shell: Shell) -> str:
    """Return the script; in bash names of files are offered where nothing else is known."""
    script = app.generate_completion(shell=shell)
    return script.replace("\ncomplete -F ", "\ncomplete -o default -F ")


def _read_at_start(script: Path, shell: Shell) -> str | None:
    """Let the shell read a script when it starts, and return which file was changed for that."""
    from cyclopts.completion.install import (  # noqa: PLC0415 - only for completion
        add_to_rc_file,
        powershell_profile,
    )

    if shell == "fish" or not add_to_rc_file(script, "krea-aleph", shell):
        return None
    if shell == "powershell":
        return str(powershell_profile())
    return str(Path.home() / f".{shell}rc")


def _this_shell() -> Shell:
    from cyclopts.completion.detect import (  # noqa: PLC0415 - only for completion
        ShellDetectionError,
        detect_shell,
    )

    try:
        return detect_shell()
    except ShellDetectionError:
        raise InvalidRequestError(
            "SHELL",
            "it cannot be told which shell this is",
            hint="Name it: krea-aleph completion zsh",
        ) from None
