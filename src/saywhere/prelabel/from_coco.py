"""Boxes, points, keypoints and phrases from the annotations of a COCO JSON file."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from saywhere.core.crop import Box
from saywhere.core.images import image_size
from saywhere.core.prompt import Prompt
from saywhere.errors import SaywhereError
from saywhere.prelabel.ask import ImagePrompts, ObjectPrompt, Request, box_prompt, on_object, read_box, read_points

FOUND = {"segmentation", "area", "bbox", "score"}  # what the output says of an object by what was found
SAID = ("points", "point", "bbox", "keypoints", "phrase")  # the first four in the order in which they are believed


def read_boxes_and_points(path: Path, phrase: str | None, folder: Path) -> Request:
    """What the annotations ask for; ``phrase`` is said of every object that brings none of its own.

    Raises SaywhereError when the file is not COCO JSON; what is wrong with single entries is listed in the answer.
    """
    try:
        return _read(_load(path), path, phrase, folder)
    except TypeError as error:
        raise SaywhereError(f"source '{path}': a value is of the wrong kind ({error}); see the COCO format") from error


def _read(data: dict[str, Any], path: Path, phrase: str | None, folder: Path) -> Request:
    request = Request(categories=_list(data, "categories"), licenses=_list(data, "licenses"))
    images: dict[Any, dict[str, Any]] = {}
    for image in _list(data, "images"):
        if "id" not in image or image["id"] in images or not isinstance(image.get("file_name"), str):
            request.faults.append(f"image {image.get('id')}: an id of its own and a file_name are needed")
        else:
            images[image["id"]] = image
    request.images = list(images.values())
    known = {category.get("id") for category in request.categories}
    asks: dict[Any, list[ObjectPrompt]] = defaultdict(list)
    sizes: dict[Any, tuple[int, int] | None] = {}
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
                asks[image_id].append(_ask(name, annotation, size, phrase))
        except SaywhereError as error:
            request.faults.append(f"{what}: {error}")
    for image_id, some in asks.items():
        file = images[image_id]["file_name"]
        request.photos.append(ImagePrompts(file, folder / file, tuple(some)))
    request.unasked = len(images) - len(sizes)
    if not request.photos and not request.faults:
        raise SaywhereError(f"source '{path}': no annotation asks for an object; give each a bbox, point or points")
    return request


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SaywhereError(f"source '{path}': cannot be read as COCO JSON ({error})") from error
    if not isinstance(data, dict) or any(not isinstance(data.get(key), list) for key in ("images", "annotations")):
        raise SaywhereError(f"source '{path}': not COCO JSON; the lists images and annotations are needed")
    # Objects without classes are as good: they are all of one.
    if not data.get("categories"):
        data["categories"] = [{"id": 1, "name": "object"}]
        for annotation in data["annotations"]:
            if isinstance(annotation, dict):
                annotation["category_id"] = 1
    return data


def _list(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The entries under a key; what is no entry at all becomes an empty one, to be named as such."""
    found = data.get(key)
    return [entry if isinstance(entry, dict) else {} for entry in found] if isinstance(found, list) else []


def _size(image: dict[str, Any], folder: Path, faults: list[str]) -> tuple[int, int] | None:
    """Width and height of a photograph; None, and a fault, when it is missing or another than the entry says."""
    path = folder / image["file_name"]
    try:
        size = image_size(path)
    except SaywhereError as error:
        faults.append(str(error))
        return None
    told = image.get("width", size[0]), image.get("height", size[1])
    if told != size:
        faults.append(f"photograph '{path}': is {size[0]}x{size[1]} pixels; its entry says {told[0]}x{told[1]}")
        return None
    image["width"], image["height"] = size
    return size


def _ask(name: str, annotation: dict[str, Any], size: tuple[int, int], phrase: str | None) -> ObjectPrompt:
    prompt, box = _prompt(annotation, size)
    own = annotation.get("phrase", phrase)
    if own is not None and (not isinstance(own, str) or not own.strip()):
        raise SaywhereError(f"phrase {own!r}: give words")
    prompt = prompt.with_phrase(own)
    if not prompt:
        raise SaywhereError("asks for nothing; give it a bbox, point, points, keypoints or phrase")
    entry = {key: value for key, value in annotation.items() if key not in FOUND}
    # The box that was asked for is not the one of what was found: both are kept.
    entry["prompt"] = {key: annotation[key] for key in SAID if key in annotation}
    return ObjectPrompt(name, prompt, entry, box)


def _prompt(annotation: dict[str, Any], size: tuple[int, int]) -> tuple[Prompt, Box | None]:
    """The clicks that an annotation stands for, and the box to which the answer is cut."""
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


def _keypoints(given: Any, size: tuple[int, int]) -> Any:
    """COCO's x, y, visibility triples to clicks: those that are seen (2), or else those that are hidden (1)."""
    if not isinstance(given, list) or not given or len(given) % 3:
        raise SaywhereError(f"keypoints {given}: give x, y, visibility of each in one list")
    triples = [given[i : i + 3] for i in range(0, len(given), 3)]
    for visibility in (2, 1):
        seen = [triple[:2] for triple in triples if triple[2] == visibility]
        if seen:
            return on_object(read_points(seen, size))
    raise SaywhereError("keypoints: none is labelled (visibility 1 or 2)")
