"""A hunt for a key: in every form that it could have, and in everything that an error leads to."""

from __future__ import annotations

import base64
import logging
import pickle
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

# Characters that JSON, URLs and base64 each spell in a way of their own.
KEY = "k3y1d-4f/9a2b:s3cr3t+7Qz/w8=Xv"
_TESTS = str(Path(__file__).parents[1])
_EMULATOR = "krea_aleph/emulator"
_SHORTEST = 6


def forms(*keys: str) -> set[bytes]:
    """List what must be found nowhere: keys and their halves, as they are and in other spellings.

    What base64 makes of a text depends on where it begins, so there are three spellings of each,
    without their ends, where the neighbours have a say. What stands in the header is among them.
    """
    found: set[bytes] = set()
    for key in keys:
        for text in (key, *key.split(":")):
            plain = text.encode()
            spellings = {plain, plain.hex().encode(), plain.hex().upper().encode()}
            spellings |= {quote(text, safe="").encode(), quote(text, safe="").lower().encode()}
            spellings |= {plain.replace(b"/", rb"\/"), plain[::-1]}
            for lead in range(3):
                for encode in (base64.b64encode, base64.urlsafe_b64encode):
                    spellings.add(encode(bytes(lead) + plain)[4 if lead else 0 : -4])
            found |= {spelling for spelling in spellings if len(spelling) >= _SHORTEST}
    return found


class Hunt:
    """Looks for keys in anything.

    Args:
        keys: What must not show.
    """

    def __init__(self, *keys: str) -> None:
        self._forms = forms(*(keys or (KEY,)))

    def __repr__(self) -> str:
        return "Hunt(...)"

    def found(self, thing: object) -> bool:
        """Whether it stands in a text, in bytes, or in the repr of anything else."""
        if isinstance(thing, str):
            thing = thing.encode("utf-8", "surrogatepass")
        content = thing if isinstance(thing, bytes) else repr(thing).encode()
        return any(form in content for form in self._forms)

    def refuse(self, thing: object, where: str) -> None:
        """Fail if it stands there."""
        if self.found(thing):
            raise AssertionError(f"the key shows in {where}")

    def refuse_object(self, thing: object, where: str) -> None:
        """Fail if a value shows it: as a text, by its attributes, or as a report prints them."""
        self.refuse(repr(thing), f"repr of {where}")
        self.refuse(str(thing), f"str of {where}")
        self.refuse(f"{thing}", f"format of {where}")
        self.refuse(repr(getattr(thing, "__dict__", {})), f"vars of {where}")
        for name in dir(thing):
            try:
                value = getattr(thing, name)
            except Exception:  # noqa: BLE001, S112 - what is not set cannot be shown
                continue
            self.refuse(repr(value), f"{where}.{name}")

    def refuse_error(self, error: BaseException) -> None:
        """Fail if an error shows it, or anything behind it, whatever prints it, and how."""
        for found in chain(error):
            name = type(found).__name__
            self.refuse_object(found, name)
            self.refuse(repr(getattr(found, "__notes__", [])), f"the notes of {name}")
            for frame in frames(found):
                place = f"the variables of {frame.f_code.co_qualname}, in {name}"
                self.refuse_variables(frame, place)
        self.refuse("".join(traceback.format_exception(error)), "a traceback")
        self.refuse(pickle.dumps(error), "a pickle")

    def refuse_variables(self, frame: FrameType, where: str) -> None:
        """Fail if a frame's variables show it, or what they have, one step further."""
        for value in list(frame.f_locals.values()):
            try:
                self.refuse(repr(value), where)
                if type(value).__name__ not in {"Secret", "Given"}:  # where it has to be
                    self.refuse(repr(getattr(value, "__dict__", {})), where)
            except AttributeError:  # a value that is only half made
                continue

    def refuse_folder(self, folder: Path) -> None:
        """Fail if a file has it, in its name or in any of its bytes."""
        for path in folder.rglob("*"):
            self.refuse(str(path.relative_to(folder)), "the name of a file")
            if path.is_file():
                self.refuse(path.read_bytes(), path.name)

    def refuse_log(self, records: Iterable[logging.LogRecord]) -> None:
        """Fail if a line of the log has it, or what a line was made of."""
        for record in records:
            line = f"the log of {record.name}"
            self.refuse(record.getMessage(), line)
            self.refuse(f"{record.msg} {record.args!r} {record.exc_text}", line)
            if record.exc_info and record.exc_info[1]:
                self.refuse_error(record.exc_info[1])


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything behind it: causes, contexts, and members of groups."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__]
        waiting += found.exceptions if isinstance(found, BaseExceptionGroup) else ()


def frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames that an error came through, but for those of tests and of the emulator."""
    trace: Any = error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if not path.startswith(_TESTS) and _EMULATOR not in path:
            yield trace.tb_frame
        trace = trace.tb_next
