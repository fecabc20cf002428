"""Write the table of marks and the page anew."""

import sys
import tempfile
from pathlib import Path

from evolution.matrix import ROOT, TABLE, build_libraries, marks_of, play_all, write_table
from evolution.page import PAGE, page

sys.path.insert(0, str(ROOT / "scripts"))

import bootstrap

with tempfile.TemporaryDirectory() as scratch:
    tools = bootstrap.ensure(bootstrap.CODEGEN)
    marks = marks_of(play_all(build_libraries(Path(scratch), tools)))
write_table(marks)
PAGE.write_text(page(marks), "utf-8")
print(f"written: {TABLE.relative_to(ROOT)}, {PAGE.relative_to(ROOT)}")
