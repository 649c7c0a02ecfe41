"""What is fuzzed: how inputs are made, and what reads them."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fuzz.mutate import HOSTILE_VALUES, damaged_bytes, damaged_json, json_text
from fuzz.runner import SEEDS, Target

ENDINGS = ("png", "jpg", "bmp", "gif", "tif", "webp", "ppm", "dds", "avif", "pcx", "tga", "eps", "ico")
IMAGE_MODES = ("RGB", "L", "P", "RGBA", "1", "I;16", "F", "CMYK", "LA")


def _pick(rng: np.random.Generator, values: Any) -> Any:
    return values[int(rng.integers(0, len(values)))]


# Images


@cache
def _images() -> tuple[bytes, ...]:
    """Small whole images of every format and mode that Pillow writes here, and the seeds."""
    contents = [path.read_bytes() for path in sorted((SEEDS / "images").glob("*")) if path.is_file()]
    pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    for mode in IMAGE_MODES:
        image = Image.fromarray(pixels).convert(mode if mode != "I;16" else "I")
        for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "DDS", "AVIF", "PCX", "TGA", "EPS", "ICO"):
            options: dict[str, Any] = (
                {"exif": _orientation(len(contents) % 9)} if kind in ("JPEG", "TIFF", "WEBP") else {}
            )
            buffer = io.BytesIO()
            try:
                image.save(buffer, kind, **options)
            except (OSError, ValueError, KeyError):  # this format has no such mode
                continue
            contents.append(buffer.getvalue())
    return tuple(contents)


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _make_image(folder: Path, rng: np.random.Generator) -> Path:
    path = folder / f"image.{_pick(rng, ENDINGS)}"
    path.write_bytes(damaged_bytes(_pick(rng, _images()), rng))
    return path


def _check_image(path: Path) -> None:
    from saywhere.core.images import image_size, read_image
    from saywhere.errors import SaywhereError

    try:
        size = image_size(path)
    except SaywhereError:
        size = None
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert size is None or pixels.shape[:2] == size, f"image_size {size}, pixels {pixels.shape[:2]}"


# Annotations


def _square(image: int = 1, number: int = 1) -> dict[str, Any]:
    segmentation: Any = [[10, 10, 30, 10, 30, 25, 10, 25]]
    if number % 3 == 1:
        segmentation = {"counts": [410, 15, 25, 15, 1935], "size": [40, 60]}
    return {"id": number, "image_id": image, "category_id": 1, "segmentation": segmentation, "bbox": [10, 10, 20, 15],
            "area": 300, "iscrowd": 0}  # fmt: skip


COCO = {
    "info": {}, "licenses": [],
    "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40},
               {"id": 2, "file_name": "b.png", "width": 60, "height": 40}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [_square(), _square(1, 2), _square(2, 3)],
}  # fmt: skip
LABELME = {
    "version": "5.0.1", "flags": {}, "imagePath": "a.png", "imageData": None, "imageHeight": 40, "imageWidth": 60,
    "shapes": [
        {"label": "cat", "points": [[10, 10], [30, 10], [30, 25]], "shape_type": "polygon", "flags": {},
         "group_id": None},
        {"label": "dog", "points": [[10, 10], [30, 20]], "shape_type": "rectangle", "flags": {}},
    ],
}  # fmt: skip
YOLO_LINES = ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5", "1 0.5 0.5 0.2 0.2", "0 nan 0.1 0.5 inf 0.5 0.5", "",
              "999999 0 0 1 1 0 1", "0 1e300 -1e300 0.5 0.1 0.5 0.5", "-1 0.1 0.1 0.5 0.1 0.5 0.5", "a b c d e f g",
              "0 " + "0.5 " * 4001)  # fmt: skip


def _write_images(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / name)


def _make_annotations(folder: Path, rng: np.random.Generator) -> Path:
    return _pick(rng, (_make_coco, _make_coco, _make_labelme, _make_yolo, _make_voc))(folder, rng)


def _json_content(value: Any, rng: np.random.Generator) -> bytes:
    text = json_text(damaged_json(value, rng))
    return damaged_bytes(text, rng) if rng.random() < 0.25 else text


def _make_coco(folder: Path, rng: np.random.Generator) -> Path:
    _write_images(folder)
    path = folder / "annotations.json"
    path.write_bytes(_json_content(COCO, rng))
    return path


def _make_labelme(folder: Path, rng: np.random.Generator) -> Path:
    _write_images(folder)
    (folder / "a.json").write_bytes(_json_content(LABELME, rng))
    return folder


def _make_yolo(folder: Path, rng: np.random.Generator) -> Path:
    _write_images(folder / "images" / "train")
    (folder / "labels" / "train").mkdir(parents=True)
    names: Any = {0: "cat", 1: "dog"}
    if rng.random() < 0.5:
        names = damaged_json({"names": {"0": "cat", "1": "dog"}}, rng)
    content = json_text({"path": ".", "train": "images/train", "names": names})
    (folder / "data.yaml").write_bytes(damaged_bytes(content, rng) if rng.random() < 0.3 else content)
    lines = "\n".join(_pick(rng, YOLO_LINES) for _ in range(int(rng.integers(0, 6)))).encode()
    (folder / "labels" / "train" / "a.txt").write_bytes(damaged_bytes(lines, rng) if rng.random() < 0.3 else lines)
    return folder


def _make_voc(folder: Path, rng: np.random.Generator) -> Path:
    _write_images(folder / "JPEGImages")
    for name in ("SegmentationClass", "SegmentationObject"):
        (folder / name).mkdir(parents=True)
        buffer = io.BytesIO()
        mask = rng.integers(0, 4, (40, int(_pick(rng, (60, 60, 60, 59)))), dtype=np.uint8)
        image = Image.fromarray(mask) if rng.random() < 0.7 else Image.fromarray(np.stack([mask * 64] * 3, 2))
        image.save(buffer, "PNG")
        content = buffer.getvalue()
        (folder / name / "a.png").write_bytes(damaged_bytes(content, rng) if rng.random() < 0.3 else content)
    lines = "background", "cat:255,0,0::", "cat", "\ufeffdog", "# label:color_rgb:parts:actions", ":::", ""
    labels = "\n".join(_pick(rng, lines) for _ in range(4))
    (folder / "labelmap.txt").write_text(labels, encoding="utf-8")
    return folder


def _check_annotations(path: Path) -> None:
    from saywhere.data import formats
    from saywhere.data.datasets import load_dataset
    from saywhere.errors import SaywhereError

    if path.suffix == ".json":
        try:
            for sample in load_dataset(str(path)):
                sample.target()
                sample.ignore()
        except SaywhereError:
            pass
    to = "png" if path.suffix == ".json" else "coco"
    destination = path.parent / "converted" / ("out" if to == "png" else "out.json")
    destination.parent.mkdir(exist_ok=True)
    try:
        formats.convert(path, destination, to)
    except formats.FaultsError:  # its faults are lines of their own
        assert not destination.exists(), "a conversion that failed has written something"
    finally:
        shutil.rmtree(destination.parent, ignore_errors=True)


# Weights


@cache
def _weights() -> bytes:
    """The weights file of a small network."""
    import torch

    from saywhere.models.checkpoint import save_model
    from saywhere.models.saywhere import Saywhere

    torch.manual_seed(0)
    options: dict[str, Any] = {"widths": (4, 4, 8, 8), "key": 4, "fine": 4}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.safetensors"
        save_model(path, Saywhere(**options), "saywhere", options, {"labels": ["cat"]})
        return path.read_bytes()


def _make_weights(folder: Path, rng: np.random.Generator) -> Path:
    content = _weights()
    length = struct.unpack("<Q", content[:8])[0]
    header, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]
    kind = rng.random()
    if kind < 0.3:
        content = damaged_bytes(content, rng)
    else:
        if kind < 0.75:
            header["__metadata__"] = _damaged_metadata(header["__metadata__"], rng)
        else:
            header = damaged_json(header, rng)
        if rng.random() < 0.1:
            tensors = tensors[:-4] + struct.pack("<f", float("nan"))
        text = json_text(header)
        content = struct.pack("<Q", len(text)) + text + tensors
    path = folder / "weights.safetensors"
    path.write_bytes(content)
    return path


def _damaged_metadata(metadata: dict[str, str], rng: np.random.Generator) -> Any:
    """Metadata of safetensors, whose values are JSON texts, with damage in the values."""
    changed = damaged_json({key: _loads(value) for key, value in metadata.items()}, rng)
    if not isinstance(changed, dict):
        return changed
    return {
        key: value if isinstance(value, str) else json_text(value).decode("utf-8", "replace")
        for key, value in changed.items()
    }


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_weights(path: Path) -> None:
    import saywhere

    segmenter = saywhere.load(path, device="cpu")
    segmenter.set_image(np.full((40, 60, 3), 90, np.uint8))
    assert segmenter.click(20, 20).array.shape == (40, 60)


# Recipes


def _make_recipe(folder: Path, rng: np.random.Generator) -> Path:
    from saywhere.training.recipe_files import RECIPES

    path = folder / "recipe.yaml"
    whole = sorted(Path(str(RECIPES)).glob("*.yaml"))
    if rng.random() < 0.5:
        text = _pick(rng, whole).read_bytes()
        path.write_bytes(damaged_bytes(text, rng))
    else:
        value = {
            "extends": "dctnet.yaml", "model": {"name": "saywhere", "options": {"fine": 8}},
            "data": [{"path": "a.json"}], "crop": {"size": 64}, "optimiser": {"lr": 0.1},
            "stages": {"one": {"steps": 1}},
        }  # fmt: skip
        path.write_bytes(json_text(damaged_json(value, rng)))
    return path


def _check_recipe(path: Path) -> None:
    from saywhere.training.recipe_files import read_recipe
    from saywhere.training.stages import list_stages

    list_stages(read_recipe(path))


# Prompts


def _make_prompt(folder: Path, rng: np.random.Generator) -> Path:
    values: list[Any] = [*HOSTILE_VALUES, 10, 20, 30.5, "cat", True, False]
    path = folder / "prompt.json"
    method = _pick(rng, ("click", "drag", "box", "say", "predict", "choose"))
    names = {
        "click": ("x", "y", "positive"), "drag": ("x", "y", "radius", "positive"), "box": ("x0", "y0", "x1", "y1"),
        "say": ("phrase",), "choose": ("index",),
        "predict": ("point_coords", "point_labels", "text", "mask_input", "multimask_output", "box"),
    }[method]  # fmt: skip
    path.write_bytes(json_text([method, {name: _pick(rng, values) for name in names}]))
    return path


@cache
def _segmenter() -> Any:
    import saywhere

    return saywhere.load().set_image(np.full((40, 60, 3), 90, np.uint8))


def _check_prompt(path: Path) -> None:
    segmenter = _segmenter()
    segmenter.reset()
    method, arguments = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    getattr(segmenter, method)(**arguments)


TARGETS = {
    target.name: target
    for target in (
        Target("images", _make_image, _check_image, _images),
        Target("annotations", _make_annotations, _check_annotations),
        Target("weights", _make_weights, _check_weights, _weights),
        Target("recipes", _make_recipe, _check_recipe),
        Target("prompts", _make_prompt, _check_prompt, _segmenter),
    )
}
