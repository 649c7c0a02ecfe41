"""LabelMe: a JSON file beside each photograph. Masks are kept as such (its shape 'mask', since LabelMe 5.3)."""

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
from saywhere.core.images import image_size
from saywhere.data.datasets.masks import UNREADABLE
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    Object,
    Source,
    WriteOptions,
    checked_label,
    checked_score,
    checked_size,
    find_image,
    without_label,
)
from saywhere.data.formats.names import Names, safe_name
from saywhere.data.formats.polygons import along_centres, drawn
from saywhere.errors import SaywhereError
from saywhere.storage.atomic import copy_file

VERSION = "5.5.0"  # of LabelMe, whose format this is
POINTS = {"polygon": None, "rectangle": 2, "circle": 2, "mask": 2, "oriented_rectangle": 4}  # areas, and their points


def read_labelme(source: Path, photos: Path | None) -> Source:
    """The photographs of all JSON files under ``source``, or of this one file; each is read when called.

    Photographs are beside their file; or in ``photos``, where their last name counts. SaywhereError when there is no
    JSON file.
    """
    files = [source] if source.is_file() else sorted(source.rglob("*.json"))
    if not files:
        raise SaywhereError(f"source '{source}': no JSON file there; LabelMe has one for each photograph")
    root = source.parent if source.is_file() else source
    return Source([partial(_photo, path, root, photos) for path in files])


