"""The commands that pay: `run` and `submit`."""

from __future__ import annotations

import json
import os
import secrets
from hashlib import sha256
from typing import Annotated, Any

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
    wish, common = wish or Wish(), common or Common()
    patience, keeping = patience or Patience(), keeping or Keeping()
    item, extra = _item(video, prompt, fields, wish), _extra_body(wish)
    if wish.dry_run:
        _print_check(session, common, wish, item, extra)
        return
    session.output, session.variants = output, True
    with session.client(common, keeping=keeping, patience=patience, checks=wish.checks) as aleph:
        saved = aleph.transform(
            item["video"],
            item["prompt"],
            output,
            exists=exists,
            on_update=session.update,
            intent=_intent(session, aleph, wish, item, extra, os.path.abspath(output)),  # noqa: PTH100
            webhook_url=wish.webhook_url,
            keep_upload=not delete_upload,
            extra_body=extra,
            **patience.wait(),  # type: ignore[arg-type]
            **item.get("options", {}),
        )
    session.out.note(words.saved(saved))
    session.out.result(documents.saved(saved), str(saved.path))


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
    wish, common, keeping = wish or Wish(), common or Common(), keeping or Keeping()
    item, extra = _item(video, prompt, fields, wish), _extra_body(wish)
    if wish.dry_run:
        _print_check(session, common, wish, item, extra)
        return
    session.variants = True
    with session.client(common, keeping=keeping, checks=wish.checks) as aleph:
        job = aleph.submit(
            item["video"],
            item["prompt"],
            intent=_intent(session, aleph, wish, item, extra),
            webhook_url=wish.webhook_url,
            extra_body=extra,
            **item.get("options", {}),
        )
    session.out.note(f"{words.status(job)}; wait for it with: {session.resume(job.id)}")
    session.out.result(documents.job(job), job.id)


def _item(video: str, prompt: str, fields: Fields | None, wish: Wish) -> Item:
    """Return what is asked for, its texts read as those of a manifest."""
    row = {"video": video, "prompt": prompt, **texts(fields)}
    return manifest.item(row, checks=wish.checks)


def _extra_body(wish: Wish) -> dict[str, Any] | None:
    if wish.extra_body is None:
        return None
    try:
        found = json.loads(wish.extra_body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("--extra-body", f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequestError("--extra-body", 'a JSON object is needed, such as {"mode": 1}')
    return found


def _check(aleph: Aleph, item: Item, extra: dict[str, Any] | None) -> Checked:
    return aleph.check(
        item["video"], item["prompt"], extra_body=extra, **item.get("options", {})
    )


def _intent(
    session: Session,
    aleph: Aleph,
    wish: Wish,
    item: Item,
    extra: dict[str, Any] | None,
    output: str = "",
) -> str:
    """Return the name that the request is paid under: the user's, or one made of the request."""
    if wish.intent is not None:
        return wish.intent
    asked = _check(aleph, item, extra).fingerprint
    name = sha256(f"{asked}|{output}".encode()).hexdigest()[:20]
    if wish.new:
        return f"cli:{name}:{secrets.token_hex(4)}"
    return f"cli:{name}"


def _print_check(
    session: Session, common: Common, wish: Wish, item: Item, extra: dict[str, Any] | None
) -> None:
    with session.client(common, checks=wish.checks, **_no_key(session, common)) as aleph:
        checked = _check(aleph, item, extra)
    body = dict(checked.body)
    document = {
        "type": "checked",
        "body": body,
        "uploads": dict(checked.uploads),
        "fingerprint": checked.fingerprint,
        "account": checked.account,
    }
    session.out.note("This would be sent; nothing was.")
    session.out.result(document, json.dumps(body, indent=2, ensure_ascii=False))


def _no_key(session: Session, common: Common) -> dict[str, Any]:
    """Let a check that sends nothing work without a key."""
    given = "api_key" in session.options or common.api_key_file is not None
    return {} if given else {"api_key": lambda: ""}
