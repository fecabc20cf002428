"""How many steps a search can take at most, worked out from the tree of its pattern.

Python's `re` goes back and tries again: every way to match the beginning is tried with the rest of
the pattern, until the rest fits too. So each node is put before what it is followed by, from the
last to the first, and the steps are added up. There is a bound where the next character decides
between going on and leaving, and where what is tried again needs a fixed number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from krea_aleph.specdiff.pattern_tree import (
    LAST,
    Chars,
    Either,
    End,
    Node,
    Ranges,
    Repeat,
    Sequence,
    Start,
    Unchecked,
    joined,
    meet,
)

MOST_AT_ONCE: Final = 20_000
"""Steps that a search may take whatever the length of the text."""
MOST_FOR_EACH: Final = 64
"""Steps that a search may take for each character of the text."""

_END_OF_TEXT: Final = LAST + 1
"""Stands for the end of the text among the characters that may come next."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """What a matcher still has to try from one place in a text on.

    Attributes:
        first: The characters that it may go on with; others fail within `reject` steps. What
            takes any text goes on with none: nothing ever has to be tried again before it.
        reject: Steps until a wrong next character is noticed.
        once: Steps of trying everything, whatever the length of the text...
        each: ...and for each of its characters.
    """

    first: Ranges
    reject: int
    once: int
    each: int


_DONE: Final = _Rest((), 1, 1, 0)


def steps(tree: Node) -> tuple[int, int]:
    """Bound the steps that a search can take: some at once, and some for each character.

    Raises:
        Unchecked: There is no small bound.
    """
    rest = _before(tree, _DONE, decided=False)
    if _anchored(tree):
        once, each = rest.once, rest.each + 1
    else:  # the search begins again at every character
        once, each = rest.once, rest.once
    if each > MOST_FOR_EACH or (rest.each and not _anchored(tree)):
        raise _slow()
    return once, each


def _slow() -> Unchecked:
    return Unchecked("a match could take very long on a long text")


def _anchored(tree: Node) -> bool:
    if isinstance(tree, Either):
        return all(_anchored(part) for part in tree.parts)
    return isinstance(tree, Sequence) and tree.parts[:1] == (Start(),)


def _before(node: Node, rest: _Rest, *, decided: bool) -> _Rest:
    """Put a node before the rest of a pattern.

    Args:
        node: What is matched first.
        rest: What is matched then.
        decided: Whether the next character must decide every choice, as it must inside of
            something that is repeated without end.
    """
    if isinstance(node, Chars):
        result = _Rest(node.ranges, 1, rest.once + 1, rest.each)
    elif isinstance(node, Start):
        result = _Rest(rest.first, rest.reject + 1, rest.once + 1, rest.each)
    elif isinstance(node, End):
        result = _Rest(((_END_OF_TEXT, _END_OF_TEXT),), 1, rest.once + 1, rest.each)
    elif isinstance(node, Sequence):
        for part in reversed(node.parts):
            rest = _before(part, rest, decided=decided)
        result = replace(rest, once=rest.once + 1)
    elif isinstance(node, Either):
        result = _either([_before(part, rest, decided=decided) for part in node.parts], decided)
    else:
        result = _repeat(node, rest, decided=decided)
    if result.once > MOST_AT_ONCE:
        raise _slow()
    return result


def _either(ways: list[_Rest], decided: bool) -> _Rest:  # noqa: FBT001
    return reduce(lambda left, right: _choice(left, right, decided=decided), ways)


def _choice(left: _Rest, right: _Rest, *, decided: bool) -> _Rest:
    """Try one, then the other; one of them at once where the next character decides."""
    apart = not meet(left.first, right.first)
    if decided and not apart:
        raise _slow()
    return _Rest(
        joined([*left.first, *right.first]),
        left.reject + right.reject + 1,
        left.once + right.once + 1,
        max(left.each, right.each) if apart else left.each + right.each,
    )


def _repeat(node: Repeat, rest: _Rest, *, decided: bool) -> _Rest:
    if node.most is None:
        once = _endless(node.part, rest, decided=decided)
        return _times(node.part, node.least, once, decided=decided)
    if isinstance(node.part, Chars):
        return _counted(node.part, node.least, node.most, rest, decided=decided)
    result = rest
    for _ in range(node.most - node.least):
        result = _choice(_before(node.part, result, decided=decided), rest, decided=decided)
        if result.once > MOST_AT_ONCE:
            raise _slow()
    return _times(node.part, node.least, result, decided=decided)


def _times(part: Node, times: int, rest: _Rest, *, decided: bool) -> _Rest:
    if isinstance(part, Chars):
        return _counted(part, times, times, rest, decided=decided)
    for _ in range(times):
        rest = _before(part, rest, decided=decided)
    return rest


def _counted(part: Chars, least: int, most: int, rest: _Rest, *, decided: bool) -> _Rest:
    """Repeat one character: each number of times is a way to go on with the rest."""
    if most == 0:
        return rest
    apart = least == most or not meet(part.ranges, rest.first)
    if decided and not apart:
        raise _slow()
    spare = most - least
    once = rest.once + spare * rest.reject if apart else (spare + 1) * rest.once
    each = rest.each if apart else (spare + 1) * rest.each
    first = part.ranges if least else joined([*part.ranges, *rest.first])
    return _Rest(first, 1 if least else rest.reject + 1, once + most, each)


def _endless(part: Node, rest: _Rest, *, decided: bool) -> _Rest:
    """Repeat without end: fast where the next character says whether to go on.

    Where it does not, one single character may still be repeated, if what follows needs no more
    than a fixed number of steps at each place that the repetition could end at.
    """
    inside = _first(part)
    first = joined([*inside, *rest.first])
    if not meet(inside, rest.first) and not _may_be_empty(part):
        around = _before(part, _Rest(first, rest.reject, 0, 0), decided=True)
        reject = around.reject + rest.reject + 1
        for_each = around.once + around.each + reject
        return _Rest(first, reject, rest.once + for_each, rest.each + for_each)
    if decided or rest.each or not isinstance(part, Chars):
        raise _slow()
    return _Rest(first, rest.reject + 1, rest.once + 1, rest.once + 1)


def _first(node: Node) -> Ranges:
    """List the characters that a node may begin with."""
    if isinstance(node, Chars):
        return node.ranges
    if isinstance(node, Repeat):
        return _first(node.part)
    if isinstance(node, Either):
        return joined([span for part in node.parts for span in _first(part)])
    if isinstance(node, Sequence):
        found: list[tuple[int, int]] = []
        for part in node.parts:
            found += _first(part)
            if not _may_be_empty(part):
                break
        return joined(found)
    return ((_END_OF_TEXT, _END_OF_TEXT),)


def _may_be_empty(node: Node) -> bool:
    if isinstance(node, Sequence):
        return all(_may_be_empty(part) for part in node.parts)
    if isinstance(node, Either):
        return any(_may_be_empty(part) for part in node.parts)
    if isinstance(node, Repeat):
        return node.least == 0 or _may_be_empty(node.part)
    return not isinstance(node, Chars)
