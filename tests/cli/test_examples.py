"""The examples do what they say, twice in the same folder."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clicks_and_undo", "without the face"),
        ("phrase", "bicycle: not in the image"),
        ("sequence", "2.png: click"),
        ("own_method", "pixels of the rocket's colour"),
        ("prelabel_and_convert", "3 objects → demo/labelme"),
    ],
)
def test_an_example_runs(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    example = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    for _ in range(2):
        example["main"]()
        assert expected in capsys.readouterr().out


def test_there_are_at_most_six() -> None:
    assert len(list(EXAMPLES.glob("*.py"))) <= 6
