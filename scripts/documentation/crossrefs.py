"""Make links of the names in docstrings: `Job` between backticks, and each error under Raises.

Docstrings are read in terminals and editors too, so they name things plainly; only the pages of the
reference make links of the names, here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator

FACADE = "krea_aleph"
# Modules that people import from, beside the facade itself.
PUBLIC = ("contract", "emulator", "manifest", "testing", "tracing", "webhooks")
_NAME = re.compile(r"(?<!`)`(?:krea_aleph\.)?([A-Za-z_][\w.]*)`(?!`)")
_SAMPLE = ">>>"
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Crossrefs(griffe.Extension):
    """Teach the docstrings of the facade, and of the emitted options, the public names."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Go through a package once it has been read."""
        if pkg.name == FACADE:
            names = public_names(pkg)
            for thing in _things(pkg):
                if isinstance(thing, griffe.Module):
                    _introduce(thing, names)
                _link(thing, names)


def public_names(facade: griffe.Module) -> dict[str, str]:
    """Return where each public name has its entry, by the name as docstrings write it."""
    found = {str(name): f"{FACADE}.{name}" for name in facade.exports or ()}
    for module in PUBLIC:
        found |= {
            str(name): f"{FACADE}.{module}.{name}"
            for name in facade[module].exports or _defined(facade[module])
            if str(name) not in found
        }
    return found


def _defined(module: griffe.Object) -> Iterator[str]:
    """List what a module without ``__all__`` defines itself, for others."""
    for name, member in module.members.items():
        if member.is_public and (member.is_class or member.is_function):
            yield name


def _things(parent: griffe.Object) -> Iterator[griffe.Object]:
    yield parent
    for member in list(parent.members.values()):
        if isinstance(member, griffe.Object):
            yield from _things(member)


def _introduce(module: griffe.Module, names: dict[str, str]) -> None:
    """Let a module know the errors, which its docstrings name and its code need not import."""
    for name, path in names.items():
        if name.endswith("Error") and name not in module.members:
            module.set_member(name, griffe.Alias(name, path, runtime=False))


def _link(thing: griffe.Object, names: dict[str, str]) -> None:
    if thing.docstring is not None:
        text = _EXAMPLE.sub("Examples:", thing.docstring.value)  # the word that griffe knows
        thing.docstring.value = "\n".join(_linked(line, names) for line in text.split("\n"))


def _linked(line: str, names: dict[str, str]) -> str:
    def link(found: re.Match[str]) -> str:
        name = found[1]
        head, _, attribute = name.partition(".")
        path = names.get(head)
        if path is None:
            return found[0]
        return f"[`{name}`][{path}{'.' + attribute if attribute else ''}]"

    return line if line.lstrip().startswith(_SAMPLE) else _NAME.sub(link, line)
