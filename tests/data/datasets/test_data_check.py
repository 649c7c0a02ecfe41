"""What is found to be wrong with a data set, and the command that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saywhere.core.images import ORIENTATION, image_size, read_header, read_image
from saywhere.data.datasets import Sample, load_dataset
from saywhere.data.datasets.check import check


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GrabCut with two sound objects, ``a`` and ``b``."""
    monkeypatch.setenv("SAYWHERE_DATA", str(tmp_path))
    folder = tmp_path / "grabcut"
    for part in ("data_GT", "boundary_GT"):
        (folder / part).mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("RGB", (30, 20)).save(folder / "data_GT" / f"{name}.jpg")
        write(folder, name, 255)
    return folder


def write(folder: Path, name: str, value: int, size: tuple[int, int] = (30, 20)) -> None:
    """A mask with a square of ``value``."""
    mask = Image.new("L", size)
    mask.paste(value, (5, 5, 15, 15))
    mask.save(folder / "boundary_GT" / f"{name}.png")


def fault(folder: Path) -> str:
    """The only fault there is."""
    (found,) = check(load_dataset("grabcut"))
    return found


def test_a_sound_data_set_has_no_fault(folder: Path) -> None:
    assert check(load_dataset("grabcut")) == []


def test_an_empty_one_has() -> None:
    assert check([]) == ["no object at all; expected at least one"]


def test_a_missing_photograph_is_named_once(folder: Path) -> None:
    samples = load_dataset("grabcut")
    (folder / "data_GT" / "b.jpg").unlink()
    again = Sample("c", samples[1].image_path, samples[1].target)
    (found,) = check([*samples, again])
    assert found == f"photograph '{folder / 'data_GT' / 'b.jpg'}': there is no such file; expected the " \
        "photograph of object 'b'"  # fmt: skip


def test_a_photograph_that_is_none(folder: Path) -> None:
    (folder / "data_GT" / "b.jpg").write_text("nothing")
    assert "b.jpg': not an image" in fault(folder)


@pytest.mark.parametrize("content", [None, b"", b"nothing"])
def test_a_missing_or_broken_mask(folder: Path, content: bytes | None) -> None:
    samples = load_dataset("grabcut")
    path = folder / "boundary_GT" / "a.png"
    path.unlink() if content is None else path.write_bytes(content)
    (found,) = check(samples)
    assert found.startswith("object 'a' of ")
    assert f"mask '{path}': missing or not an image" in found
    assert "\n" not in found


def test_a_mask_of_another_size(folder: Path) -> None:
    write(folder, "a", 255, (20, 30))
    assert "a.png': the mask is 20x30; expected 30x20, as the photograph" in fault(folder)


def test_what_is_not_counted_of_another_size(folder: Path) -> None:
    a, _ = load_dataset("grabcut")
    (found,) = check([Sample("a", a.image_path, a.target, partial(np.zeros, (3, 4), bool))])
    assert "what is not counted is 4x3; expected 30x20" in found


@pytest.mark.parametrize("value", [0, 128])
def test_a_mask_without_a_pixel_that_counts(folder: Path, value: int) -> None:
    write(folder, "b", value)
    assert "b.png': the mask is empty; expected at least one object pixel that counts" in fault(folder)


def test_an_object_that_is_wholly_not_counted(folder: Path) -> None:
    a, _ = load_dataset("grabcut")
    (found,) = check([Sample("a", a.image_path, a.target, a.target)])
    assert "the mask is empty" in found


def test_a_name_that_comes_twice(folder: Path) -> None:
    a, _ = load_dataset("grabcut")
    (found,) = check([a, a])
    assert found.startswith("object 'a': the name comes twice")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_a_photograph_that_was_turned(folder: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = folder / f"turned.{kind}"
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert image_size(path) == read_image(path).shape[:2]
    assert read_header(path).is_turned == (orientation != 1)
    a, _ = load_dataset("grabcut")
    assert len(check([Sample("a", path, a.target)])) == (orientation >= 5)


def saywhere(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "saywhere.cli", "data", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_verb_lists_all(folder: Path) -> None:
    (folder.parent / "davis").mkdir()
    result = saywhere()
    assert result.returncode == 0, result.stderr
    lines = {line.split("│")[1].strip(): line for line in result.stdout.splitlines() if line.count("│") > 4}
    for words in ("50 objects", " 2 objects", "research", "github.com/saic-vul"):
        assert words in lines["grabcut"]
    assert " no " in lines["ecssd"]
    assert "another layout" in lines["davis"]
    assert "refcocog:test" in lines


def test_the_verb_checks_one(folder: Path) -> None:
    sound = saywhere("grabcut")
    assert sound.returncode == 0, sound.stderr
    assert "2 objects of 50 published, nothing wrong" in sound.stdout
    write(folder, "a", 0)
    write(folder, "b", 255, (3000, 2))
    wrong = saywhere("grabcut")
    assert wrong.returncode == 2
    assert ["a.png" in line for line in wrong.stdout.splitlines()] == [True, False]
    assert "b.png': the mask is 3000x2" in wrong.stdout
    assert wrong.stderr.strip() == "saywhere: data 'grabcut': 2 faults, listed above; mend or remove these files first"


def test_the_verb_knows_what_it_does_not_know(folder: Path) -> None:
    result = saywhere("grapcut")
    assert result.returncode == 2
    assert "grapcut" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
