"""LabelMe: a JSON file beside each image. Masks are kept as its shape "mask", which it has since version 5.3."""

from __future__ import annotations

import base64
import io
import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from PIL import Image

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.images import UNREADABLE, ImageHeader, header_of_content, image_size
from saywhere.core.polygons import Ring, drawing_steps, polygons_through_pixel_centres, shape_region
from saywhere.core.rle import MAX_OUTLINE, RunLengths
from saywhere.data.checks import check_label, check_score, check_size
from saywhere.data.files import check_file_name, find_image, is_file, leads_out, list_files
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    BoxAnnotation,
    ObjectAnnotation,
    WriteOptions,
    note_default_labels,
    with_image_file,
)
from saywhere.data.formats.losses import only_json, says_something
from saywhere.data.formats.names import MANIFEST, UniqueNames
from saywhere.errors import SaywhereError

Shape = dict[str, Any]
ONLY_BOX = "only_box"  # our mark of a rectangle that is the box of an object without a mask
VERSION = "5.5.0"  # of LabelMe, whose format this is
POINT_COUNTS: Final[Mapping[str, tuple[int, ...]]] = {
    "polygon": (), "rectangle": (2, 4), "circle": (2,), "mask": (2,), "oriented_rectangle": (4,), "rotation": (4,),
    "quadrilateral": (4,),
}  # fmt: skip
"""How many points the shapes with an area have; polygons three or more. X-AnyLabeling adds the last two, and has four
for a rectangle."""
MAX_STEPS = 500_000_000  # of drawing the polygons of one image, which take some seconds
FILE_KEYS = {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
SHAPE_KEYS = {"label", "points", "shape_type", "mask", "score", "author", ONLY_BOX}


def read_labelme(source: Path, images: Path | None) -> AnnotationSource:
    """The annotated images of LabelMe's JSON files, which X-AnyLabeling writes too.

    Args:
        source: one JSON file, or a folder of them.
        images: the folder of the images, where only the last part of their names counts; by default each image lies
            beside its JSON file, or in it (``imageData``).

    Raises:
        SaywhereError: there is no JSON file.
    """
    files = (
        [source] if source.is_file() else [source / name for name in list_files(source, ".json") if name != MANIFEST]
    )
    if not files:
        raise SaywhereError(f"source '{source}': no JSON file there; LabelMe has one for each photograph")
    root = source.parent if source.is_file() else source
    return AnnotationSource([partial(_read_image, path, root, images) for path in files])


def _read_image(path: Path, root: Path, images: Path | None) -> AnnotatedImage:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise SaywhereError(f"'{path}': cannot be read as JSON ({error})") from error
    try:
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise SaywhereError("not LabelMe JSON; the list shapes is needed")
        below = path.parent.relative_to(root)
        file_name, renamed = _find_file(content.get("imagePath"), below, images, root)
        folder = images or root
        picture = None if is_file(folder / file_name) else _decode_picture(content.get("imageData"))
        header = None if picture is None else header_of_content(picture, "imageData")
        size = _read_size(content, folder / file_name, header)
        objects, boxes, notes = _read_shapes(content["shapes"], size)
        flags = {"flags": content["flags"]} if says_something(content.get("flags")) else {}
        others = {key: value for key, value in content.items() if key not in FILE_KEYS}
        extra, lost = only_json(others | flags, "")
        notes = [f"photograph '{file_name}': {note}" for note in [*([renamed] if renamed else []), *notes, *lost]]
        image = AnnotatedImage(
            file_name, size, objects, notes=tuple(notes), is_turned=header.is_turned if header else None, boxes=boxes,
            extra=extra, content=picture,
        )  # fmt: skip
        return with_image_file(image, folder)
    except SaywhereError as error:
        raise SaywhereError(f"'{path}': {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        raise SaywhereError(f"'{path}': a shape lacks or misnames something ({error}); see LabelMe's format") from error


def _find_file(name: object, below: Path, images: Path | None, root: Path) -> tuple[str, str | None]:
    """The image of a JSON file, relative to the folder of the images; and a note where its name is another.

    LabelMe writes names that lead out of the folder where images lie elsewhere, so that in a folder that the user names
    the last part counts.
    """
    text = check_file_name(name)
    # A name that climbs from the JSON's folder may still be of a file in the whole.
    whole = text if leads_out(text) and not text.startswith("..") else posixpath.normpath((below / text).as_posix())
    if images is None:
        return find_image(name if leads_out(whole) else whole, None, root)
    last = text.split("/")[-1]
    for given in ((below / last).as_posix(), last, whole):
        if not leads_out(given) and is_file(images / given):
            return given, None if given == whole else f"is named {name!r}; taken for '{given}' in '{images}'"
    # A name that leads out is one of no file there.
    return find_image(last if leads_out(text) else (below / last).as_posix(), images, root)


def _decode_picture(text: object) -> bytes | None:
    """The image file that a JSON file holds; None when it holds none. SaywhereError when it is not in base64."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise SaywhereError(f"imageData: not an image in base64 ({error})") from error


def _read_size(content: dict[str, Any], image: Path, header: ImageHeader | None) -> ImageSize:
    """The size that the file gives, or without it the image's. ``header`` is that of the image in the file, if any."""
    if content.get("imageWidth") is None or content.get("imageHeight") is None:
        return image_size(image) if header is None else header.size
    size = check_size(content["imageWidth"], content["imageHeight"])
    if header is not None and header.size != size:
        raise SaywhereError(
            f"imageData is of {header.size.width}x{header.size.height} pixels; the file says {size.width}x{size.height}"
        )
    return size


def _read_shapes(
    shapes: list[Shape], size: ImageSize
) -> tuple[tuple[ObjectAnnotation, ...], tuple[BoxAnnotation, ...], list[str]]:
    """The objects and boxes of shapes, and notes. Shapes of the same label and group are one object."""
    by_object: dict[Any, list[tuple[RunLengths, Shape]]] = {}
    boxes: list[BoxAnnotation] = []
    skipped: Counter[str] = Counter()
    limits = _Limits(size)
    for number, shape in enumerate(shapes, 1):
        if not isinstance(shape, dict):
            raise SaywhereError(f"shape {number}: expected an object; see LabelMe's format")
        kind = shape.get("shape_type") or "polygon"
        if kind not in POINT_COUNTS:
            skipped[str(kind)] += 1
            continue
        try:
            points = _read_points(shape, kind)
            if shape.get(ONLY_BOX) is True and kind == "rectangle":
                boxes.append(_as_box(shape, points))
                continue
            region = _read_region(shape, kind, points, limits)
        except SaywhereError as error:
            raise SaywhereError(f"shape {number}: {error}") from error
        group = shape.get("group_id")
        key = (shape.get("label"), group) if group is not None else number
        by_object.setdefault(key, []).append((region, shape))
    objects: list[ObjectAnnotation] = []
    notes: list[str] = []
    for parts in by_object.values():
        # What else is said of an object is that of its last shape, and what others say alone.
        given = {key: value for _, shape in parts for key, value in _extra(shape, len(parts)).items()}
        extra, lost = only_json(given, "")
        notes += lost
        region = RunLengths.union([region for region, _ in parts])
        objects.append(ObjectAnnotation(region, *_about(parts[-1][1]), extra=extra))
    notes += [f"{count} shapes '{kind}' have no area; left out" for kind, count in skipped.items()]
    return tuple(objects), tuple(boxes), notes


def _about(shape: Shape) -> tuple[str | None, float | None, str | None]:
    """The label, the score and the author of a shape."""
    return check_label(shape.get("label")), check_score(shape.get("score")), check_label(shape.get("author"))


def _extra(shape: Shape, parts: int) -> Shape:
    """What else a shape says, less what says nothing; a group that only joins the parts of an object is none."""
    return {
        key: value
        for key, value in shape.items()
        if key not in SHAPE_KEYS and (says_something(value) if key != "group_id" else value is not None and parts == 1)
    }


def _as_box(shape: Shape, points: Ring) -> BoxAnnotation:
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return BoxAnnotation((x0, y0, x1 - x0, y1 - y0), *_about(shape), extra=_extra(shape, 1))


@dataclass
class _Limits:
    """What drawing the shapes of one image may still take.

    Attributes:
        size: of the image.
        steps: of drawing; see :func:`drawing_steps`.
        outline: the length of outlines, in pixels.
    """

    size: ImageSize
    steps: int = MAX_STEPS
    outline: float = MAX_OUTLINE

    def take(self, points: Ring) -> None:
        """Count a polygon. SaywhereError when it takes more than is left."""
        self.steps -= drawing_steps(points, self.size)
        self.outline -= float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())
        if self.steps < 0 or self.outline < 0:
            raise SaywhereError(
                f"polygon of {len(points):,} points: the outlines of the image are too long to draw; simplify them"
            )


def _read_points(shape: Shape, kind: str) -> Ring:
    points = np.array(shape["points"], np.float64)
    counts = POINT_COUNTS[kind]
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        raise SaywhereError("points: expected [[x, y], ...] in pixels")
    if len(points) not in counts if counts else len(points) < 3:
        expected = " or ".join(map(str, counts)) or "three or more"
        raise SaywhereError(f"{kind} of {len(points)} points; expected {expected}")
    return points


def _read_region(shape: Shape, kind: str, points: Ring, limits: _Limits) -> RunLengths:
    size = limits.size
    if kind != "mask":
        limits.take(points)
        return shape_region(kind, points, size)
    (left, top), (right, bottom) = points.astype(int).tolist()
    if not (0 <= left <= right < size.width and 0 <= top <= bottom < size.height):
        raise SaywhereError(f"mask from {left, top} to {right, bottom}: not within {size.width}x{size.height} pixels")
    part = ImageSize(bottom - top + 1, right - left + 1)
    return RunLengths.from_part(_decode_png(shape["mask"], part), left, top, size)


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
        # Groups of pieces are numbered after those that objects are in already.
        groups = [group for each in image.objects if isinstance(group := each.extra.get("group_id"), int)]
        for number, each in enumerate(image.objects, max([0, *groups]) + 1):
            parts, lost = _polygon_shapes(each, number, options.tolerance) if options.polygons else _mask_shapes(each)
            notes += [f"photograph '{image.file_name}', object {each.class_name!r}: {note}" for note in lost]
            shapes += [{**_shape_fields(each), **part} for part in parts]
        shapes += [{**_shape_fields(each), **_box_shape(each)} for each in image.boxes]
        content: dict[str, Any] = {
            **{key: value for key, value in image.extra.items() if key not in FILE_KEYS},
            "version": VERSION,
            "flags": flags if isinstance(flags := image.extra.get("flags"), dict) else {},
            "shapes": shapes,
            "imagePath": PurePosixPath(file_name).name,
            "imageData": None,
            "imageHeight": image.size.height,
            "imageWidth": image.size.width,
        }
        path = dest / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_as_utf8(content))
        if options.copy:
            image.copy_file(dest / file_name)


