"""No command reads the pixels of an image twice, or opens a file more often than it must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import atexit, collections, json, os, sys
counts = collections.Counter()

def hook(event, arguments):
    # What is opened to be written is not counted.
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        if isinstance(arguments[0], (str, os.PathLike)):
            counts[os.path.relpath(arguments[0])] += 1

from saywhere.cli.main import main
sys.addaudithook(hook)
try:
    main()
finally:
    print(json.dumps(counts), file=sys.stderr)
"""


def opened(folder: Path, *arguments: str) -> dict[str, int]:
    """How often a command opens each file below a folder."""
    run = subprocess.run(
        [sys.executable, "-c", COUNT, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    counts: dict[str, int] = json.loads(run.stderr.strip().splitlines()[-1])
    return {name: count for name, count in counts.items() if not name.startswith("..")}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data", "data.json"], 1),
        (["convert", "data.json", "out.json", "--to", "coco"], 1),
        (["convert", "data.json", "out", "--to", "voc"], 2),  # the header, and the copy
    ],
)
def test_of_datasets_and_conversion(coco: Path, arguments: list[str], expected: int) -> None:
    counts = opened(coco.parent, *arguments)
    assert counts["data.json"] == (2 if arguments[0] == "convert" else 1)  # its first bytes tell the format
    assert [counts[f"set/{i}.png"] for i in range(1, 7)] == [expected] * 6


def test_of_segmenting(coco: Path) -> None:
    assert opened(coco.parent, "segment", "set/1.png", "--click", "40,30", "--out", "m.png")["set/1.png"] == 1
