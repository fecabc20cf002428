"""What changed in the Python surface: what griffe calls breaking, and which names are new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import griffe

from updating.failure import UpdateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FACADE: Final = "krea_aleph"
PACKAGES: Final = {"krea_aleph_api": "generated", FACADE: "."}
"""The packages of the wheel, and the folder of the checkout that each is in; the facade comes
last, because it exports names of the other one."""


def compare(old: Path, new: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Compare two checkouts without importing anything of theirs.

    Returns:
        What breaks, as `dotted.name: reason`, and the dotted names that are new; both sorted.

    Raises:
        UpdateError: A package cannot be read.
    """
    broken: set[str] = set()
    added: set[str] = set()
    for before, after in zip(_load(old), _load(new), strict=True):
        for breakage in griffe.find_breaking_changes(before, after):
            broken.add(f"{breakage.obj.path}: {breakage.kind.value.lower()}")
        added.update(set(_names(after)) - set(_names(before)))
    return tuple(sorted(broken)), tuple(sorted(_outermost(added)))


def _load(checkout: Path) -> list[griffe.Module]:
    modules, lines = griffe.ModulesCollection(), griffe.LinesCollection()
    loaded = [_load_package(checkout, package, modules, lines) for package in PACKAGES]
    for package in loaded:
        if package.name == FACADE:
            _hide_insides(package)
    return loaded


def _load_package(
    checkout: Path, package: str, modules: griffe.ModulesCollection, lines: griffe.LinesCollection
) -> griffe.Module:
    try:
        loaded = griffe.load(
            package,
            search_paths=[checkout / PACKAGES[package]],
            try_relative_path=False,  # the folder that one happens to be in is not meant
            allow_inspection=False,  # an inspection would import it
            resolve_aliases=True,
            modules_collection=modules,
            lines_collection=lines,
        )
    except (griffe.GriffeError, ImportError, SyntaxError, OSError) as error:
        raise UpdateError("surface", f"{package} cannot be read: {error!r}") from error
    if not isinstance(loaded, griffe.Module):
        raise UpdateError("surface", f"{package} is no package")
    return loaded


def _hide_insides(facade: griffe.Module) -> None:
    """Leave of the packages around the core what they export: their modules are their own."""
    for package in facade.modules.values():
        if not package.is_alias:
            for name in [*package.modules]:
                package.del_member(name)


def _names(owner: griffe.Object | griffe.Alias) -> Iterator[str]:
    """List the public names below a module or class, each by the place where it is defined."""
    for exported in owner.members.values():
        member = _defined(exported)
        if member is None or not exported.is_public:
            continue
        yield member.path
        if member.is_module or member.is_class:
            yield from _names(member)


def _defined(exported: griffe.Object | griffe.Alias) -> griffe.Object | None:
    """Return what a name stands for; None for what other distributions define."""
    if not isinstance(exported, griffe.Alias):
        return exported
    try:
        return exported.final_target
    except (griffe.AliasResolutionError, griffe.CyclicAliasError):
        return None


def _outermost(names: set[str]) -> Iterator[str]:
    """Leave out what is new because the thing around it is."""
    for name in names:
        owner, _, _ = name.rpartition(".")
        if owner not in names:
            yield name
