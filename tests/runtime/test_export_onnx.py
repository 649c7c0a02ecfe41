"""The self-contained ONNX files, run by ONNX Runtime alone with what model.json says, beside the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import saywhere
from saywhere.annotate.sample_images import SAMPLES
from saywhere.cli.main import app
from saywhere.core.crop import Crop
from saywhere.core.images import read_image
from saywhere.core.metrics import iou
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError
from saywhere.runtime.export_onnx import write_onnx

PRECISIONS = ("fp32", "fp16", "int8")
Array = NDArray[np.float32]
Points = list[tuple[float, float, float, float]]  # x, y, label and radius in pixels of the image
PROMPTS: dict[str, Points] = {
    "click": [(230, 140, 1, 0)],
    "clicks": [(230, 140, 1, 0), (60, 60, 0, 0), (250, 260, 1, 0)],
    "drag": [(230, 140, 1, 60)],
}
BOX = (90.0, 20.0, 380.0, 299.0)


class Exported:
    """The files of one folder. It knows nothing of the library: what it does is in ``model.json``."""

    def __init__(self, folder: Path) -> None:
        self.facts = json.loads((folder / "model.json").read_text())
        self.sessions = {
            name: onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
            for name in self.facts["files"]
        }
        self.encoder, self.decoder = self.sessions["encoder.onnx"], self.sessions["decoder.onnx"]

    def masks(
        self,
        image: NDArray[np.uint8],
        given: Points,
        box: tuple[float, ...] | None = None,
        crop: tuple[int, int, int, int] | None = None,
    ) -> tuple[Array, Array]:
        """Logits ``(M, h, w)`` of a crop (the whole image) at the size of the settings, and predicted IoU ``(M,)``."""
        left, top, right, bottom = crop or (0, 0, image.shape[1], image.shape[0])
        scale = self.facts["settings"]["size"] / max(right - left, bottom - top)
        height, width = round((bottom - top) * scale), round((right - left) * scale)
        resized = resize(image[top:bottom, left:right], width, height)
        step = self.facts["multiple"]
        padded = cv2.copyMakeBorder(resized, 0, -height % step, 0, -width % step, cv2.BORDER_REPLICATE)
        further = {}
        if "tokens.onnx" in self.sessions:
            tokens = self.tokens(image)
            places = {
                "token_rows": self.places(padded.shape[0], height, top, bottom, tokens.shape[2] / image.shape[0]),
                "token_columns": self.places(padded.shape[1], width, left, right, tokens.shape[3] / image.shape[1]),
            }
            further = {"tokens": tokens, **places}
        features = self.encoder.run(None, {"image": padded[None], **further})
        points = [
            ((x + 0.5 - left) * scale - 0.5, (y + 0.5 - top) * scale - 0.5, label, r * scale)
            for x, y, label, r in given
        ]
        if box is not None:
            corners = [(edge - start) * scale - 0.5 for edge, start in zip(box, (left, top) * 2, strict=True)]
            points += [(*corners[:2], 2, 0), (*corners[2:], 3, 0)]
        values = np.array([points], np.float32)
        logits, scores = self.decoder.run(
            ["logits", "predicted_ious"],
            {
                **dict(zip([output.name for output in self.encoder.get_outputs()], features, strict=True)),
                "points": values[..., :2], "labels": values[..., 2], "radii": values[..., 3],
                "previous": np.zeros((1, 1, *padded.shape[:2]), np.float32),
            },
        )  # fmt: skip
        return logits[0, :, :height, :width], scores[0]

    def tokens(self, image: NDArray[np.uint8]) -> Array:
        """Of the whole image, ``(1, C, h, w)``."""
        scale = self.facts["token_side"] / max(image.shape[:2])
        height, width = (max(round(side * scale), 1) * self.facts["token_patch"] for side in image.shape[:2])
        return self.sessions["tokens.onnx"].run(None, {"image": resize(image, width, height)[None]})[0]

    def places(self, padded: int, length: int, start: int, end: int, density: float) -> Array:
        """Of the cells of a crop among the rows or columns of tokens; ``density`` is their number for each pixel."""
        stride = self.facts["token_stride"]
        cells = [min((i + 0.5) * stride, length) for i in range(padded // stride)]
        return np.array([[(start + cell * (end - start) / length) * density - 0.5 for cell in cells]], np.float32)


def resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    shrinks = height < image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("onnx")
    for precision in PRECISIONS:
        write_onnx("small", root / precision, precision)
    return {precision: root / precision for precision in PRECISIONS}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("saywhere_large")
    folder = tmp_path_factory.mktemp("large")
    write_onnx("large", folder)
    return folder


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return read_image(SAMPLES / "chelsea.jpg")


def of_library(
    image: NDArray[np.uint8], given: Points, box: tuple[float, ...] | None, model: str = "small", near: Any = None
) -> tuple[Array, Array]:
    """The same with the library; ``near`` are the sides of the crop."""
    segmenter = saywhere.load(model).set_image(image)
    clicks = tuple(Click(x, y, label == 1, radius or None) for x, y, label, radius in given)
    size, side = segmenter.encoded.size, segmenter.settings.size
    crop = Crop.from_box(near, size, side) if near else segmenter.encoded.full_crop
    prompt = crop.to_crop(Prompt(clicks, box=box))
    return segmenter.runtime.decode_candidates(segmenter.encoded.features(crop), prompt, None)


@pytest.mark.parametrize("name", [*PROMPTS, "box"])
def test_single_precision_gives_the_logits_of_the_library(
    folders: dict[str, Path], image: NDArray[np.uint8], name: str
) -> None:
    prompt: Any = (PROMPTS[name], None) if name in PROMPTS else ([], BOX)
    logits, scores = Exported(folders["fp32"]).masks(image, *prompt)
    expected, expected_scores = of_library(image, *prompt)
    assert np.allclose(logits, expected, atol=2e-3)
    assert np.allclose(scores, expected_scores, atol=1e-4)


@pytest.mark.parametrize("crop", [None, (60, 20, 320, 280)])
def test_large_gives_the_logits_of_the_library(
    large: Path, image: NDArray[np.uint8], crop: tuple[int, int, int, int] | None
) -> None:
    """The tokens are those of the whole image, also for a crop."""
    exported = Exported(large)
    assert set(exported.sessions) == {"encoder.onnx", "decoder.onnx", "tokens.onnx"}
    assert {"tokens", "token_rows", "token_columns"} <= exported.facts["meaning"].keys()
    logits, scores = exported.masks(image, PROMPTS["click"], crop=crop)
    expected, expected_scores = of_library(image, PROMPTS["click"], None, "large", crop)
    assert np.allclose(logits, expected, atol=2e-3)
    assert np.allclose(scores, expected_scores, atol=1e-4)


@pytest.mark.parametrize(("precision", "least"), [("fp16", 0.985), ("int8", 0.97)])
def test_smaller_files_give_nearly_the_same_masks(
    folders: dict[str, Path], image: NDArray[np.uint8], precision: str, least: float
) -> None:
    exported = Exported(folders[precision])
    for given in PROMPTS.values():
        logits, scores = exported.masks(image, given)
        expected, expected_scores = of_library(image, given, None)
        assert scores.argmax() == expected_scores.argmax()
        assert min(iou(a > 0, b > 0) for a, b in zip(logits, expected, strict=True)) > least


def test_the_files_hold_their_weights_and_are_as_small_as_they_say(folders: dict[str, Path]) -> None:
    sizes = {}
    for precision, folder in folders.items():
        assert sorted(path.name for path in folder.iterdir()) == ["decoder.onnx", "encoder.onnx", "model.json"]
        for name in ("encoder.onnx", "decoder.onnx"):
            model = onnx.load(folder / name, load_external_data=False)
            assert not any(tensor.external_data for tensor in model.graph.initializer)
        sizes[precision] = sum((folder / name).stat().st_size for name in ("encoder.onnx", "decoder.onnx"))
    assert sizes["int8"] < 5e6 < sizes["fp16"] < 7e6 < sizes["fp32"]


def test_the_description_is_that_of_the_files(folders: dict[str, Path]) -> None:
    exported = Exported(folders["int8"])
    sessions = {"encoder.onnx": exported.encoder, "decoder.onnx": exported.decoder}
    assert exported.facts["precision"] == "int8"
    for name, session in sessions.items():
        said = exported.facts["files"][name]
        assert list(said["inputs"]) == [value.name for value in session.get_inputs()]
        assert list(said["outputs"]) == [value.name for value in session.get_outputs()]
    named = {*exported.facts["files"]["decoder.onnx"]["inputs"], "image"} - {
        *exported.facts["files"]["encoder.onnx"]["outputs"]
    }
    assert named <= exported.facts["meaning"].keys()


def test_the_command(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", "onnx", str(tmp_path / "out"), "--int8"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "model.json").read_text())["precision"] == "int8"
    with pytest.raises(SaywhereError, match="give one of them"):
        CliRunner().invoke(app, ["export", "onnx", str(tmp_path), "--int8", "--fp16"], catch_exceptions=False)
    with pytest.raises(SaywhereError, match="no such name or file"):
        CliRunner().invoke(app, ["export", "onnx", str(tmp_path), "--weights", "smal"], catch_exceptions=False)
