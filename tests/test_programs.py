"""Programs in benchmarks/, tools/ and examples/ still fit the library: their imports work."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(path for folder in ("benchmarks", "examples", "tools") for path in (ROOT / folder).glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_imports_work(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(program.parent), *sys.path])
    try:
        runpy.run_path(str(program), run_name="not_main")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("saywhere"):
            raise
        pytest.skip(f"{error.name} is not installed")
