"""Our network in SAM's layouts, run with the steps of the programs that load such files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

import saywhere
from saywhere.annotate.sample_images import SAMPLES
from saywhere.cli.main import app
from saywhere.core.components import remove_unclicked_components
from saywhere.core.images import read_image
from saywhere.core.metrics import iou
from saywhere.errors import SaywhereError
from saywhere.runtime import export_postprocess, export_sam
from saywhere.runtime.export_sam import (
    NETWORK_SIDE,
    Layout,
    export_layout,
    high_resolution_side,
    write_darktable,
    write_sam,
)
from saywhere.runtime.weights import find_weights, shipped

Array = NDArray[np.float32]
SHIPPED = find_weights()
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
CLICKS = {"chelsea.jpg": (230, 140), "coffee.jpg": (300, 200), "astronaut.jpg": (220, 120)}
NO_MASK = {"mask_input": np.zeros((1, 1, 256, 256), np.float32), "has_mask_input": np.zeros(1, np.float32)}


def open_pair(folder: Path) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    """Encoder and decoder; darktable switches graph optimisation off in the decoder."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(folder / "encoder.onnx")), onnxruntime.InferenceSession(
        str(folder / "decoder.onnx"), options
    )


@pytest.fixture(scope="module")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam2")
    write_sam(SHIPPED, "sam2", folder)
    return folder


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam")
    write_sam(SHIPPED, "sam", folder)
    return folder


@pytest.fixture(scope="module")
def expected() -> dict[str, NDArray[np.bool_]]:
    """What a Segmenter answers to the same clicks, looking at the whole image once."""
    segmenter = saywhere.load(settings=saywhere.Settings(size=640, zoom=False))
    return {name: segmenter.set_image(SAMPLES / name).click(*at).array for name, at in CLICKS.items()}


def resized_to_fit(image: NDArray[np.uint8], height: int, width: int) -> tuple[Array, float]:
    """The image in the upper left of a larger one, zeros around it; and the scale."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.float32), scale


def normalised(pixels: Array) -> Array:
    """``(1, 3, 1024, 1024)``; what is lacking at right and below is 0 after the normalisation."""
    whole = np.zeros((1024, 1024, 3), np.float32)
    whole[: pixels.shape[0], : pixels.shape[1]] = (pixels / 255.0 - MEAN) / DEVIATION
    return whole.transpose(2, 0, 1)[None]


def points(*given: tuple[float, float, float]) -> dict[str, Array]:
    """x, y and label of each point."""
    values = np.array(given, np.float32)
    return {"point_coords": values[None, :, :2], "point_labels": values[None, :, 2]}


class Darktable:
    """Longest side 1024, one padding point, the answer's own logits with the next click, the best mask."""

    def __init__(self, folder: Path, image: NDArray[np.uint8]) -> None:
        encoder, self.decoder = open_pair(folder)
        (given,) = encoder.get_inputs()
        assert given.shape == [1, 3, 1024, 1024]
        pixels, self.scale = resized_to_fit(image, 1024, 1024)
        self.inside, self.size = pixels.shape[:2], image.shape[:2]
        outputs = encoder.run(None, {given.name: normalised(pixels)})
        names = [output.name for output in encoder.get_outputs()]
        self.features = dict(zip(names, outputs, strict=True))
        assert [one.name for one in self.decoder.get_inputs()][: len(names)] == [
            "image_embed", "high_res_feats_0", "high_res_feats_1"
        ]  # fmt: skip
        side = high_resolution_side(NETWORK_SIDE)
        shapes = [output.shape for output in (*encoder.get_outputs(), *self.decoder.get_outputs()[:2])]
        assert all(isinstance(n, int) for shape in shapes for n in shape), "darktable reads sizes from the files"
        assert shapes[-2:] == [[1, 3, side, side], [1, 3]]
        self.mask: Mapping[str, Array] = NO_MASK
        self.points: list[tuple[float, float, float]] = []

    def add(self, *given: tuple[float, float, float]) -> NDArray[np.bool_]:
        self.points += [(x * self.scale, y * self.scale, label) for x, y, label in given]
        inputs = {**self.features, **points(*self.points, (0, 0, -1)), **self.mask}
        masks, scores, low = self.decoder.run(None, inputs)
        best = int(scores[0].argmax())
        self.mask = {"mask_input": low[:, best : best + 1], "has_mask_input": np.ones(1, np.float32)}
        whole = cv2.resize(masks[0, best], (1024, 1024), interpolation=cv2.INTER_LINEAR)
        inside = whole[: self.inside[0], : self.inside[1]]
        return cv2.resize(inside, self.size[::-1], interpolation=cv2.INTER_LINEAR) > 0.0


