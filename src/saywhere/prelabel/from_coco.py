"""Boxes, points, keypoints and phrases from the annotations of a COCO JSON file."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from saywhere.core.crop import Box
from saywhere.core.geometry import ImageSize
from saywhere.core.images import image_size
from saywhere.core.prompt import Prompt
from saywhere.errors import SaywhereError
from saywhere.prelabel.request import (
    ImagePrompts,
    ObjectPrompt,
    PrelabelRequest,
    box_prompt,
    on_object,
    read_box,
    read_points,
)

MASK_KEYS = {"segmentation", "area", "bbox", "score"}  # of an annotation: the output has those of its own mask
PROMPT_KEYS = ("points", "point", "bbox", "keypoints", "phrase")  # of the first four, the first that is there counts


def read_boxes_and_points(path: Path, phrase: str | None, folder: Path) -> PrelabelRequest:
    """The prompts in the annotations of a COCO JSON file.

    Args:
        path: the file.
        phrase: a phrase for every object that has none of its own.
        folder: the folder of the images.

    Returns:
        The request; what is wrong with single entries is listed in its ``faults``.

    Raises:
        SaywhereError: the file is not COCO JSON.
    """
    try:
        return _read(_load(path), path, phrase, folder)
    except TypeError as error:
        raise SaywhereError(f"source '{path}': a value is of the wrong kind ({error}); see the COCO format") from error


def _read(data: dict[str, Any], path: Path, phrase: str | None, folder: Path) -> PrelabelRequest:
    request = PrelabelRequest(categories=_list(data, "categories"), licenses=_list(data, "licenses"))
    images: dict[Any, dict[str, Any]] = {}
    for image in _list(data, "images"):
        if "id" not in image or image["id"] in images or not isinstance(image.get("file_name"), str):
            request.faults.append(f"image {image.get('id')}: an id of its own and a file_name are needed")
        else:
            images[image["id"]] = image
    request.images = list(images.values())
    known = {category.get("id") for category in request.categories}
    prompts: dict[Any, list[ObjectPrompt]] = defaultdict(list)
    sizes: dict[Any, ImageSize | None] = {}
    names: set[str] = set()
    for number, annotation in enumerate(_list(data, "annotations"), 1):
        if annotation.get("iscrowd"):
            continue
        name = str(annotation.get("id", ""))
        what = f"annotation {name}" if name else f"annotation number {number}"
        image_id = annotation.get("image_id")
        try:
            if not name or name in names:
                raise SaywhereError("an id of its own is needed")
            names.add(name)
            if image_id not in images:
                raise SaywhereError(f"image_id {image_id}: no such image")
            if annotation.get("category_id") not in known:
                raise SaywhereError(f"category_id {annotation.get('category_id')}: no such category")
            if image_id not in sizes:
                sizes[image_id] = _size(images[image_id], folder, request.faults)
            size = sizes[image_id]
            if size:
                prompts[image_id].append(_object_prompt(name, annotation, size, phrase))
        except SaywhereError as error:
            request.faults.append(f"{what}: {error}")
    for image_id, objects in prompts.items():
        file = images[image_id]["file_name"]
        request.prompts.append(ImagePrompts(file, folder / file, tuple(objects)))
    request.unprompted = len(images) - len(sizes)
    if not request.prompts and not request.faults:
        raise SaywhereError(f"source '{path}': no annotation has a prompt; give each a bbox, point or points")
    return request


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SaywhereError(f"source '{path}': cannot be read as COCO JSON ({error})") from error
    if not isinstance(data, dict) or any(not isinstance(data.get(key), list) for key in ("images", "annotations")):
        raise SaywhereError(f"source '{path}': not COCO JSON; the lists images and annotations are needed")
    # Without categories all objects are of one.
    if not data.get("categories"):
        data["categories"] = [{"id": 1, "name": "object"}]
        for annotation in data["annotations"]:
            if isinstance(annotation, dict):
                annotation["category_id"] = 1
    return data


def _list(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The entries under a key; one that is not a JSON object becomes an empty one, whose fault is listed later."""
    entries = data.get(key)
    return [entry if isinstance(entry, dict) else {} for entry in entries] if isinstance(entries, list) else []


def _size(image: dict[str, Any], folder: Path, faults: list[str]) -> ImageSize | None:
    """Size of an image; None, and a fault, when it is missing or of another size than its entry says."""
    path = folder / image["file_name"]
    try:
        width, height = image_size(path)
    except SaywhereError as error:
        faults.append(str(error))
        return None
    given = image.get("width", width), image.get("height", height)
    if given != (width, height):
        faults.append(f"photograph '{path}': is {width}x{height} pixels; its entry says {given[0]}x{given[1]}")
        return None
    image["width"], image["height"] = width, height
    return ImageSize(height, width)


def _object_prompt(name: str, annotation: dict[str, Any], size: ImageSize, phrase: str | None) -> ObjectPrompt:
    prompt, box = _prompt(annotation, size)
    own = annotation.get("phrase", phrase)
    if own is not None and (not isinstance(own, str) or not own.strip()):
        raise SaywhereError(f"phrase {own!r}: give words")
    prompt = prompt.with_phrase(own)
    if not prompt:
        raise SaywhereError("has no prompt; give it a bbox, point, points, keypoints or phrase")
    output = {key: value for key, value in annotation.items() if key not in MASK_KEYS}
    # The box of the prompt is not the one of the mask: both are kept.
    output["prompt"] = {key: annotation[key] for key in PROMPT_KEYS if key in annotation}
    return ObjectPrompt(name, prompt, output, box)


def _prompt(annotation: dict[str, Any], size: ImageSize) -> tuple[Prompt, Box | None]:
    """The clicks that an annotation stands for, and the box to which the mask is cropped."""
    if "points" in annotation:
        return Prompt(read_points(annotation["points"], size)), None
    if "point" in annotation:
        return Prompt(read_points([annotation["point"]], size)), None
    if "bbox" in annotation:
        box = read_box(annotation["bbox"], size)
        return box_prompt(box, size), box
    if "keypoints" in annotation:
        return Prompt(_keypoints(annotation["keypoints"], size)), None
    return Prompt(), None


def _keypoints(given: Any, size: ImageSize) -> Any:
    """COCO's x, y, visibility triples to clicks: those that are visible (2), or else those that are hidden (1)."""
    if not isinstance(given, list) or not given or len(given) % 3:
        raise SaywhereError(f"keypoints {given}: give x, y, visibility of each in one list")
    triples = [given[i : i + 3] for i in range(0, len(given), 3)]
    for visibility in (2, 1):
        points = [triple[:2] for triple in triples if triple[2] == visibility]
        if points:
            return on_object(read_points(points, size))
    raise SaywhereError("keypoints: none is labelled (visibility 1 or 2)")
