"""Comparing the operations we use in two documents."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from krea_aleph.specdiff.changes import Change, Severity, pointer
from krea_aleph.specdiff.compare_schema import SchemaComparison
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.resolving import resolve
from krea_aleph.specdiff.severity import brief

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from krea_aleph.specdiff.changes import Direction, Place
    from krea_aleph.specdiff.rules import OperationRule, Rules
    from krea_aleph.specdiff.severity import Judge

_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")
_JSON: Final = "application/json"
_STYLES: Final = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}
_NO_PARAMETERS: Final = frozenset({"accept", "content-type", "authorization"})
_GONE_SOON: Final = frozenset({"deprecation", "sunset"})
ALIASES: Final = "x-krea-deprecated-field-aliases"
_DOCS: Final = ("summary", "description", "externalDocs")

Node = dict[str, Any]


class Found(NamedTuple):
    """An operation in a document: the path as written there, its path item, itself."""

    path: str
    item: Node
    operation: Node


def find_operation(document: Mapping[str, Any], rule: OperationRule) -> Found | None:
    """Find an operation by method and path, whatever the placeholders are called."""
    wanted = _PLACEHOLDER.sub("{}", rule.path)
    paths = sorted(document.get("paths", {}), key=lambda path: path != rule.path)
    for path in paths:
        if _PLACEHOLDER.sub("{}", path) == wanted:
            item = _object(resolve(document["paths"][path], document), path)
            if rule.method in item:
                return Found(path, item, _object(item[rule.method], f"{path}/{rule.method}"))
            return None
    return None


def _object(node: Any, place: str) -> Node:
    if not isinstance(node, dict):
        raise StepError("validate", f"paths: {place}: {node!a:.80} stands where an object belongs")
    return node


class OperationComparison:
    """Compares one operation after another of two documents."""

    def __init__(
        self, old: Mapping[str, Any], new: Mapping[str, Any], rules: Rules, judge: Judge
    ) -> None:
        self._documents = old, new
        self._rules, self._judge = rules, judge
        self._schemas = SchemaComparison(old, new)

    def changes(self) -> Iterator[Change]:
        """List the changes of everything we use."""
        yield from self._account()
        for name, rule in self._rules.operations.items():
            pair = [find_operation(document, rule) for document in self._documents]
            if pair[0] is not None and pair[1] is not None:
                yield from self._operation(name, rule, pair[0], pair[1])
            elif pair[0] is not None or pair[1] is not None:
                yield self._come_or_gone(name, rule, pair[0], pair[1])

    def _account(self) -> Iterator[Change]:
        """Compare where keys are sent, and how: a human looks at every difference."""
        old, new = self._documents
        for key in ("servers", "security"):
            left, right = _plain(old.get(key)), _plain(new.get(key))
            if left != right:
                yield _told((key,), left, right, Severity.REVIEW, _STOPS.format(what=key))
        schemes = [_schemes(node) for node in (old, new)]
        asked = [name for node in (old, new) for one in node.get("security", []) for name in one]
        for name in sorted({*asked, *self._rules.expected.schemes}):
            left, right = _plain(schemes[0].get(name)), _plain(schemes[1].get(name))
            if left != right:
                place = ("components", "securitySchemes", name)
                words = _STOPS.format(what=f"the security scheme {name}")
                yield _told(place, left, right, Severity.REVIEW, words)

    def _come_or_gone(
        self, name: str, rule: OperationRule, old: Found | None, new: Found | None
    ) -> Change:
        place = ("paths", rule.path, rule.method)
        if old is None and new is not None:
            words = f"{name} is published again: it can be used."
            return _told(place, None, _short(new.operation), Severity.FEATURE, words)
        operation = old.operation if old is not None else {}
        words = f"{name} is no longer published: calls are going to fail."
        moved = self._moved(rule, operation)
        if moved:
            words += f" {moved} asks for the same: perhaps it moved there."
        return _told(place, _short(operation), None, Severity.BREAKING, words)

    def _moved(self, rule: OperationRule, operation: Node) -> str | None:
        """Name the one new operation that has the same parameters and body."""
        old, new = (_items(document) for document in self._documents)
        found = [
            f"{method.upper()} {path}"
            for path, item in new.items()
            for method, other in item.items()
            if method in _METHODS
            and isinstance(other, dict)
            and method not in old.get(path, {})
            and (path != rule.path or method != rule.method)
            and all(other.get(key) == operation.get(key) for key in ("parameters", "requestBody"))
        ]
        return found[0] if len(found) == 1 else None

    def _operation(
        self, name: str, rule: OperationRule, old: Found, new: Found
    ) -> Iterator[Change]:
        root = ("paths", new.path, rule.method)
        if old.path != new.path:
            words = f"{name} has the same address: what its placeholders are called is not sent."
            yield _told(("paths", new.path), old.path, new.path, Severity.DOCS, words)
        ends = self._rules.notices.extensions
        yield from _operation_notes(name, root, old.operation, new.operation, ends)
        for key in ("servers", "security"):
            left, right = (_own(found, key) for found in (old, new))
            if left != right:
                words = _STOPS.format(what=f"{key} of {name}")
                yield _told((*root, key), left, right, Severity.REVIEW, words)
        yield from self._parameters(name, root, old, new)
        yield from self._body(name, root, old.operation, new.operation)
        yield from self._responses(name, root, old.operation, new.operation)

    # What we send.

    def _parameters(self, name: str, root: Place, old: Found, new: Found) -> Iterator[Change]:
        left = self._listed(old, root, self._documents[0])
        right = self._listed(new, root, self._documents[1])
        for key in sorted({**left, **right}):
            place, parameter = right[key] if key in right else left[key]
            label = f"{name}.{parameter.get('in')}.{parameter.get('name')}"
            if key in left and key in right:
                yield from self._parameter(label, place, left[key][1], parameter)
            elif key in right:
                yield _parameter_added(label, place, parameter)
            else:
                words = f"Calls that give {label} are refused or no longer heeded."
                twins = [k for k in right if k not in left and _name(k) == _name(key)]
                words += f" It is {twins[0]} now." if twins else ""
                yield _told(place, _short(parameter), None, Severity.BREAKING, words)

    def _listed(
        self, found: Found, root: Place, document: Mapping[str, Any]
    ) -> dict[str, tuple[Place, Node]]:
        """List parameters by kind and name, those in the path by their position."""
        result = {}
        positions = {name: str(n) for n, name in enumerate(_PLACEHOLDER.findall(found.path))}
        for place, owner in ((root[:-1], found.item), (root, found.operation)):
            for index, node in enumerate(owner.get("parameters", [])):
                parameter = resolve(node, document)
                where, name = str(parameter.get("in")), str(parameter.get("name"))
                if where == "header":
                    name = name.lower()
                if where == "path":
                    name = positions.get(f"{{{name}}}", name)
                if not (where == "header" and name in _NO_PARAMETERS):
                    result[f"{where}.{name}"] = ((*place, "parameters", str(index)), parameter)
        return result

    def _parameter(self, label: str, place: Place, old: Node, new: Node) -> Iterator[Change]:
        needed = [node.get("required") is True or node.get("in") == "path" for node in (old, new)]
        if needed[0] != needed[1]:
            severity = Severity.BREAKING if needed[1] else Severity.FEATURE
            words = f"{label} must be given." if needed[1] else f"{label} may be left out."
            yield _told((*place, "required"), needed[0], needed[1], severity, words)
        yield from _flagged(label, place, old, new)
        yield from _noted(label, place, old, new, "description", "example", "examples")
        for key in ("style", "explode", "allowReserved", "allowEmptyValue"):
            left, right = _serialised(old, key), _serialised(new, key)
            if left != right:
                looser = right is True and key.startswith("allow")
                severity = Severity.FEATURE if looser else Severity.BREAKING
                words = f"How {label} is written changes ({key})."
                yield _told((*place, key), left, right, severity, words)
        yield from self._parameter_schema(label, place, old, new)

    def _parameter_schema(self, label: str, place: Place, old: Node, new: Node) -> Iterator[Change]:
        kinds = [media_types(node.get("content")) for node in (old, new)]
        if [*kinds[0]] != [*kinds[1]]:
            words = f"How {label} is written changes."
            told = [[*kind] or None for kind in kinds]
            yield _told((*place, "content"), told[0], told[1], Severity.BREAKING, words)
            return
        bare = [(*kind.values(), node)[0] for kind, node in zip(kinds, (old, new), strict=True)]
        schemas = [node.get("schema", True) for node in bare]
        for difference in self._schemas.compare((schemas[0],), (schemas[1],)):
            yield self._judge.sent(difference, (*place, "schema"), label)

    def _body(self, name: str, root: Place, old: Node, new: Node) -> Iterator[Change]:
        place = (*root, "requestBody")
        left, right = (
            resolve(node.get("requestBody"), document)
            for node, document in zip((old, new), self._documents, strict=True)
        )
        if left is None or right is None:
            if left is not right:
                yield _body_come_or_gone(name, place, left, right)
            return
        needed = [body.get("required") is True for body in (left, right)]
        if needed[0] != needed[1]:
            yield self._body_required(name, place, required=needed[1])
        yield from _noted(f"{name}.body", place, left, right, "description")
        yield from self._body_content(name, (*place, "content"), left, right)

    def _body_required(self, name: str, place: Place, *, required: bool) -> Change:
        """Judge a body that must or need not be sent: where we always send one, nobody notices."""
        corrected = any(c.at == f"{name}/body/required" for c in self._rules.corrections)
        told = (*place, "required"), not required, required
        if not required:
            return _told(*told, Severity.FEATURE, f"The body of {name} may be left out.")
        if corrected:
            words = f"The facade always sends the body of {name}: the correction can go."
            return _told(*told, Severity.REVIEW, words)
        return _told(*told, Severity.BREAKING, f"Calls of {name} without a body are refused.")

    def _body_content(self, name: str, place: Place, old: Node, new: Node) -> Iterator[Change]:
        left, right = media_types(old.get("content")), media_types(new.get("content"))
        ours = _ours(left)
        for kind in sorted({**left, **right}):
            if kind in left and kind in right:
                ours_too = kind == ours
                yield from self._media(name, (*place, kind), left[kind], right[kind], ours=ours_too)
            elif kind in right:
                words = f"{name} also takes {kind}; the facade goes on with {ours}."
                yield _told((*place, kind), None, kind, Severity.FEATURE, words)
            else:
                severity = Severity.BREAKING if kind == ours else Severity.DOCS
                words = f"{name} no longer takes {kind}" + (
                    ", which is what the facade sends." if kind == ours else "; nothing sends it."
                )
                yield _told((*place, kind), kind, None, severity, words)

    def _media(
        self, name: str, place: Place, old: Node, new: Node, *, ours: bool
    ) -> Iterator[Change]:
        label = f"{name}.body"
        if not ours:
            if _plain(old) != _plain(new):
                words = f"{label} in a form that the facade does not send changes."
                yield _told(place, _short(old), _short(new), Severity.DOCS, words)
            return
        yield from _noted(label, place, old, new, "example", "examples")
        if _plain(old.get("encoding")) != _plain(new.get("encoding")):
            words = f"How the parts of {label} are written changes: look."
            told = _short(old.get("encoding")), _short(new.get("encoding"))
            yield _told((*place, "encoding"), *told, Severity.REVIEW, words)
        schemas = old.get("schema", True), new.get("schema", True)
        for difference in self._schemas.compare((schemas[0],), (schemas[1],)):
            yield self._judge.sent(difference, (*place, "schema"), label)

    # What we receive.

    def _responses(self, name: str, root: Place, old: Node, new: Node) -> Iterator[Change]:
        left, right = (
            {
                _status(str(status)): resolve(response, document)
                for status, response in node.get("responses", {}).items()
                if not str(status).startswith("x-")
            }
            for node, document in zip((old, new), self._documents, strict=True)
        )
        good = any(_success(status) for status in right)
        for status in sorted({**left, **right}):
            place = (*root, "responses", status)
            label = f"{name}.{status}"
            if status in left and status in right:
                yield from self._response(label, place, left[status], right[status])
            elif status in right:
                yield _status_added(name, status, place)
            else:
                yield _status_removed(name, status, place, good=good)

    def _response(self, label: str, place: Place, old: Node, new: Node) -> Iterator[Change]:
        yield from _noted(label, place, old, new, "description", "links", direction="response")
        yield from self._headers(label, (*place, "headers"), old, new)
        left, right = media_types(old.get("content")), media_types(new.get("content"))
        error = not _success(label.rpartition(".")[2])
        for kind in sorted({**left, **right}):
            if kind in left and kind in right:
                yield from self._answer(label, (*place, "content", kind), left[kind], right[kind])
                continue
            came = kind in right
            severity, words = _kind_changed(label, kind, came=came, error=error, empty=not left)
            offered = (*place, "content", kind)
            left_kind, right_kind = (None, kind) if came else (kind, None)
            yield _told(offered, left_kind, right_kind, severity, words, direction="response")

    def _answer(self, label: str, place: Place, old: Node, new: Node) -> Iterator[Change]:
        yield from _noted(label, place, old, new, "example", "examples", direction="response")
        error = not _success(label.rpartition(".")[2])
        if place[-1] != _JSON:
            return
        schemas = old.get("schema", True), new.get("schema", True)
        for difference in self._schemas.compare((schemas[0],), (schemas[1],)):
            yield self._judge.received(difference, (*place, "schema"), label, error=error)

    def _headers(self, label: str, place: Place, old: Node, new: Node) -> Iterator[Change]:
        left, right = (
            {name.lower(): resolve(header, document) for name, header in headers.items()}
            for headers, document in zip(
                (old.get("headers", {}), new.get("headers", {})), self._documents, strict=True
            )
        )
        for name in sorted({**left, **right}):
            told = (*place, name), _short(left.get(name)), _short(right.get(name))
            if name in left and name in right:
                yield from self._header(f"{label}.{name}", (*place, name), left[name], right[name])
            elif name in left:
                words = f"{label} no longer has the header {name}: what reads it finds nothing."
                yield _told(*told, Severity.REVIEW, words, direction="response")
            elif name in _GONE_SOON:
                words = f"{label} announces with {name} that it is going to disappear: tell users."
                yield _told(*told, Severity.REVIEW, words, direction="response")
            else:
                words = f"{label} has the header {name} too; nothing reads it yet."
                yield _told(*told, Severity.FEATURE, words, direction="response")

    def _header(self, label: str, place: Place, old: Node, new: Node) -> Iterator[Change]:
        yield from _noted(label, place, old, new, "description", "example", direction="response")
        if (old.get("required") is True) != (new.get("required") is True):
            severity = Severity.DOCS if new.get("required") is True else Severity.FEATURE
            told = old.get("required") is True, new.get("required") is True
            words = f"Whether {label} is always sent changes."
            yield _told((*place, "required"), *told, severity, words, direction="response")
        schemas = old.get("schema", True), new.get("schema", True)
        for difference in self._schemas.compare((schemas[0],), (schemas[1],)):
            yield self._judge.received(difference, (*place, "schema"), label, error=True)


_STOPS: Final = "{what}: where or how the key is sent changes; a run of scripts/regenerate stops."
_METHODS: Final = frozenset("get put post delete options head patch trace".split())


def _items(document: Mapping[str, Any]) -> dict[str, Node]:
    """Return every path; one that is not ours may be anything."""
    return {path: item for path, item in document["paths"].items() if isinstance(item, dict)}


def _schemes(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the security schemes; what is none is like nothing at all, and looked at as that."""
    found = document.get("components", {}).get("securitySchemes")
    return found if isinstance(found, dict) else {}


