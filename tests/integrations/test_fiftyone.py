"""Masks for a dataset of FiftyOne: the real one where its database runs, in a temporary folder, else a stand-in."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from fiftyone_stand_in import install
from typer.testing import CliRunner

import saywhere
from saywhere import SaywhereError

PLACE = tempfile.mkdtemp(prefix="saywhere-fiftyone-")
os.environ.setdefault("FIFTYONE_DATABASE_DIR", f"{PLACE}/db")
os.environ.setdefault("FIFTYONE_DEFAULT_DATASET_DIR", f"{PLACE}/datasets")
os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")


def find_fiftyone() -> Any:
    """FiftyOne, if it is here with its database; ``make test-fiftyone`` demands it."""
    try:
        module = importlib.import_module("fiftyone")
        module.list_datasets()
    except Exception:  # of many kinds, for many reasons
        if os.environ.get("SAYWHERE_FIFTYONE") == "real":
            raise
        return install()
    return module


fo = find_fiftyone()
adapter = importlib.import_module("integrations.fiftyone.samples")

SAMPLES = Path(__file__).parents[2] / "src/saywhere/annotate/samples"


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Any]:
    made = fo.Dataset(f"saywhere-{tmp_path.name}")
    for name in ("chelsea.jpg", "coffee.jpg"):
        shutil.copy(SAMPLES / name, tmp_path / name)
        made.add_sample(fo.Sample(filepath=str(tmp_path / name)))
    yield made
    made.delete()


def whole(detection: Any, size: tuple[int, int]) -> np.ndarray:
    """The mask in the image; FiftyOne's are cut to their boxes."""
    mask, (height, width) = np.zeros(size, np.bool_), size
    left, top = round(detection.bounding_box[0] * width), round(detection.bounding_box[1] * height)
    h, w = detection.mask.shape
    mask[top : top + h, left : left + w] = detection.mask
    return mask


def test_phrases_give_every_object_and_a_second_run_does_nothing(dataset: Any) -> None:
    segmenter = saywhere.load()
    assert adapter.apply(dataset, segmenter, ["cat"]).samples == 2
    sample = dataset.first()
    own = saywhere.load().set_image(sample.filepath)
    expected = own.instances("cat")
    assert len(expected) > 0
    assert [one.label for one in sample.saywhere.detections] == ["cat"] * len(expected)
    for found, wanted in zip(sample.saywhere.detections, expected, strict=True):
        assert (whole(found, own.encoded.size) == wanted.mask.array).all()
        assert found.confidence == pytest.approx(wanted.score)
    assert adapter.apply(dataset, segmenter, ["cat"]) == adapter.Report(skipped=2)


def test_boxes_get_masks_and_keep_what_was_said_of_them(dataset: Any) -> None:
    sample = dataset.first()
    given = fo.Detection(label="pet", bounding_box=[0.2, 0.05, 0.7, 0.9], tags=["checked"], age=3)
    sample["boxes"] = fo.Detections(detections=[given])
    sample.save()
    report = adapter.apply(dataset, saywhere.load(), boxes="boxes", field="masks")
    assert (report.samples, report.objects) == (2, 1), "a sample without boxes is done, too"
    (found,) = dataset.first().masks.detections
    assert (found.label, found.tags, found.age) == ("pet", ["checked"], 3)
    own = saywhere.load().set_image(sample.filepath)
    height, width = own.encoded.size
    assert (
        whole(found, (height, width)) == own.box(0.2 * width, 0.05 * height, 0.9 * width, 0.95 * height).array
    ).all()
    assert dataset.first().boxes.detections[0].mask is None


def test_an_image_that_cannot_be_read_is_tried_again(dataset: Any) -> None:
    path = Path(dataset.first().filepath)
    content = path.read_bytes()
    path.write_bytes(b"no image")
    report = adapter.apply(dataset, saywhere.load(), ["cat"])
    assert (report.samples, report.failed) == (1, 1)
    assert path.name in dataset.first()[adapter.ERROR_FIELD]
    path.write_bytes(content)
    assert adapter.apply(dataset.view(), saywhere.load(), ["cat"]).samples == 1
    assert dataset.first()[adapter.ERROR_FIELD] is None


def test_what_cannot_be_done_is_said_in_one_line_before_anything_is(dataset: Any) -> None:
    segmenter = saywhere.load()
    for options, error in {
        (): "give either phrases .* or the field with the boxes",
        (("phrases", ("cat",)), ("boxes", "id")): "give either phrases",
        (("boxes", "nothing"),): "boxes 'nothing': no such field; there are id, filepath",
        (("phrases", ("qqxzv",)),): "qqxzv",
    }.items():
        with pytest.raises(SaywhereError, match=error) as caught:
            adapter.apply(dataset, segmenter, **dict(options))
        assert "\n" not in str(caught.value)
    assert not dataset.has_sample_field("saywhere")


def test_the_program(dataset: Any) -> None:
    program = typer.Typer()
    program.command()(importlib.import_module("integrations.fiftyone.__main__").main)
    done = CliRunner().invoke(program, [dataset.name, "--say", "cat"])
    assert done.exit_code == 0, done.output
    assert "in 2 samples; 0 had the field 'saywhere'" in done.output
    done = CliRunner().invoke(program, ["none-of-this-name", "--say", "cat"])
    assert (done.exit_code, "there is none of this name" in done.output) == (2, True)
