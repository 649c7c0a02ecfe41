"""LabelMe: a JSON file beside each image. Masks are kept as its shape "mask", which it has since version 5.3."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.images import UNREADABLE, image_size
from saywhere.data.checks import check_label, check_score, check_size
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    ObjectAnnotation,
    WriteOptions,
    note_default_labels,
    with_image_file,
)
from saywhere.data.formats.names import UniqueNames, safe_name
from saywhere.data.formats.polygons import draw_shape, polygons_through_pixel_centres
from saywhere.errors import SaywhereError
from saywhere.storage.atomic import copy_file

Shape = dict[str, Any]
VERSION = "5.5.0"  # of LabelMe, whose format this is
POINT_COUNTS = {"polygon": None, "rectangle": 2, "circle": 2, "mask": 2, "oriented_rectangle": 4}  # of its areas


def read_labelme(source: Path, images: Path | None) -> AnnotationSource:
    """The annotated images of LabelMe's JSON files.

    Args:
        source: one JSON file, or a folder of them.
        images: the folder of the images, where only the last part of their names counts; by default each image lies
            beside its JSON file.

    Raises:
        SaywhereError: there is no JSON file.
    """
    files = [source] if source.is_file() else sorted(source.rglob("*.json"))
    if not files:
        raise SaywhereError(f"source '{source}': no JSON file there; LabelMe has one for each photograph")
    root = source.parent if source.is_file() else source
    return AnnotationSource([partial(_read_image, path, root, images) for path in files])


def _read_image(path: Path, root: Path, images: Path | None) -> AnnotatedImage:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SaywhereError(f"'{path}': cannot be read as JSON ({error})") from error
    try:
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise SaywhereError("not LabelMe JSON; the list shapes is needed")
        name = content.get("imagePath")
        if images and isinstance(name, str):
            name = PureWindowsPath(name).name
        file_name = (path.parent.relative_to(root) / safe_name(name)).as_posix()
        folder = images or root
        size = _read_size(content, folder / file_name)
        objects, notes = _read_shapes(content["shapes"], size)
        notes = [f"photograph '{file_name}': {note}" for note in notes]
        return with_image_file(AnnotatedImage(file_name, size, objects, notes=tuple(notes)), folder)
    except SaywhereError as error:
        raise SaywhereError(f"'{path}': {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SaywhereError(f"'{path}': a shape lacks or misnames something ({error}); see LabelMe's format") from error


def _read_size(content: dict[str, Any], image: Path) -> ImageSize:
    """The size that the file gives, or without it the image's."""
    if content.get("imageWidth") is None or content.get("imageHeight") is None:
        return image_size(image)
    return check_size(content["imageWidth"], content["imageHeight"])


def _read_shapes(shapes: list[Shape], size: ImageSize) -> tuple[tuple[ObjectAnnotation, ...], list[str]]:
    """The objects of shapes, and notes. Shapes of the same label and group are one object."""
    by_object: dict[Any, tuple[BoolArray, Shape]] = {}
    skipped: dict[str, int] = {}
    for number, shape in enumerate(shapes, 1):
        if not isinstance(shape, dict):
            raise SaywhereError(f"shape {number}: expected an object; see LabelMe's format")
        kind = shape.get("shape_type") or "polygon"
        if kind not in POINT_COUNTS:
            skipped[str(kind)] = skipped.get(str(kind), 0) + 1
            continue
        try:
            mask = _read_mask(shape, kind, size)
        except SaywhereError as error:
            raise SaywhereError(f"shape {number}: {error}") from error
        group = shape.get("group_id")
        key = (shape.get("label"), group) if group is not None else number
        if key in by_object:
            mask = mask | by_object[key][0]
        by_object[key] = mask, shape
    objects = tuple(
        ObjectAnnotation.from_mask(
            mask, check_label(shape.get("label")), check_score(shape.get("score")), check_label(shape.get("author"))
        )
        for mask, shape in by_object.values()
    )
    return objects, [f"{count} shapes '{kind}' have no area; left out" for kind, count in skipped.items()]