def media_types(content: Mapping[str, Any] | None) -> dict[str, Node]:
    """Return what is offered, by media type without its parameters."""
    return {kind.partition(";")[0].strip().lower(): node for kind, node in (content or {}).items()}


def _ours(offered: Mapping[str, Any]) -> str:
    """Choose the media type that the pipeline chooses."""
    return _JSON if _JSON in offered or not offered else min(offered)


def _status(status: str) -> str:
    return status.upper() if status[:1].isdigit() else status


def _success(status: str) -> bool:
    return status.startswith("2")


def _operation_notes(
    name: str, root: Place, old: Node, new: Node, ends: Sequence[str]
) -> Iterator[Change]:
    yield from _flagged(name, root, old, new)
    yield from _noted(name, root, old, new, *_DOCS)
    for key in sorted({**old, **new}):
        left, right = old.get(key), new.get(key)
        if left == right or not (key.startswith("x-") or key == "callbacks"):
            continue
        if key == ALIASES:
            yield from _aliases(name, (*root, key), left or [], right or [])
        elif key in ends:
            words = f"What Krea says about the end of {name} changes: tell users."
            yield _told((*root, key), left, right, Severity.REVIEW, words)
        elif key == "callbacks":
            words = f"What {name} sends to webhooks changes: look."
            yield _told((*root, key), _short(left), _short(right), Severity.REVIEW, words)
        else:
            words = f"A remark of Krea's own on {name} changes; the facade does not read it."
            yield _told((*root, key), left, right, Severity.DOCS, words)


