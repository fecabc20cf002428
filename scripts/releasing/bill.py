"""The bill of materials of a wheel: what a plain install of it brings along, as CycloneDX.

A library states ranges; which versions a user gets, the user decides. The bill states the versions
that the release was tested with: those of the lock, for the wheel's own requirements and all that
these require, on any supported Python and system. Extras are left out.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import re
import uuid
import zipfile
from typing import TYPE_CHECKING, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from releasing.failure import ReleaseError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator
    from pathlib import Path


_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
_SYSTEMS: Final = (
    ("linux", "Linux", "posix"),
    ("darwin", "Darwin", "posix"),
    ("win32", "Windows", "nt"),
)
_NEWEST: Final = 14
"""The newest Python that the classifiers name."""


def bill_of_materials(wheel: Path, lock: Path, when: dt.datetime) -> str:
    """Write the bill of materials of a wheel.

    Args:
        wheel: The wheel.
        lock: Locked requirements, which hold those of the wheel.
        when: The time that stands in it; the same wheel, lock and time give the same bytes.

    Raises:
        ReleaseError: The lock lacks something that the wheel requires.
    """
    metadata = _metadata_of(wheel)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pins = _pins(lock)
    itself = _component(str(metadata.name), str(metadata.version), str(metadata.license_expression))
    itself.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest))
    bill = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{digest}"))
    bill.metadata.timestamp = when
    bill.metadata.component = itself
    parts: dict[str, Component] = {}
    graph = dict(_walk(_names(metadata.requires_dist or []), pins))
    for name in graph:
        parts[name] = _component(name, pins[name], _licence(name))
    bill.components.update(parts.values())
    bill.register_dependency(itself, [parts[name] for name in _names(metadata.requires_dist or [])])
    for name, needs in graph.items():
        bill.register_dependency(parts[name], [parts[needed] for needed in needs])
    return JsonV1Dot6(bill).output_as_string(indent=2) + "\n"


def _metadata_of(wheel: Path) -> Metadata:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return Metadata.from_email(archive.read(name), validate=True)


def _pins(lock: Path) -> dict[str, str]:
    found = _PIN.findall(lock.read_text(encoding="utf-8"))
    return {canonicalize_name(name): version for name, version in found}


def _walk(wanted: Iterable[str], pins: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Walk over all that is required, each once, with what it requires itself."""
    waiting, seen = [*wanted], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        if name not in pins:
            raise ReleaseError(f"the lock has no {name}: run `scripts/lock --keep`")
        seen.add(name)
        needs = _names(map(Requirement, importlib.metadata.requires(name) or []))
        yield name, needs
        waiting += needs


def _names(requirements: Iterable[Requirement]) -> list[str]:
    """Name what is required without extras, on any supported Python and system."""
    return sorted({canonicalize_name(each.name) for each in requirements if _applies(each)})


def _applies(requirement: Requirement) -> bool:
    if requirement.marker is None:
        return True
    surroundings = (
        {
            "extra": "",
            "python_version": f"3.{minor}",
            "python_full_version": f"3.{minor}.0",
            "sys_platform": system,
            "platform_system": title,
            "os_name": kind,
        }
        for minor, (system, title, kind) in itertools.product(range(11, _NEWEST + 1), _SYSTEMS)
    )
    return any(map(requirement.marker.evaluate, surroundings))


def _component(name: str, version: str, licence: str | None) -> Component:
    purl = PackageURL("pypi", name=name, version=version)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=purl,
        bom_ref=purl.to_string(),
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
    )


def _licence(name: str) -> str | None:
    """Return the licence that a package states: as an expression, or in a few words."""
    stated = importlib.metadata.metadata(name)
    words = stated.get("License-Expression") or stated.get("License")
    return words if words and "\n" not in words else None