@pytest.mark.parametrize("name", CLICKS)
def test_darktable_gets_what_a_segmenter_answers(sam2: Path, name: str, expected: dict[str, NDArray[np.bool_]]) -> None:
    program = Darktable(sam2, read_image(SAMPLES / name))
    assert iou(program.add((*CLICKS[name], 1)), expected[name]) > 0.85


def test_a_click_on_the_background_and_a_box_are_followed(sam2: Path) -> None:
    image = read_image(SAMPLES / "chelsea.jpg")
    program = Darktable(sam2, image)
    first = program.add((230, 140, 1))
    second = program.add((60, 250, 0))
    assert not second[245:256, 55:66].any()
    assert iou(first, second) > 0.3
    height, width = image.shape[:2]
    boxed = Darktable(sam2, image).add((120, 20, 2), (width - 90, height - 60, 3))
    rows, columns = np.nonzero(boxed)
    assert columns.min() > 90
    assert columns.max() < width - 60
    assert rows.max() < height - 30


def test_padding_points_change_nothing(sam2: Path) -> None:
    program = Darktable(sam2, read_image(SAMPLES / "chelsea.jpg"))
    outputs = [
        program.decoder.run(None, {**program.features, **points((500, 300, 1), *padding), **NO_MASK})[0]
        for padding in ((), ((0, 0, -1),), ((700, 90, -1), (0, 0, -1)))
    ]
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], atol=1e-3)


def test_an_evaluator_may_squeeze_the_image(sam2: Path, expected: dict[str, NDArray[np.bool_]]) -> None:
    """darktable's evaluator does not keep the image's shape, and finds inputs and outputs by name and place."""
    encoder, decoder = open_pair(sam2)
    image = read_image(SAMPLES / "chelsea.jpg")
    height, width = image.shape[:2]
    x, y = CLICKS["chelsea.jpg"]
    pixels = cv2.resize(image, (1024, 1024), interpolation=cv2.INTER_LANCZOS4).astype(np.float32)
    fine, middle, embed = encoder.run(None, {"image": normalised(pixels)})
    masks, scores, low = decoder.run(
        None,
        {
            "image_embed": embed, "high_res_feats_0": fine, "high_res_feats_1": middle, **NO_MASK,
            **points((x * 1024 / width, y * 1024 / height, 1)),
        },
    )  # fmt: skip
    assert low.shape == (1, 3, 256, 256)
    mask = cv2.resize((masks[0, scores[0].argmax()] > 0).astype(np.uint8), (width, height)) > 0
    assert iou(mask, expected["chelsea.jpg"]) > 0.8


