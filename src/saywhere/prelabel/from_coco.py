"""Boxes, points, keypoints and phrases from the annotations of a COCO JSON file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from saywhere.core.geometry import Box, ImageSize
from saywhere.core.images import image_size
from saywhere.core.prompt import Prompt
from saywhere.data.coco import (
    CocoFile,
    Entry,
    Id,
    annotation_name,
    class_name_of,
    file_name_of,
    is_crowd,
    read_coco_file,
)
from saywhere.data.files import find_image, leads_out
from saywhere.errors import SaywhereError
from saywhere.prelabel.request import (
    ImagePrompts,
    ObjectPrompt,
    PrelabelRequest,
    on_object,
    read_box,
    read_points,
)

MASK_KEYS = {"segmentation", "area", "bbox", "score"}  # of an annotation: the output has those of its own mask
CATEGORY = "object"
# Of the first four, the first that is there counts, and the bbox beside points where that is asked for.
PROMPT_KEYS = ("points", "point", "bbox", "keypoints", "phrase")


def read_boxes_and_points(
    path: Path, phrase: str | None, images: Path | None, boxes_with_points: bool = False
) -> PrelabelRequest:
    """The prompts in the annotations of a COCO JSON file.

    Args:
        path: the file.
        phrase: a phrase for every object that has none of its own.
        images: the folder of the images; by default that of the file.
        boxes_with_points: whether an annotation's bbox counts beside its points or keypoints; else it counts where it
            comes first of them.

    Returns:
        The request; what is wrong with single entries is listed in its ``faults``.

    Raises:
        SaywhereError: the file is not COCO JSON, or has no prompt.
    """
    file = read_coco_file(path, categories_needed=False)
    categories = dict(file.categories) or _unnamed_categories(file)
    request = PrelabelRequest(
        categories=list(categories.values()), licenses=list(file.licenses), faults=list(file.faults)
    )
    if not file.categories and len(categories) > 1:
        request.notes.append(f"file '{path}': its {len(categories)} categories have no names; they get 'category ID'")
    if crowds := sum(map(is_crowd, file.annotations)):
        request.notes.append(f"file '{path}': {crowds:,} crowd regions left out")
    folder = images or path.parent
    files = _file_names(file, images, request)
    images_of_prompts = {image_id: file.images[image_id] for image_id in files}
    request.images = list(images_of_prompts.values())
    prompts: dict[Id, list[ObjectPrompt]] = defaultdict(list)
    sizes: dict[Id, ImageSize | None] = {}
    for number, annotation in enumerate(file.annotations, 1):
        image_id = annotation["image_id"]
        if is_crowd(annotation) or image_id not in files:
            continue
        try:
            if annotation.get("id") in (None, ""):
                raise SaywhereError("an id of its own is needed")
            if not file.categories:
                annotation.setdefault("category_id", 1)
            class_name_of(annotation, dict.fromkeys(categories))
            if image_id not in sizes:
                sizes[image_id] = _size(images_of_prompts[image_id], folder / files[image_id], request.faults)
            if size := sizes[image_id]:
                prompts[image_id].append(_object_prompt(annotation, size, phrase, boxes_with_points))
        except SaywhereError as error:
            request.faults.append(f"{annotation_name(annotation, number)}: {error}")
    for image_id, objects in prompts.items():
        request.prompts.append(ImagePrompts(files[image_id], folder / files[image_id], tuple(objects)))
    request.unprompted = len(files) - len(sizes)
    if not request.prompts and not request.faults:
        raise SaywhereError(f"source '{path}': no annotation has a prompt; give each a bbox, point or points")
    return request


def _unnamed_categories(file: CocoFile) -> dict[Id, Entry]:
    """The categories of a file that lists none: those of its annotations, or one for all that give none."""
    given = [annotation.get("category_id", 1) for annotation in file.annotations]
    numbers = list(dict.fromkeys(number for number in given if isinstance(number, (int, str))))
    if len(numbers) < 2:
        return {number: {"id": number, "name": CATEGORY} for number in numbers or [1]}
    return {number: {"id": number, "name": f"category {number}"} for number in numbers}


def _file_names(file: CocoFile, images: Path | None, request: PrelabelRequest) -> dict[Id, str]:
    """The file names of the images by their ids; an image without one is a fault."""
    names = {}
    for image_id, image in file.images.items():
        try:
            name = file_name_of(image)
            # Without a named folder, a name that leads out of the file's is that of any file.
            if images or not leads_out(name):
                name, renamed = find_image(name, images, file.path.parent)
                request.notes += [f"image {image_id}: {renamed}"] if renamed else []
            names[image_id] = name
        except SaywhereError as error:
            request.faults.append(f"image {image_id}: {error}")
    return names


def _size(image: Entry, path: Path, faults: list[str]) -> ImageSize | None:
    """Size of an image; None, and a fault, when it is missing or of another size than its entry says."""
    try:
        size = image_size(path)
    except SaywhereError as error:
        faults.append(str(error))
        return None
    width = size.width if image.get("width") is None else image["width"]
    height = size.height if image.get("height") is None else image["height"]
    if (height, width) != (size.height, size.width):
        faults.append(f"photograph '{path}': is {size.width}x{size.height} pixels; its entry says {width}x{height}")
        return None
    image["height"], image["width"] = size
    return size


def _object_prompt(
    annotation: dict[str, Any], size: ImageSize, phrase: str | None, boxes_with_points: bool
) -> ObjectPrompt:
    prompt, box = _prompt(annotation, size, boxes_with_points)
    own = annotation.get("phrase", phrase)
    if own is not None and (not isinstance(own, str) or not own.strip()):
        raise SaywhereError(f"phrase {own!r}: give words")
    prompt = prompt.with_phrase(own)
    if not prompt and box is None:
        raise SaywhereError("has no prompt; give it a bbox, point, points, keypoints or phrase")
    output = {key: value for key, value in annotation.items() if key not in MASK_KEYS}
    # The box of the prompt is not the one of the mask: both are kept.
    output["prompt"] = {key: annotation[key] for key in PROMPT_KEYS if key in annotation}
    return ObjectPrompt(str(annotation["id"]), prompt, output, box)


def _prompt(annotation: dict[str, Any], size: ImageSize, boxes_with_points: bool) -> tuple[Prompt, Box | None]:
    """The clicks of an annotation, and its box."""
    has_box = "bbox" in annotation
    box = read_box(annotation["bbox"], size) if has_box and boxes_with_points else None
    if "points" in annotation:
        return Prompt(read_points(annotation["points"], size)), box
    if "point" in annotation:
        return Prompt(read_points([annotation["point"]], size)), box
    if has_box and not (boxes_with_points and "keypoints" in annotation):
        return Prompt(), read_box(annotation["bbox"], size)
    if "keypoints" in annotation:
        return Prompt(_keypoints(annotation["keypoints"], size)), box
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
