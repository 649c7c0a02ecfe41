"""Masks drawn on images, and image files that are written whole or not at all."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.atomic import write_atomically
from saywhere.core.images import UNREADABLE
from saywhere.core.prompt import Prompt
from saywhere.core.rle import RunLengths
from saywhere.errors import SaywhereError

OBJECT = (255, 140, 0)
SOURCE = "Source"  # keyword of a PNG's text: the SHA-256 of the image that it was made from
CONTOUR = (255, 255, 255)
POSITIVE, NEGATIVE = (0, 200, 80), (230, 30, 60)


def mask_image(mask: BoolArray) -> NDArray[np.uint8]:
    """``(H, W)`` uint8: 255 on the object, else 0."""
    return mask.astype(np.uint8) * np.uint8(255)


def draw(image: ImageArray, mask: BoolArray, prompt: Prompt | None = None) -> ImageArray:
    """Draw a mask and its prompt on an image.

    Args:
        image: ``(H, W, 3)`` RGB.
        mask: ``(H, W)``.
        prompt: in pixels of the image; positive clicks and the box are green, negative clicks red, drags have a circle;
            None draws the mask alone.

    Returns:
        A new image, darker outside the mask, with its contour.
    """
    drawn = np.asarray(cv2.convertScaleAbs(image, alpha=0.35), np.uint8)
    tinted = cv2.add(cv2.convertScaleAbs(image, alpha=0.75), np.array([*(c // 4 for c in OBJECT), 0], np.float64))
    np.copyto(drawn, tinted, where=mask[:, :, None])
    stroke = max(round(max(image.shape[:2]) / 400), 1)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, contours, -1, CONTOUR, stroke)
    if prompt is None:
        return drawn
    if prompt.box is not None:
        x0, y0, x1, y1 = (round(edge) for edge in prompt.box)
        cv2.rectangle(drawn, (x0, y0), (x1 - 1, y1 - 1), POSITIVE, stroke)
    for click in prompt.clicks:
        colour = POSITIVE if click.positive else NEGATIVE
        centre = round(click.x), round(click.y)
        cv2.circle(drawn, centre, 4 * stroke + 2, CONTOUR, -1, cv2.LINE_AA)
        cv2.circle(drawn, centre, 4 * stroke, colour, -1, cv2.LINE_AA)
        if click.radius is not None:
            cv2.circle(drawn, centre, round(click.radius), colour, stroke, cv2.LINE_AA)
    return drawn


def relevance_overlay(image: ImageArray, relevance: NDArray[np.float32]) -> ImageArray:
    """The image in grey under ``(H, W)`` values in [0, 1]: blue where they are low, red where they are high."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = cv2.applyColorMap((255.0 * np.clip(relevance, 0.0, 1.0)).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.asarray(cv2.addWeighted(grey, 0.5, cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), 0.5, 0.0), np.uint8)


def region_as_coco(mask: BoolArray, score: float) -> dict[str, Any]:
    """Area, box, score and compressed run lengths of an ``(H, W)`` mask, as COCO has them."""
    return {**RunLengths.from_mask(mask).as_annotation(), "score": round(score, 4)}


def write_image(path: Path, image: NDArray[np.uint8], source: str | None = None) -> None:
    """Write an image in one step: a kill leaves the old file, or none.

    Args:
        path: the file; its ending says the format.
        image: ``(H, W)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA.
        source: a digest of what a PNG was made from, see :func:`source_of`.

    Raises:
        SaywhereError: the format is unknown, or the file cannot be written.
    """
    content = encode_image(image, path.suffix)
    if content is None:
        height, width = image.shape[:2]
        raise SaywhereError(
            f"'{path}': an image of {width}x{height} cannot be written with the ending '{path.suffix}'; use .png"
        )
    if source is not None and path.suffix.lower() == ".png":
        content = _with_source(content, source)
    write_atomically(path, content)


def source_of(path: Path) -> str | None:
    """The digest that :func:`write_image` wrote into a PNG; None without one, or where it is no PNG."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            text = image.info.get(SOURCE)
    except UNREADABLE:
        return None
    return text if isinstance(text, str) else None


def _with_source(png: bytes, source: str) -> bytes:
    """A PNG with a text chunk after its header (PNG specification, 11.3.3)."""
    end = 8 + 25  # signature, and the header chunk with 13 bytes of data
    body = b"tEXt" + SOURCE.encode() + b"\0" + source.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:end] + chunk + png[end:]


def encode_image(image: NDArray[np.uint8], suffix: str) -> bytes | None:
    """The content of an image file.

    Args:
        image: ``(H, W)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA.
        suffix: of the file's name, for example ``".png"``; it says the format.

    Returns:
        The bytes; None where no format has this suffix.
    """
    if image.ndim == 3:
        code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = np.asarray(cv2.cvtColor(image, code), np.uint8)
    try:
        encoded, content = cv2.imencode(suffix or ".", image)
    except cv2.error:
        return None
    return content.tobytes() if encoded else None