def _photo(path: Path, root: Path, photos: Path | None) -> AnnotatedImage:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SaywhereError(f"'{path}': cannot be read as JSON ({error})") from error
    try:
        if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
            raise SaywhereError("not LabelMe JSON; the list shapes is needed")
        inner = path.parent.relative_to(root)
        name = data.get("imagePath")
        if photos and isinstance(name, str):
            name = PureWindowsPath(name).name
        file = (inner / safe_name(name)).as_posix()
        size = _size(data, (photos or root) / file)
        objects, notes = _objects(data["shapes"], size)
        said = tuple(f"photograph '{file}': {note}" for note in notes)
        return AnnotatedImage(file, *size, objects, find_image(photos or root, file, size), said)
    except SaywhereError as error:
        raise SaywhereError(f"'{path}': {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SaywhereError(f"'{path}': a shape lacks or misnames something ({error}); see LabelMe's format") from error


def _size(data: dict[str, Any], photo: Path) -> tuple[int, int]:
    """The size that the file gives, or without it the photograph's."""
    if data.get("imageWidth") is None or data.get("imageHeight") is None:
        return image_size(photo)
    return checked_size(data["imageWidth"], data["imageHeight"])


def _objects(shapes: list[dict[str, Any]], size: tuple[int, int]) -> tuple[tuple[Object, ...], list[str]]:
    """The objects of shapes; polygons of the same label and group are one."""
    found: dict[Any, tuple[BoolArray, dict[str, Any]]] = {}
    skipped: dict[str, int] = {}
    for number, shape in enumerate(shapes, 1):
        if not isinstance(shape, dict):
            raise SaywhereError(f"shape {number}: expected an object; see LabelMe's format")
        kind = shape.get("shape_type") or "polygon"
        if kind not in POINTS:
            skipped[str(kind)] = skipped.get(str(kind), 0) + 1
            continue
        try:
            mask = _mask(shape, kind, size)
        except SaywhereError as error:
            raise SaywhereError(f"shape {number}: {error}") from error
        group = shape.get("group_id")
        key = (shape.get("label"), group) if group is not None else number
        if key in found:
            mask = mask | found[key][0]
        found[key] = mask, shape
    objects = tuple(
        Object.of(mask, checked_label(shape.get("label")), checked_score(shape.get("score")),
                  checked_label(shape.get("author")))
        for mask, shape in found.values()
    )  # fmt: skip
    return objects, [f"{count} shapes '{kind}' have no area; left out" for kind, count in skipped.items()]


def _mask(shape: dict[str, Any], kind: str, size: tuple[int, int]) -> BoolArray:
    points = np.array(shape["points"], np.float64)
    count = POINTS[kind]
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        raise SaywhereError("points: expected [[x, y], ...] in pixels")
    if len(points) != count if count else len(points) < 3:
        raise SaywhereError(f"{kind} of {len(points)} points; expected {count or 'three or more'}")
    if kind != "mask":
        return drawn(kind, points, size[::-1])
    (left, top), (right, bottom) = points.astype(int).tolist()
    if not (0 <= left <= right < size[0] and 0 <= top <= bottom < size[1]):
        raise SaywhereError(f"mask from {left, top} to {right, bottom}: not within {size[0]}x{size[1]} pixels")
    mask = np.zeros(size[::-1], np.bool_)
    mask[top : bottom + 1, left : right + 1] = _unpacked(shape["mask"], (right - left + 1, bottom - top + 1))
    return mask


def _unpacked(text: object, size: tuple[int, int]) -> BoolArray:
    """A base64 PNG of this (width, height) as a mask; SaywhereError when it is not one."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(str(text), validate=True)), formats=["PNG"]) as image:
            if image.size != size:
                raise SaywhereError(f"mask of {image.width}x{image.height} pixels; its points say {size[0]}x{size[1]}")
            values = np.array(image)
    except SaywhereError:
        raise
    except UNREADABLE as error:
        raise SaywhereError(f"mask: not a PNG in base64 ({error})") from error
    if values.ndim != 2:
        raise SaywhereError("mask: a PNG in colour; expected grey, 0 off the object")
    return values.astype(np.bool_)


def write_labelme(photos: Iterable[AnnotatedImage], dest: Path, how: WriteOptions, notes: list[str]) -> None:
    """Write a JSON file for each photograph, which lies beside it; the photograph is not put into the JSON."""
    taken = Names()
    dest.mkdir(parents=True)
    for photo in photos:
        name = taken.claim(photo.file, notes)
        notes += without_label(photo)
        file = name + PurePosixPath(photo.file).suffix
        shapes = []
        for number, one in enumerate(photo.objects, 1):
            made, said = _polygons(one, number) if how.polygons else _as_mask(one)
            notes += [f"photograph '{photo.file}', object {one.named!r}: {note}" for note in said]
            shapes += [{**_about(one), **shape} for shape in made]
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": PurePosixPath(file).name,
            "imageData": None,
            "imageHeight": photo.height,
            "imageWidth": photo.width,
        }
        path = dest / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        if how.copy and photo.path:
            copy_file(photo.path, dest / file)


def _about(one: Object) -> dict[str, Any]:
    """What every shape of an object says; LabelMe keeps keys that it does not know."""
    more = {"score": one.score, "author": one.author}
    known = {key: value for key, value in more.items() if value is not None}
    return {"label": one.named, "group_id": None, "description": "", "flags": {}, **known}


def _as_mask(one: Object) -> tuple[list[dict[str, Any]], list[str]]:
    x, y, w, h = one.region.box
    if not w:
        return [], ["is empty; left out"]
    packed = io.BytesIO()
    Image.fromarray(one.mask[y : y + h, x : x + w].astype(np.uint8)).save(packed, "PNG")
    corners = [[float(x), float(y)], [float(x + w - 1), float(y + h - 1)]]
    return [{"shape_type": "mask", "points": corners, "mask": base64.b64encode(packed.getvalue()).decode("ascii")}], []


def _polygons(one: Object, number: int) -> tuple[list[dict[str, Any]], list[str]]:
    """A polygon for each piece, which a group holds together."""
    mask = one.mask
    pieces = along_centres(mask)
    if not pieces:
        return [], ["is empty; left out"]
    made = np.logical_or.reduce([drawn("polygon", piece, mask.shape) for piece in pieces])
    differ = int((made ^ mask).sum())
    said = [f"its polygons differ from its mask in {differ} of {one.region.area:,} pixels"] if differ else []
    group = number if len(pieces) > 1 else None
    return [{"shape_type": "polygon", "points": piece.tolist(), "group_id": group} for piece in pieces], said
