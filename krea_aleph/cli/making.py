"""The commands that pay: `run` and `submit`."""

from __future__ import annotations

import json
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from krea_aleph import manifest
from krea_aleph.cli import documents, words
from krea_aleph.cli.params import (
    FILES,
    Common,
    Exists,
    Fields,
    Keeping,
    Patience,
    Wish,
    texts,
)
from krea_aleph.cli.session import Session
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph import Aleph
    from krea_aleph.models import Checked
    from krea_aleph.outcomes import Item

Video = Annotated[str, Parameter(help="The clip: a file or a URL. Krea uses its first 5 seconds.")]
Prompt = Annotated[str, Parameter(help="What it should become, at most 1,000 characters.")]


def run(
    video: Video,
    prompt: Prompt,
    /,
    *,
    output: Annotated[
        str,
        Parameter(
            alias="-o",
            group=FILES,
            metavar="FILE",
            help="The file to save to, or a folder: an existing one, or a name that ends in /.",
        ),
    ],
    exists: Exists = "error",
    delete_upload: Annotated[
        bool, Parameter(group=FILES, help="Delete the uploaded clip from Krea afterwards.")
    ] = False,
    fields: Fields | None = None,
    wish: Wish | None = None,
    patience: Patience | None = None,
    common: Common | None = None,
    keeping: Keeping | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Restyle a clip: upload it, submit the job, wait, and save the result.

    The path of what was saved is printed. The same command run again goes on where it was, also
    after a crash, and pays nothing twice; another prompt, option or output is another job, and
    --new makes another one of the same.
    """
    common, patience, keeping = common or Common(), patience or Patience(), keeping or Keeping()
    order = _Order.of(video, prompt, fields, wish or Wish())
    if order.wish.dry_run:
        _print_check(session, common, order)
        return
    session.output = output
    checks = order.wish.checks
    with session.client(common, keeping=keeping, patience=patience, checks=checks) as aleph:
        saved = aleph.transform(
            order.item["video"],
            order.item["prompt"],
            output,
            exists=exists,
            on_update=session.update,
            intent=_named(session, order.intent(aleph, _place(output)), order.wish),
            webhook_url=order.wish.webhook_url,
            keep_upload=not delete_upload,
            extra_body=order.extra_body,
            **patience.wait(),
            **order.item.get("options", {}),
        )
    session.out.note(words.saved(saved))
    session.out.result(documents.saved(saved), str(saved.path), told=True)


def submit(
    video: Video,
    prompt: Prompt,
    /,
    *,
    fields: Fields | None = None,
    wish: Wish | None = None,
    common: Common | None = None,
    keeping: Keeping | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Start a job and print its id; don't wait for it.

    The same command run again prints the same job's id, and pays nothing twice; --new starts
    another one.
    """
    common, keeping = common or Common(), keeping or Keeping()
    order = _Order.of(video, prompt, fields, wish or Wish())
    if order.wish.dry_run:
        _print_check(session, common, order)
        return
    with session.client(common, keeping=keeping, checks=order.wish.checks) as aleph:
        job = aleph.submit(
            order.item["video"],
            order.item["prompt"],
            intent=_named(session, order.intent(aleph), order.wish),
            webhook_url=order.wish.webhook_url,
            extra_body=order.extra_body,
            **order.item.get("options", {}),
        )
    if session.job_id is None:
        session.out.accepted(job.id, before=True)
    session.out.note(f"{words.status(job)}; wait for it with: {session.resume(job.id)}")
    session.out.result(documents.job(job), job.id, told=True)


def _place(output: str) -> str:
    """Return where a result goes, the same from whichever folder it is said."""
    return output if "://" in output else str(Path(output).absolute())


class _Order(NamedTuple):
    """What is asked for, as it was given and as the library takes it."""

    wish: Wish
    item: Item
    extra_body: dict[str, Any] | None

    @classmethod
    def of(cls, video: str, prompt: str, fields: Fields | None, wish: Wish) -> _Order:
        """Read the texts of a command line, as a manifest's are read."""
        if wish.new and wish.intent is not None:
            raise InvalidRequestError("--new", "another variant under --intent needs another name")
        row = {"video": video, "prompt": prompt, **texts(fields)}
        return cls(wish, manifest.item(row, checks=wish.checks), _extra_body(wish.extra_body))

    def check(self, aleph: Aleph) -> Checked:
        """Check it, and send nothing."""
        return aleph.check(
            self.item["video"],
            self.item["prompt"],
            extra_body=self.extra_body,
            **self.item.get("options", {}),
        )

    def intent(self, aleph: Aleph, output: str = "") -> str:
        """Return the name that it is paid under: the user's, or one made of what is asked for.

        So the same command is paid once. Where the result is to go belongs to it: who asks for a
        second file wants a second variant.
        """
        if self.wish.intent is not None:
            return self.wish.intent
        asked = self.check(aleph).fingerprint
        name = f"cli:{sha256(f'{asked}|{output}'.encode()).hexdigest()[:20]}"
        return f"{name}:{secrets.token_hex(4)}" if self.wish.new else name


def _named(session: Session, intent: str, wish: Wish) -> str:
    """Note that from here on something is paid, and under which name."""
    session.paying, session.intent = True, intent
    session.variants = wish.intent is None
    return intent


def _extra_body(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("--extra-body", f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequestError("--extra-body", 'a JSON object is needed, such as {"mode": 1}')
    return found


def _print_check(session: Session, common: Common, order: _Order) -> None:
    given = "api_key" in session.options or common.api_key_file is not None
    no_key: dict[str, Any] = {} if given else {"api_key": lambda: ""}  # nobody asks for it
    with session.client(common, checks=order.wish.checks, **no_key) as aleph:
        checked = order.check(aleph)
    document = {
        "type": "checked",
        "body": dict(checked.body),
        "uploads": dict(checked.uploads),
        "fingerprint": checked.fingerprint,
        "account": checked.account,
    }
    session.out.note("This would be sent; nothing was.")
    body = json.dumps(dict(checked.body), indent=2, ensure_ascii=False)
    session.out.result(document, body)
