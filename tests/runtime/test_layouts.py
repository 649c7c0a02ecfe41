"""The tables of layouts that are read and written name tests that exist, and every layout is in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from external_models import EXPORTS
from isegm_checkout import KINDS

from saywhere.cli.export import export

ROOT = Path(__file__).parents[2]
TABLES = json.loads((ROOT / "research/layouts.json").read_text(encoding="utf-8"))
NO_LAYOUTS = {"graphs", "project"}  # what else `saywhere export` writes


def test_every_layout_that_is_read_is_in_the_table_with_its_tests() -> None:
    named = [name for row in TABLES["read"]["rows"] for name in re.findall(r"`([^`]+)`", row[-1])]
    assert sorted(name for name in named if not name.startswith("test_")) == sorted([*EXPORTS, *KINDS])


def test_every_layout_that_is_written_is_in_the_table() -> None:
    offered = {command.callback.__name__ for command in export.registered_commands if command.callback is not None}
    assert {row[0].strip("`") for row in TABLES["written"]["rows"]} == offered - NO_LAYOUTS


def test_the_tests_that_the_tables_name_exist() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for kind in TABLES.values():
        assert all(len(row) == len(kind["header"]) for row in kind["rows"])
    named = {name for row in TABLES["written"]["rows"] for name in re.findall(r"`(\w+)`", row[-1])}
    named |= {name for row in TABLES["read"]["rows"] for name in re.findall(r"`(test_\w+)`", row[-1])}
    assert len(named) > 5
    assert [name for name in named if f"def {name}(" not in sources] == []
    assert all(re.search(r"`test_\w+`", row[-1]) for row in TABLES["written"]["rows"])
