"""Pages to look at results with: one file each, without anything from the network.

Example:
    >>> from krea_aleph import pages
    >>> pages.compare("in.mp4", "out.mp4", "compare.html")  # doctest: +SKIP
    PosixPath('compare.html')
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from krea_aleph.models import Exists, StrPath
    from krea_aleph.store import Store

__all__ = ["compare", "report"]


def compare(
    before: StrPath,
    after: StrPath,
    output: StrPath,
    *,
    link: bool = False,
    exists: Exists = "error",
) -> Path:
    """Write a page that shows a clip before and after, in step, with a slider between them.

    The page holds both videos: it can be sent to somebody, and plays from disk without a network.
    It grows by a third of the videos' size over them.

    Args:
        before: The clip as it was.
        after: The restyled clip; a `Saved` will do.
        output: The page to write; a folder, which exists or ends in ``/``, gets ``compare.html``.
        link: Refer to the videos where they are, instead of putting them into the page.
        exists: What to do if the page is there: refuse, replace it, or keep it.

    Returns:
        The path of the page.

    Raises:
        InvalidRequestError: One is no video, or the page cannot be written; nothing was.

    Example:
        >>> saved = aleph.transform("in.mp4", "make it snow", "out.mp4")  # doctest: +SKIP
        >>> compare("in.mp4", saved, "compare.html")  # doctest: +SKIP
        PosixPath('compare.html')
    """
    from krea_aleph.pages import _compare  # noqa: PLC0415 - who only escapes text needs no more

    return _compare.write(before, after, output, link=link, exists=exists)


def report(
    folder: StrPath,
    output: StrPath | None = None,
    *,
    store: Store | None = None,
    exists: Exists = "replace",
) -> Path:
    """Write a page about the jobs whose results are in a folder, or were to go there.

    It has a row for each job that the store knows, of whichever account, and one for each video in
    the folder that it does not know. Clips are not in the page: it refers to them, and plays them
    when somebody points at them. Clips at addresses on the network are named, and never loaded.

    Args:
        folder: The folder, such as a batch's ``output_dir``.
        output: The page to write, or the folder of ``report.html``. Default: the same folder.
        store: Where the jobs are written down; None knows of none.
        exists: What to do if the page is there. Only a page of this library is replaced.

    Returns:
        The path of the page.

    Raises:
        InvalidRequestError: There is no such folder, or the page cannot be written; nothing was.
        StoreError: The store cannot be read.

    Example:
        >>> with SQLiteStore("jobs.sqlite3") as store:  # doctest: +SKIP
        ...     report("restyled", store=store)
        PosixPath('restyled/report.html')
    """
    from krea_aleph.pages import _report  # noqa: PLC0415 - as above

    return _report.write(folder, output, store, exists)
