"""The layers of docs/design.md: imports point downwards, without cycles (contracts in pyproject.toml)."""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _configured() -> None:
    configure()


def lint(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    kept = lint_imports(config_filename=str(config), cache_dir=None)
    return kept, capsys.readouterr().out


def test_imports_keep_the_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    kept, report = lint(ROOT / "pyproject.toml", capsys)
    assert kept, report


def test_a_broken_contract_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check itself works: turned upside down, the layers are broken."""
    config = tmp_path / "upside-down.toml"
    config.write_text(
        '[tool.importlinter]\nroot_package = "saywhere"\n[[tool.importlinter.contracts]]\nname = "upside down"\n'
        'type = "layers"\ncontainers = ["saywhere"]\nlayers = ["core", "evaluation", "cli"]\n'
    )
    kept, report = lint(config, capsys)
    assert not kept
    assert "upside down" in report


def test_test_files_have_names_of_their_own() -> None:
    """A spawned process imports a test module by its name: of two of one name it would get the first."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in ("__init__.py", "conftest.py")]
    assert sorted(names) == sorted(set(names))