def _aliases(name: str, place: Place, old: Any, new: Any) -> Iterator[Change]:
    left, right = _by_text(old), _by_text(new)
    for text, alias in left.items():
        if text not in right:
            words = f"{name}: {_alias(alias)}: the old name is no longer promised to work."
            yield _told(place, alias, None, Severity.REVIEW, words)
    for text, alias in right.items():
        if text not in left:
            words = f"{name}: {_alias(alias)}: tell users, and warn when the old name is used."
            yield _told(place, None, alias, Severity.REVIEW, words)


def _alias(alias: Any) -> str:
    said = alias if isinstance(alias, dict) else {}
    until = f" until {brief(said['sunset_date'])}" if said.get("sunset_date") else ""
    return f"{brief(said.get('from'))} is called {brief(said.get('to'))}{until}"


def _by_text(listed: Any) -> dict[str, Any]:
    every = listed if isinstance(listed, list) else [listed]
    return {json.dumps(one, sort_keys=True): one for one in every}


def _flagged(label: str, place: Place, old: Node, new: Node) -> Iterator[Change]:
    left, right = old.get("deprecated") is True, new.get("deprecated") is True
    if left != right:
        severity = Severity.REVIEW if right else Severity.DOCS
        words = f"{label} is {'' if right else 'no longer '}announced to disappear" + (
            ": tell users, and warn when it is used." if right else "."
        )
        yield _told((*place, "deprecated"), left, right, severity, words)