def test_x_anylabeling_finds_sam2s_inputs_by_position(sam2: Path, expected: dict[str, NDArray[np.bool_]]) -> None:
    encoder, decoder = open_pair(sam2)
    image = read_image(SAMPLES / "astronaut.jpg")
    side = encoder.get_inputs()[0].shape[2]
    pixels = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    fine, middle, embed = encoder.run(None, {encoder.get_inputs()[0].name: normalised(pixels)})
    x, y = CLICKS["astronaut.jpg"]
    prompt = points((x * side / image.shape[1], y * side / image.shape[0], 1))
    given = [embed, fine, middle, *prompt.values(), np.zeros((1, 1, side // 4, side // 4), np.float32),
             np.zeros(1, np.float32)]  # fmt: skip
    names = [one.name for one in decoder.get_inputs()]
    masks, scores, *_ = decoder.run(None, dict(zip(names, given, strict=True)))
    best = masks[0, scores[0].argmax()]
    mask = cv2.resize(best, image.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.0
    assert iou(mask, expected["astronaut.jpg"]) > 0.8


def first_mask_of_sam(folder: Path, name: str) -> NDArray[np.bool_]:
    """What X-AnyLabeling shows after a click: the first of the masks."""
    encoder, decoder = open_pair(folder)
    image = read_image(SAMPLES / name)
    pixels, scale = resized_to_fit(image, 684, 1024)
    whole = np.zeros((684, 1024, 3), np.float32)
    whole[: pixels.shape[0], : pixels.shape[1]] = pixels
    (embedding,) = encoder.run(None, {encoder.get_inputs()[0].name: whole})
    x, y = CLICKS[name]
    given = {
        "image_embeddings": embedding, **points((x * scale, y * scale, 1), (0, 0, -1)), **NO_MASK,
        "orig_im_size": np.array(image.shape[:2], np.float32),
    }  # fmt: skip
    masks, scores, low = decoder.run(None, given)
    assert masks.shape == (1, 3, *image.shape[:2])
    assert low.shape == (1, 3, 256, 256)
    assert list(scores[0]) == sorted(scores[0], reverse=True)
    return np.asarray(masks[0, 0] > 0.0)


@pytest.mark.parametrize("name", ["chelsea.jpg", "astronaut.jpg"])
def test_x_anylabeling_takes_the_first_mask_of_sam(
    sam: Path, name: str, expected: dict[str, NDArray[np.bool_]]
) -> None:
    assert iou(first_mask_of_sam(sam, name), expected[name]) > 0.85


@pytest.mark.slow
@pytest.mark.skipif("saywhere-large" not in shipped(), reason="the package saywhere-large is not installed")
@pytest.mark.parametrize("layout", ["sam", "sam2"])
def test_the_preset_large_in_both_layouts(tmp_path: Path, layout: Layout) -> None:
    """Its transformer runs in the encoder, once for an image."""
    write_sam(find_weights("large"), layout, tmp_path)
    segmenter = saywhere.load("large", settings=saywhere.Settings(size=640, zoom=False))
    for name in ("chelsea.jpg", "astronaut.jpg"):
        expected = segmenter.set_image(SAMPLES / name).click(*CLICKS[name]).array
        if layout == "sam":
            mask = first_mask_of_sam(tmp_path, name)
        else:
            mask = Darktable(tmp_path, read_image(SAMPLES / name)).add((*CLICKS[name], 1))
        assert iou(mask, expected) > 0.8, name


def test_x_anylabelings_description_names_the_files(sam: Path, sam2: Path) -> None:
    for folder, kind in ((sam, "segment_anything"), (sam2, "segment_anything_2")):
        lines = dict(line.split(": ", 1) for line in (folder / "model.yaml").read_text().splitlines())
        assert lines["type"] == kind
        assert (folder / lines["encoder_model_path"]).is_file()
        assert (folder / lines["decoder_model_path"]).is_file()
        assert sum((folder / name).stat().st_size for name in ("encoder.onnx", "decoder.onnx")) < 20e6


def test_darktables_package(tmp_path: Path, sam2: Path) -> None:
    with zipfile.ZipFile(write_darktable(SHIPPED, tmp_path / "saywhere.dtmodel")) as archive:
        (place,) = {Path(name).parent for name in archive.namelist()}
        config = json.loads(archive.read(f"{place}/config.json"))
        assert archive.read(f"{place}/decoder.onnx") == (sam2 / "decoder.onnx").read_bytes()
    assert (config["id"], config["task"], config["arch"], config["tiling"]) == (str(place), "mask", "sam2", False)


@pytest.mark.parametrize("at", [(20, 20), (150, 30), (190, 118), (8, 100), (60, 70)])
def test_components_are_removed_as_the_library_does(at: tuple[int, int]) -> None:
    """Two discs, a narrow winding line and a dot, at the edges too; the last click is on none of them."""
    mask = np.zeros((131, 203), np.uint8)
    cv2.circle(mask, (20, 20), 15, 1, -1)
    cv2.circle(mask, (150, 30), 12, 1, -1)
    line = [(8, 60), (8, 124), (40, 124), (40, 100), (80, 100), (80, 124), (120, 124), (120, 60), (199, 60), (199, 118),
            (140, 118)]  # fmt: skip
    cv2.polylines(mask, [np.array(line, np.int32)], False, 1, 2)
    cv2.circle(mask, (170, 90), 2, 1, -1)
    logits = np.where(mask > 0, 3.0, -3.0).astype(np.float32)
    assert bool(mask[at[1], at[0]]) == (at != (60, 70))
    clicks = [saywhere.Click(float(at[0]), float(at[1])), saywhere.Click(20.0, 22.0, False)]
    expected = remove_unclicked_components(logits, clicks, 0.5)
    given = torch.tensor([[[click.x, click.y] for click in clicks]]), torch.tensor([[1.0, 0.0]])
    nothing = torch.full((1, 1, *logits.shape), -3.0)
    both = torch.cat([torch.from_numpy(logits)[None, None], nothing], 1)
    found = export_postprocess.remove_unclicked_components(both, *given, export_postprocess.flood_fill)[0].numpy()
    np.testing.assert_array_equal(found[0] > 0.0, expected > 0.0)
    np.testing.assert_array_equal(found[1], nothing[0, 0])


def test_a_decoder_answers_with_the_component_that_is_clicked(sam2: Path) -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    for x in (60, 240):
        cv2.circle(image, (x, 100), 40, (230, 60, 40), -1)
    program = Darktable(sam2, image)
    mask = program.add((60, 100, 1))
    assert mask[100, 60]
    assert not mask[:, 160:].any()
    mask = program.add((240, 100, 1))
    assert mask[100, 60]
    assert mask[100, 240]


def test_the_fourth_click_is_answered_at_a_higher_resolution(
    sam2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the answers are those of files that have the lower resolution alone."""
    monkeypatch.setattr(export_sam, "high_resolution_side", lambda side: side)
    write_sam(SHIPPED, "sam2", tmp_path)
    encoder, decoder = open_pair(tmp_path)
    image = normalised(resized_to_fit(read_image(SAMPLES / "coffee.jpg"), 1024, 1024)[0])
    names = [output.name for output in encoder.get_outputs()]
    low_alone = dict(zip(names, encoder.run(None, {"image": image}), strict=True))
    program = Darktable(sam2, read_image(SAMPLES / "coffee.jpg"))
    clicks = [(512, 340, 1), (560, 340, 1), (40, 40, 0), (480, 360, 1)]
    differences = []
    for count in (1, 3, 4):
        given = {**points(*clicks[:count], (0, 0, -1)), **NO_MASK}
        expected = decoder.run(None, {**low_alone, **given})[2]
        found = program.decoder.run(None, {**program.features, **given})[2]
        differences.append(float(np.abs(found - expected).max()))
    assert max(differences[:2]) < 1e-2
    assert differences[2] > 0.5


@pytest.mark.slow
def test_the_largest_side_is_seen_once(tmp_path: Path) -> None:
    write_sam(SHIPPED, "sam2", tmp_path, side=1024)
    _, decoder = open_pair(tmp_path)
    masks = decoder.get_outputs()[0]
    assert masks.shape == [1, 3, 1024, 1024]
    assert "If" not in {node.op_type for node in onnx.load(str(tmp_path / "decoder.onnx")).graph.node}


def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SaywhereError, match=r"side 100: give a multiple of 32"):
        export_layout(SHIPPED, "sam2", side=100)
    for arguments, words in (
        (["darktable", str(tmp_path / "x.zip")], "end in .dtmodel"),
        (["sam2", str(tmp_path), "--weights", "nothing"], "no such name or file"),
    ):
        result = CliRunner().invoke(app, ["export", *arguments])
        assert result.exit_code != 0
        assert words in f"{result.output}{result.exception}"
    assert list(tmp_path.iterdir()) == []