def _as_utf8(content: dict[str, Any]) -> bytes:
    """JSON that people can read; halves of surrogate pairs, which UTF-8 has no bytes for, as escapes."""
    try:
        return json.dumps(content, ensure_ascii=False, indent=1).encode()
    except UnicodeEncodeError:
        return json.dumps(content, indent=1).encode()


def _shape_fields(each: ObjectAnnotation | BoxAnnotation) -> Shape:
    """The fields of every shape of an object; LabelMe keeps keys that it does not know."""
    optional = {"score": each.score, "author": each.author}
    given = {key: value for key, value in optional.items() if value is not None}
    usual: Shape = {"group_id": None, "description": "", "flags": {}}
    # LabelMe opens no file where these three are of another kind.
    kinds = {"group_id": int, "description": str, "flags": dict}
    extra = {
        key if isinstance(value, kinds.get(key, object)) else f"{key}_": value for key, value in each.extra.items()
    }
    return {**usual, **extra, **given, "label": each.class_name}


def _box_shape(each: BoxAnnotation) -> Shape:
    """The shape of a box, with a mark that it is none of an area."""
    x, y, w, h = each.box
    return {"shape_type": "rectangle", "points": [[x, y], [x + w, y + h]], ONLY_BOX: True}


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


def _polygon_shapes(each: ObjectAnnotation, number: int, tolerance: float) -> tuple[list[Shape], list[str]]:
    """A polygon for each piece, held together by a group; and notes."""
    left, top, mask = each.region.cropped()
    pieces = polygons_through_pixel_centres(mask, tolerance)
    if not pieces:
        return [], ["is empty; left out"]
    pieces = [np.add(piece, (left, top)) for piece in pieces]
    drawn = np.zeros_like(mask)
    for piece in pieces:
        x, y, part = shape_region("polygon", piece, each.region.size).cropped()
        drawn[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] |= part
    differ = int((drawn ^ mask).sum())
    notes = [f"its polygons differ from its mask in {differ} of {each.region.area:,} pixels"] if differ else []
    # A piece of an object of one alone is in the group that the object is in.
    group = {"group_id": number} if len(pieces) > 1 else {}
    return [{"shape_type": "polygon", "points": piece.tolist(), **group} for piece in pieces], notes
