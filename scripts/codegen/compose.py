"""A new `openapi.json`: what is published, cut down to our operations, with retired ones kept.

An operation that is no longer published does not stop the build: its last contract stays.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.specdiff.compare_operation import find_operation
from krea_aleph.specdiff.document import children, dump_document
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.resolving import resolve
from krea_aleph.specdiff.texts import guard_texts, placeholders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from krea_aleph.specdiff.compare_operation import Found
    from krea_aleph.specdiff.rules import Rules

_TOP: Final = ("openapi", "info", "servers", "security", "tags", "paths", "components")
_METHODS: Final = frozenset("get put post delete options head patch trace query".split())
_COMPONENT: Final = re.compile(r"#/components/([^/]+)/([^/]+)")

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Composed:
    """A contract to build from.

    Attributes:
        document: The parsed contract.
        kept: The ids of the operations that were taken from the contract before, because the
            published description does not have them.
    """

    document: Node
    kept: frozenset[str]

    @property
    def contract(self) -> bytes:
        """The bytes of `openapi.json`."""
        return dump_document(self.document)


def compose(published: Mapping[str, Any], before: Mapping[str, Any], rules: Rules) -> Composed:
    """Cut a published description down to our operations; keep what it no longer has.

    Args:
        published: The description as it was published.
        before: The contract until now.
        rules: Which operations we use.

    Raises:
        StepError: It has none of our operations, or one is missing that we never knew.
    """
    published = with_our_placeholders(published, rules)
    found = {name: find_operation(published, rule) for name, rule in rules.operations.items()}
    if not any(found.values()):
        raise StepError("foreign", "it has none of the operations that we use: whose API is it?")
    missing = [name for name, one in found.items() if one is None]
    cut = _cut(published, [one for one in found.values() if one is not None])
    for name in missing:
        _keep(cut, name, before, rules)
    if missing:
        cut["paths"] = _in_order_of(before["paths"], cut["paths"])
    _trim_tags(cut, published)
    guard_texts(cut)
    return Composed(_ordered(cut), frozenset(missing))


def with_our_placeholders(document: Mapping[str, Any], rules: Rules) -> Node:
    """Call the placeholders of our paths as `rules.toml` does: their names are not on the wire."""
    paths = dict(document["paths"])
    for rule in rules.operations.values():
        found = find_operation(document, rule)
        if found is not None and found.path in paths and found.path != rule.path:
            names = dict(zip(placeholders(found.path), placeholders(rule.path), strict=True))
            paths = {
                rule.path if path == found.path else path: item for path, item in paths.items()
            }
            paths[rule.path] = _renamed(found.item, names, document)
    return {**document, "paths": paths}


def _renamed(item: Node, names: Mapping[str, str], document: Mapping[str, Any]) -> Node:
    """Copy a path item with its path parameters called otherwise."""
    return {
        key: _renamed(value, names, document)
        if key in _METHODS
        else [_renamed_parameter(node, names, document) for node in value]
        if key == "parameters"
        else value
        for key, value in item.items()
    }


def _renamed_parameter(node: Node, names: Mapping[str, str], document: Mapping[str, Any]) -> Node:
    parameter = resolve(node, document)
    if parameter.get("in") != "path" or parameter.get("name") not in names:
        return node
    return {**parameter, "name": names[parameter["name"]]}


def without(document: Mapping[str, Any], names: frozenset[str], rules: Rules) -> Node:
    """Return a document without some of our operations."""
    result = copy.deepcopy(dict(document))
    for name in names:
        found = find_operation(result, rules.operations[name])
        if found is not None:
            del result["paths"][found.path][rules.operations[name].method]
    return result


def _cut(published: Mapping[str, Any], found: list[Found]) -> Node:
    """Copy our operations with everything that they refer to."""
    result = {key: copy.deepcopy(published[key]) for key in _TOP if key in published}
    ours = {one.path: one.item for one in found}
    wanted = {id(one.operation) for one in found}
    result["paths"] = {
        path: _cut_item(ours[path], wanted) for path in published["paths"] if path in ours
    }
    result["components"] = _referenced(result, published)
    return result


def _cut_item(item: Node, wanted: set[int]) -> Node:
    kept = {key: value for key, value in item.items() if key not in _METHODS or id(value) in wanted}
    return copy.deepcopy(kept)


def _referenced(cut: Node, published: Mapping[str, Any]) -> Node:
    """Copy the components that the paths lead to, and the security schemes."""
    parts = published.get("components", {})
    reached: set[tuple[str, str]] = set()
    waiting = list(_references(cut["paths"]))
    while waiting:
        kind, name = waiting.pop()
        if (kind, name) not in reached and name in parts.get(kind, {}):
            reached.add((kind, name))
            waiting.extend(_references(parts[kind][name]))
    kept = {
        kind: {name: entry for name, entry in entries.items() if (kind, name) in reached}
        for kind, entries in parts.items()
        if kind != "securitySchemes" and isinstance(entries, dict)
    }
    if "securitySchemes" in parts:
        kept["securitySchemes"] = parts["securitySchemes"]
    return copy.deepcopy({kind: kept[kind] for kind in parts if kept.get(kind)})


def _references(node: object) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        target = node.get("$ref")
        found = _COMPONENT.fullmatch(target) if isinstance(target, str) else None
        if found is not None:
            yield found[1], found[2]
    for child in children(node):
        yield from _references(child)


def _keep(cut: Node, name: str, before: Mapping[str, Any], rules: Rules) -> None:
    """Put an operation of the contract before into the new one."""
    rule = rules.operations[name]
    found = find_operation(before, rule)
    if found is None:
        where = f"{rule.method.upper()} {rule.path}"
        problem = f"{where} ({name}) is neither published nor in openapi.json, where it was kept"
        raise StepError("slice", problem)
    alone = _cut(before, [found._replace(item=_alone(found, rule.method))])
    _rename_clashes(alone, cut)
    for kind, entries in alone["components"].items():
        for key, entry in entries.items():
            cut["components"].setdefault(kind, {}).setdefault(key, entry)
    [(path, item)] = alone["paths"].items()
    there = cut["paths"].get(path, {})
    cut["paths"][path] = _in_order_of(before["paths"][path], {**item, **there})


def _in_order_of(before: Mapping[str, Any], now: Mapping[str, Any]) -> Node:
    """Sort keys as they stood before, new ones last: what is kept does not move."""
    known = [key for key in before if key in now]
    return {key: now[key] for key in [*known, *(key for key in now if key not in before)]}


def _alone(found: Found, method: str) -> Node:
    others = _METHODS - {method}
    return {key: value for key, value in found.item.items() if key not in others}


def _rename_clashes(alone: Node, cut: Node) -> None:
    """Give a kept component another name where the new document has one that differs."""
    for kind, entries in alone["components"].items():
        if kind == "securitySchemes":
            continue
        for name in list(entries):
            there = cut["components"].get(kind, {}).get(name)
            if there is not None and there != entries[name]:
                entries[f"{name}.retired"] = entries.pop(name)
                _redirect(alone, f"#/components/{kind}/{name}")


def _redirect(node: object, target: str) -> None:
    if isinstance(node, dict) and node.get("$ref") == target:
        node["$ref"] = f"{target}.retired"
    for child in children(node):
        _redirect(child, target)


def _trim_tags(cut: Node, published: Mapping[str, Any]) -> None:
    """Leave out the descriptions of tags that none of our operations has."""
    tags = published.get("tags")
    if isinstance(tags, list):
        used = {tag for item in cut["paths"].values() for tag in _tags(item)}
        cut["tags"] = [tag for tag in tags if isinstance(tag, dict) and tag.get("name") in used]


def _tags(item: Node) -> Iterator[str]:
    for method in _METHODS & item.keys():
        for tag in item[method].get("tags", []):
            yield str(tag)


def _ordered(cut: Node) -> Node:
    return {key: cut[key] for key in _TOP if cut.get(key)}
