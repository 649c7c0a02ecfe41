"""Old names of options work for one release."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from saywhere.cli.main import app
from saywhere.cli.renamed import RENAMED, with_new_names


def test_old_names_become_new_ones_and_a_line_says_so() -> None:
    lines: list[str] = []
    given = ["bench", "--data", "--until", "x", "--strays=0", "--until", "85"]
    assert with_new_names(given, lines.append) == [
        "bench", "--data", "--target-iou", "x", "--unclicked-components=0", "--target-iou", "85"]  # fmt: skip
    assert len(lines) == 3
    assert all("deprecated" in line and "use --" in line for line in lines)


def test_other_verbs_and_values_stay() -> None:
    for given in (["segment", "--until", "85"], ["bench", "until", "x--strays"], [], ["--help"]):
        assert with_new_names(given, pytest.fail) == given


@pytest.mark.parametrize("verb", sorted(RENAMED))
def test_every_new_name_is_an_option(verb: str) -> None:
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    options = {name for option in command.params for name in option.opts}
    assert set(RENAMED[verb].values()) <= options


def test_the_program_prints_one_line_and_goes_on(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "saywhere.cli", "segment", "none.jpg", "--heat", "heat.png"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    warning, error = run.stderr.strip().splitlines()
    assert warning == "saywhere: --heat is deprecated and will be removed in the next release; use --relevance"
    assert "no prompt" in error
    assert run.returncode == 2