def _noted(
    label: str,
    place: Place,
    old: Node,
    new: Node,
    *keys: str,
    direction: Direction = "request",
) -> Iterator[Change]:
    for key in keys:
        left, right = _prose(old.get(key)), _prose(new.get(key))
        if left != right:
            words = f"Only the description of {label} changes."
            yield _told((*place, key), left, right, Severity.DOCS, words, direction=direction)


def _prose(said: Any) -> Any:
    return (" ".join(said.split()) or None) if isinstance(said, str) else said


def _parameter_added(label: str, place: Place, node: Node) -> Change:
    if node.get("required") is True:
        words = f"{label} must be given: calls of installed versions are refused."
        return _told(place, None, _short(node), Severity.BREAKING, words)
    words = f"{label} can be given; calls that leave it out go on as before."
    return _told(place, None, _short(node), Severity.FEATURE, words)


def _body_come_or_gone(name: str, place: Place, old: Any, new: Any) -> Change:
    if old is None:
        needed = new.get("required") is True
        severity = Severity.BREAKING if needed else Severity.FEATURE
        words = f"{name} {'must' if needed else 'can'} have a body now."
        return _told(place, None, _short(new), severity, words)
    words = f"{name} has no body any more: what is sent in it is refused or not heeded."
    return _told(place, _short(old), None, Severity.BREAKING, words)


