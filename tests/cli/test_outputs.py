"""Outputs overwrite neither an input nor each other, are lossless, and are named as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from saywhere.cli.app import app
from saywhere.cli.main import is_out_of_memory
from saywhere.errors import SaywhereError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "30")
    rng = np.random.default_rng(0)
    for name, size in {"a.png": (64, 48), "x/p.png": (64, 48), "y/p.png": (80, 60), "p[final].png": (64, 48)}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)).save(name)
    return tmp_path


def segment(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["segment", *arguments, "--click", "20,20"])


@pytest.mark.parametrize(
    "outputs",
    [
        ["--out", "a.png"],
        ["--overlay", "a.png"],
        ["--cutout", "x/../a.png"],
        ["--out", "link.png"],
        ["--out", "hard.png"],
        ["--out", "m.png", "--overlay", "m.png"],
        ["--out", "m.png", "--cutout", "./m.png"],
        ["--out", "m.jpg"],
        ["--out", "m.webp"],
        ["--out", "m"],
    ],
)
def test_refused_before_anything_is_written(folder: Path, outputs: list[str]) -> None:
    Path("link.png").symlink_to("a.png")
    Path("hard.png").hardlink_to("a.png")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = segment("a.png", *outputs)
    assert isinstance(done.exception, SaywhereError)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_masks_of_two_images_of_one_name() -> None:
    assert segment("x/p.png").exit_code == 0
    first = Path("p-mask.png").read_bytes()
    done = segment("y/p.png")
    assert isinstance(done.exception, SaywhereError)
    assert "--out" in str(done.exception)
    assert Path("p-mask.png").read_bytes() == first
    # The same image again: its mask is replaced.
    assert segment("x/p.png", "--not", "5,5").exit_code == 0
    assert set(np.unique(np.asarray(Image.open("p-mask.png")))) <= {0, 255}
    Path("a-mask.png").write_bytes(b"a file of the user's")
    assert isinstance(segment("a.png").exception, SaywhereError)


def test_names_with_brackets_are_printed_on_one_line() -> None:
    done = segment("p[final].png")
    assert "→ p[final]-mask.png\n" in done.output
    done = segment("a.png", "--out", "out[/b].png")
    assert done.exit_code == 0
    assert "→ out[/b].png\n" in done.output
    name = "x" * 240 + ".png"
    assert segment("a.png", "--out", name).exit_code == 0
    assert Path(name).exists()


def prelabel(out: str = "o.json", *arguments: str) -> Result:
    return CliRunner().invoke(app, ["prelabel", "x", "--points", "p.csv", "--out", out, *arguments])


def test_a_replaced_image_gets_a_new_mask() -> None:
    Path("p.csv").write_text("file,x,y\np.png,20,20\n")
    assert prelabel().exit_code == 0
    first = json.loads(Path("o.json").read_text())["annotations"]
    journal = Path("o.jsonl").read_text()
    assert prelabel().exit_code == 0
    assert Path("o.jsonl").read_text().strip() == journal.strip()  # nothing was segmented again
    image = Image.open("x/p.png").copy()
    Path("y/p.png").rename("x/p.png")
    assert prelabel().exit_code == 0
    assert json.loads(Path("o.json").read_text())["annotations"][0]["segmentation"]["size"] == [60, 80]
    image.save("x/p.png")
    assert prelabel().exit_code == 0
    assert json.loads(Path("o.json").read_text())["annotations"] == first


@pytest.mark.parametrize("out", ["p.csv", "x/p.png", "link.json"])
def test_prelabel_does_not_overwrite_what_it_reads(out: str) -> None:
    Path("p.csv").write_text("file,x,y\np.png,20,20\n")
    Path("link.json").symlink_to("p.csv")
    before = Path("p.csv").read_bytes(), Path("x/p.png").read_bytes()
    assert isinstance(prelabel(out).exception, SaywhereError)
    assert (Path("p.csv").read_bytes(), Path("x/p.png").read_bytes()) == before


def test_want_of_memory_is_recognised() -> None:
    inner = ImportError("libopenblas.so: failed to map segment from shared object")
    outer = ImportError("Error importing numpy")
    outer.__cause__ = inner
    assert is_out_of_memory(outer)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("std::bad_alloc"))
    assert not is_out_of_memory(ImportError("No module named 'x'"))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_a_limit_of_memory_ends_in_one_line() -> None:
    command = f"ulimit -v 200000; exec {sys.executable} -m saywhere.cli segment a.png --click 5,5"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("saywhere: there is not enough memory")
    assert done.stderr.count("\n") == 1