def _read_mask(shape: Shape, kind: str, size: ImageSize) -> BoolArray:
    points = np.array(shape["points"], np.float64)
    count = POINT_COUNTS[kind]
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        raise SaywhereError("points: expected [[x, y], ...] in pixels")
    if len(points) != count if count else len(points) < 3:
        raise SaywhereError(f"{kind} of {len(points)} points; expected {count or 'three or more'}")
    if kind != "mask":
        return draw_shape(kind, points, size)
    (left, top), (right, bottom) = points.astype(int).tolist()
    if not (0 <= left <= right < size.width and 0 <= top <= bottom < size.height):
        raise SaywhereError(f"mask from {left, top} to {right, bottom}: not within {size.width}x{size.height} pixels")
    mask = np.zeros(size, np.bool_)
    part = ImageSize(bottom - top + 1, right - left + 1)
    mask[top : bottom + 1, left : right + 1] = _decode_png(shape["mask"], part)
    return mask


def _decode_png(text: object, size: ImageSize) -> BoolArray:
    """A base64 PNG of this size as a mask; SaywhereError when it is not one."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(str(text), validate=True)), formats=["PNG"]) as image:
            if image.size != (size.width, size.height):
                raise SaywhereError(
                    f"mask of {image.width}x{image.height} pixels; its points say {size.width}x{size.height}"
                )
            values = np.array(image)
    except SaywhereError:
        raise
    except UNREADABLE as error:
        raise SaywhereError(f"mask: not a PNG in base64 ({error})") from error
    if values.ndim != 2:
        raise SaywhereError("mask: a PNG in colour; expected grey, 0 off the object")
    return values.astype(np.bool_)


def write_labelme(images: Iterable[AnnotatedImage], dest: Path, options: WriteOptions, notes: list[str]) -> None:
    """Write a JSON file for each image, which lies beside it. The image is not put into the JSON."""
    names = UniqueNames()
    dest.mkdir(parents=True)
    for image in images:
        name = names.claim(image.file_name, notes)
        notes += note_default_labels(image)
        file_name = name + PurePosixPath(image.file_name).suffix
        shapes: list[Shape] = []
        for number, each in enumerate(image.objects, 1):
            parts, lost = _polygon_shapes(each, number) if options.polygons else _mask_shapes(each)
            notes += [f"photograph '{image.file_name}', object {each.class_name!r}: {note}" for note in lost]
            shapes += [{**_shape_fields(each), **part} for part in parts]
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": PurePosixPath(file_name).name,
            "imageData": None,
            "imageHeight": image.size.height,
            "imageWidth": image.size.width,
        }
        path = dest / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        if options.copy and image.path:
            copy_file(image.path, dest / file_name)


def _shape_fields(each: ObjectAnnotation) -> Shape:
    """The fields of every shape of an object; LabelMe keeps keys that it does not know."""
    optional = {"score": each.score, "author": each.author}
    given = {key: value for key, value in optional.items() if value is not None}
    return {"label": each.class_name, "group_id": None, "description": "", "flags": {}, **given}


def _mask_shapes(each: ObjectAnnotation) -> tuple[list[Shape], list[str]]:
    """One shape with the object's mask, and notes."""
    x, y, mask = each.region.cropped()
    h, w = mask.shape
    if not w:
        return [], ["is empty; left out"]
    png = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(png, "PNG")
    corners = [[float(x), float(y)], [float(x + w - 1), float(y + h - 1)]]
    return [{"shape_type": "mask", "points": corners, "mask": base64.b64encode(png.getvalue()).decode("ascii")}], []


def _polygon_shapes(each: ObjectAnnotation, number: int) -> tuple[list[Shape], list[str]]:
    """A polygon for each piece, held together by a group; and notes."""
    mask = each.mask
    pieces = polygons_through_pixel_centres(mask)
    if not pieces:
        return [], ["is empty; left out"]
    size = each.region.size
    drawn = np.logical_or.reduce([draw_shape("polygon", piece, size) for piece in pieces])
    differ = int((drawn ^ mask).sum())
    notes = [f"its polygons differ from its mask in {differ} of {each.region.area:,} pixels"] if differ else []
    group = number if len(pieces) > 1 else None
    return [{"shape_type": "polygon", "points": piece.tolist(), "group_id": group} for piece in pieces], notes
