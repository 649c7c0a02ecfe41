"""Licences and versions of what the package requires."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WEAK = {"psycopg", "psycopg-binary"}  # LGPL, in an extra of its own
EXTRAS = ("torch", "bench", "hub", "ray", "tables")
COPYLEFT = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)


def requirements(*extras: str) -> list[Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    found = [Requirement(text) for text in texts]
    return [each for each in found if canonicalize_name(each.name) != "saywhere"]


def with_their_own(direct: list[Requirement]) -> dict[str, metadata.Distribution]:
    """The installed packages that these require, and what those require, and so on."""
    found: dict[str, metadata.Distribution] = {}
    left = [each.name for each in direct]
    while left:
        name = canonicalize_name(left.pop())
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        needed = [Requirement(text) for text in found[name].requires or []]
        left += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def declared(package: metadata.Distribution) -> str:
    classifiers = [line for line in package.metadata.get_all("Classifier") or [] if line.startswith("License")]
    expression = package.metadata.get("License-Expression") or ""
    # The field License may hold the texts of all that a wheel contains; its first line names the licence.
    first = (package.metadata.get("License") or "").strip().partition("\n")[0]
    return " ".join([expression, first, *classifiers])


def test_nothing_required_is_under_the_gpl() -> None:
    packages = with_their_own(requirements(*EXTRAS))
    assert len(packages) > 30
    assert not {name: declared(each) for name, each in packages.items() if COPYLEFT.search(declared(each))}
    assert not packages.keys() & {"pymaxflow", *WEAK}


def test_the_page_of_licences_names_every_direct_requirement() -> None:
    page = canonicalize_name((ROOT / "docs" / "licences.md").read_text())
    names = [
        canonicalize_name(each.name) for each in requirements("torch", "bench", "hub", "ray", "tables", "postgres")
    ]
    assert not [name for name in names if name not in page]


def test_every_requirement_has_a_tested_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    direct = [
        canonicalize_name(each.name)
        for each in requirements("dev", "docs", "torch", "bench", "hub", "ray", "tables", "postgres")
    ]
    assert not sorted({*direct} - pinned)
