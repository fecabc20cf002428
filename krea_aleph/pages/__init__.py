"""Pages to look at results with: one file each, without anything from the network.

Example:
    >>> from krea_aleph import pages
    >>> pages.compare("in.mp4", "out.mp4", "compare.html")  # doctest: +SKIP
    PosixPath('compare.html')
"""

from __future__ import annotations

from krea_aleph.pages._compare import compare
from krea_aleph.pages._report import report

__all__ = ["compare", "report"]
