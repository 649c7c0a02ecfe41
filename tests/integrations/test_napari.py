"""napari's layers in its own viewer model, which needs no window."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saywhere
from conftest import disc

components = pytest.importorskip("napari.components")
layers = importlib.import_module("integrations.napari.layers")

ROOT = Path(__file__).parents[2]
CAT = ROOT / "src/saywhere/annotate/samples/chelsea.jpg"
DISC = disc(480, 640, 300, 200, 40)


@pytest.fixture
def viewer() -> Any:
    return components.ViewerModel()


@pytest.fixture
def made(viewer: Any, photo: np.ndarray) -> Any:
    return layers.SegmentationLayers(viewer, saywhere.load().set_image(photo))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_points_give_the_segmenters_mask(made: Any, photo: np.ndarray) -> None:
    segmenter = saywhere.load().set_image(photo)
    made.on.add([[200, 300]])
    assert np.array_equal(made.objects.data == 1, segmenter.click(300, 200).array)
    made.off.add([[200, 320]])
    assert np.array_equal(made.objects.data == 1, segmenter.click(320, 200, positive=False).array)


def test_a_point_that_is_removed_or_moved_counts_no_more(made: Any) -> None:
    made.on.add([[200, 300]])
    before = made.objects.data.copy()
    made.off.add([[200, 320]])
    made.off.selected_data = {0}
    made.off.remove_selected()
    assert np.array_equal(made.objects.data, before)
    made.on.data = np.array([[20.0, 20.0]])
    assert not np.array_equal(made.objects.data, before)


def test_a_box(made: Any) -> None:
    made.box.add_rectangles(np.array([[158.0, 258.0], [242.0, 342.0]]))
    assert iou(made.objects.data == 1, DISC) > 0.9


def test_the_key_begins_the_next_object_and_keeps_the_first(viewer: Any, made: Any) -> None:
    made.on.add([[200, 300]])
    first = made.objects.data == 1
    (bound,) = [function for key, function in viewer.keymap.items() if str(key) in ("Shift+N", layers.NEXT_KEY)]
    bound(viewer)
    assert (len(made.on.data), made.number, made.objects.selected_label) == (0, 2, 2)
    made.on.add([[20, 20]])
    assert np.array_equal(made.objects.data == 1, first)
    assert (made.objects.data == 2).any()


def test_a_phrase_adds_every_object(viewer: Any) -> None:
    segmenter = saywhere.load().set_image(CAT)
    made = layers.SegmentationLayers(viewer, segmenter)
    count = made.say("cat")
    assert count == len(segmenter.instances("cat")) > 0
    assert made.number == count + 1
    assert set(np.unique(made.objects.data)) - {0} == set(range(1, count + 1))


def test_what_cannot_be_is_said_and_changes_nothing(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(layers, "show_warning", said.append)
    made.next_object()
    made.on.add([[200, 300]])
    before = made.objects.data.copy()
    made.on.add([[-50, 300]])
    assert np.array_equal(made.objects.data, before)
    assert ["no mask yet" in said[0], "outside the photograph" in said[1]] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "line"), [(["none.jpg"], "none.jpg"), ([str(CAT)], "pip install 'napari[pyqt6]'")]
)
def test_the_program_says_what_is_missing(arguments: list[str], line: str) -> None:
    if arguments != ["none.jpg"] and any(map(importlib.util.find_spec, ("PyQt6", "PyQt5", "PySide6"))):
        pytest.skip("Qt is installed")
    command = [sys.executable, "-m", "integrations.napari", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'napari[pyqt6]'" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