def _serialised(node: Node, key: str) -> Any:
    style = node.get("style", _STYLES.get(str(node.get("in")), "form"))
    defaults = {"style": style, "explode": style == "form"}
    return node.get(key, defaults.get(key, False))


def _status_added(name: str, status: str, place: Place) -> Change:
    severity, words = Severity.FEATURE, f"{name} may answer {status}: it raises as others do."
    if status == "410":
        severity, words = Severity.REVIEW, f"{name} may answer 410: it is going to be retired."
    elif _success(status):
        severity, words = Severity.REVIEW, f"{name} may succeed with {status}: look what it means."
    elif status.startswith(("1", "3")):
        severity, words = Severity.REVIEW, f"{name} may answer {status}, which nothing follows."
    return _told(place, None, status, severity, words, direction="response")


def _status_removed(name: str, status: str, place: Place, *, good: bool) -> Change:
    severity, words = Severity.DOCS, f"{name} no longer promises {status}; it is read all the same."
    if _success(status) and good:
        severity, words = Severity.REVIEW, f"{name} no longer succeeds with {status}: look."
    elif _success(status):
        severity, words = Severity.BREAKING, f"{name} has no success any more."
    return _told(place, status, None, severity, words, direction="response")


def _kind_changed(
    label: str, kind: str, *, came: bool, error: bool, empty: bool
) -> tuple[Severity, str]:
    if came:
        severity = Severity.FEATURE if error or empty else Severity.REVIEW
        return severity, f"{label} may come as {kind} too; a body that is no JSON is not read."
    if error or kind != _JSON:
        return Severity.REVIEW, f"{label} no longer comes as {kind}: look."
    return Severity.BREAKING, f"{label} no longer comes as {kind}, which is what the facade reads."


def _own(found: Found, key: str) -> Any:
    node = found.operation.get(key, found.item.get(key) if key == "servers" else None)
    return _plain(node)


def _name(key: str) -> str:
    return key.partition(".")[2].lower()


def _plain(node: Any) -> Any:
    """Leave descriptions and remarks out."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _plain(value) for key, value in node.items() if key not in {*_DOCS, "tags"}}
    return {key: value for key, value in kept.items() if not key.startswith("x-")}


def _short(node: Any) -> Any:
    """Keep of a large node what names it."""
    if not isinstance(node, dict):
        return node
    names = ("summary", "name", "in", "required", "deprecated", "schema", "type", "scheme")
    kept = {key: node[key] for key in names if key in node}
    return kept or sorted(node)


def _told(
    place: Place,
    old: Any,
    new: Any,
    severity: Severity,
    consequence: str,
    *,
    direction: Direction = "request",
) -> Change:
    return Change(pointer(place), old, new, severity, direction, consequence)
