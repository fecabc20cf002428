"""The commands that pay: `run` and `submit`."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

from cyclopts import Parameter

from krea_aleph import manifest
from krea_aleph.cli import documents, failures, variants, words
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
from krea_aleph.errors import InvalidRequestError, KreaError, SubmitVetoedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph import Aleph
    from krea_aleph.models import Checked, Saved
    from krea_aleph.outcomes import Item

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

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
        _print_check(session, common, order, output, {"exists": exists, **patience.wait()})
        return
    session.output = output
    checks = order.wish.checks
    with session.client(common, keeping=keeping, patience=patience, checks=checks) as aleph:
        asked: dict[str, Any] = {
            "exists": exists,
            "on_update": session.update,
            "keep_upload": not delete_upload,
            **patience.wait(),
        }
        saved = _saved(session, aleph, order, output, asked)
    _tell_saved(session, saved)


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
            intent=_chosen(session, aleph, order).intent,
            webhook_url=order.wish.webhook_url,
            extra_body=order.extra_body,
            **order.item.get("options", {}),
        )
    if session.job_id is None:
        session.out.accepted(job.id, before=True)
    session.out.note(f"{words.status(job)}; wait for it with: {session.resume(job.id)}")
    session.out.result(documents.job(job), job.id, told=True)


def _saved(
    session: Session, aleph: Aleph, order: _Order, output: str, asked: dict[str, Any]
) -> Saved:
    """Bring the result of a variant to its place, unless this or another process has done so."""
    store, where = session.opened_store(), variants.place(output)
    variant, exists = _chosen(session, aleph, order, where), asked.pop("exists")
    there = exists == "error" and variant.is_saved_to(where)
    bring = partial(order.transform, aleph, output, intent=variant.intent, **asked)
    try:
        saved = bring(exists="keep" if there else exists)
    except KreaError as error:
        if exists != "error" or not failures.in_the_way(error):
            raise
        if not variants.saved_meanwhile(store, aleph.account, variant.intent, where):
            raise
        saved = bring(exists="keep")
    if variant.record is not None:
        session.job_id = session.job_id or variant.record.job_id
    variants.note_saved(store, aleph.account, variant.intent, saved.path)
    return saved


def _tell_saved(session: Session, saved: Saved) -> None:
    """Print what was saved; of a file that was there already its job is the store's to know."""
    document = documents.saved(saved)
    document["job_id"] = document["job_id"] or session.job_id
    session.out.note(words.saved(saved))
    session.out.result(document, str(saved.path), told=True)


def _chosen(session: Session, aleph: Aleph, order: _Order, where: str = "") -> variants.Variant:
    """Return the variant that is asked for; from here on something is paid.

    Raises:
        KreaError: It would be paid for by mistake, as far as can be told.
    """
    store, wish = session.opened_store(), order.wish
    if wish.intent is not None:
        variant = variants.Variant(wish.intent, store.read(aleph.account, wish.intent))
    else:
        asked = order.check(aleph).fingerprint
        name = f"cli:{sha256(f'{asked}|{where}'.encode()).hexdigest()[:20]}"
        variant = variants.newest(store, aleph.account, name)
        if wish.new:
            insisted = wish.new > 1
            variant = variants.another(aleph, variant, name, where, insisted=insisted)
        elif variant.record is None:
            _tell_of_others(session, aleph, asked, where)
    session.paying, session.intent = True, variant.intent
    session.variants = wish.intent is None
    return variant


def _tell_of_others(session: Session, aleph: Aleph, fingerprint: str, where: str) -> None:
    """Say that the same was paid for before, for another place."""
    store = session.opened_store()
    found = variants.refuse_to_pay_for_a_move(aleph, store, fingerprint, where)
    if found is not None:
        told = f"the same request was paid for before, as job {found.job_id}"
        session.out.note(f"{told}; this is another variant of it")


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

    def transform(self, aleph: Aleph, output: str, **asked: Any) -> Saved:
        """Bring its result to a place."""
        return aleph.transform(
            self.item["video"],
            self.item["prompt"],
            output,
            webhook_url=self.wish.webhook_url,
            extra_body=self.extra_body,
            **asked,
            **self.item.get("options", {}),
        )


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


def _refuse(checked: Checked) -> None:
    """Refuse what is to be paid for."""
    del checked
    raise SubmitVetoedError


def _print_check(
    session: Session,
    common: Common,
    order: _Order,
    output: str | None = None,
    asked: Mapping[str, Any] = _NOTHING,
) -> None:
    """Print what would be sent; of a result also look where it goes, as if it were brought."""
    given = "api_key" in session.options or common.api_key_file is not None
    options: dict[str, Any] = {} if given else {"api_key": lambda: ""}  # nobody asks for it
    options["before_submit"] = _refuse
    with session.client(common, checks=order.wish.checks, **options) as aleph:
        checked = order.check(aleph)
        if output is not None:
            with suppress(SubmitVetoedError):
                order.transform(aleph, output, **asked)
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
