"""The program that starts the backend for Label Studio, as a process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_program_starts_answers_and_ends(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "integrations.label_studio", "--port", str(port)]
    command += ["--images", str(tmp_path), "--states", str(tmp_path / "states")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    assert json.load(answer)["status"] == "UP"
                break
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.3)
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=120)
    assert f"http://127.0.0.1:{port}" in said


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--host", "0.0.0.0"], "set SAYWHERE_BASIC_AUTH to user:password first"),
        (["--images", "nowhere"], "--images 'nowhere': not a folder"),
        (["--url", "localhost"], "--url 'localhost': give Label Studio's address"),
        (["--shape", "circle"], "--shape 'circle': give brush, polygon, rectangle"),
    ],
)
def test_options_of_no_use_get_one_line(arguments: list[str], line: str) -> None:
    command = [sys.executable, "-m", "integrations.label_studio", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
