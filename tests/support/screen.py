"""A small terminal: what a person sees of what a program writes, and nothing that it cannot show.

It knows the few sequences that the command line uses. Any other fails the test that meets it.
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"\x1b\[(\?)?([\d;]*)([A-Za-z])")


class Screen:
    """A terminal of some columns; as many rows as are needed, since nobody scrolls back here."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._rows: list[list[str]] = [[]]
        self._wrapped: set[int] = set()
        self._row = self._column = 0
        self.cursor_shown = True
        self.frames: list[str] = []
        self._rest = ""

    @property
    def text(self) -> str:
        """What is on it now, as it would be copied: a line that had to be wrapped is one line."""
        found = ""
        for number, row in enumerate(self._rows):
            line = "".join(row)
            found += line if number + 1 in self._wrapped else f"{line.rstrip()}\n"
        return found.rstrip("\n")

    def feed(self, written: str) -> None:
        """Take what the program has written; remember each state that a person could see."""
        text = self._rest + written
        place = 0
        while place < len(text):
            if text[place] == "\x1b":
                found = _SEQUENCE.match(text, place)
                if found is None and len(text) - place < 12:
                    break  # the rest of it is still to come
                assert found is not None, f"unknown sequence {text[place : place + 12]!r}"
                self._obey(found)
                place = found.end()
            else:
                self._put(text[place])
                place += 1
        self._rest = text[place:]
        if not self.frames or self.frames[-1] != self.text:
            self.frames.append(self.text)

    def _obey(self, found: re.Match[str]) -> None:
        private, number, letter = found.groups()
        if private:
            assert number == "25", f"unknown mode {number}"
            self.cursor_shown = letter == "h"
        elif letter == "A":
            self._row = max(0, self._row - int(number or 1))
        elif letter == "K":
            assert number == "2", "only whole lines are erased"
            self._rows[self._row] = []
        else:
            assert letter == "m", f"unknown sequence {found[0]!r}"

    def _put(self, sign: str) -> None:
        if sign == "\r":
            self._column = 0
            return
        if sign == "\n" or self._column >= self._columns:
            self._row += 1
            (self._wrapped.discard if sign == "\n" else self._wrapped.add)(self._row)
            self._column = 0
            while len(self._rows) <= self._row:
                self._rows.append([])
        if sign == "\n":
            return
        assert sign.isprintable(), f"control character {sign!r}"
        row = self._rows[self._row]
        row.extend(" " * (self._column + 1 - len(row)))
        row[self._column] = sign
        self._column += 1
