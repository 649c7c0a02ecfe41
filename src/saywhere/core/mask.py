"""Masks, as a Segmenter returns them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.core import cutout
from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.deprecation import renamed_methods
from saywhere.core.enlarge import enlarged_above
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_image
from saywhere.core.numbers import describe, finite_number
from saywhere.core.polygons import Ring, polygons_along_pixel_edges
from saywhere.core.prompt import Prompt
from saywhere.core.render import draw, mask_image, write_image
from saywhere.core.rle import RunLengths
from saywhere.errors import SaywhereError

NOTHING = -16.0  # the logit of a pixel outside the crop


@renamed_methods(view="crop", photo="image_size")
@dataclass(frozen=True)
class Mask:
    """The mask of an object. It never changes: ``logits`` and ``refined`` are read-only, :attr:`array` and
    :attr:`probability` are copies.

    Attributes:
        crop: what the network saw last.
        logits: ``(height, width)`` of that crop, from the network.
        image_size: of the image.
        threshold: probability from which a pixel belongs to the object.
        refined: logits that the mask is made of instead, where it was refined.
        predicted_iou: the IoU with the object that a network with several candidates predicts; None from a network
            with one mask.
        candidate: which of the network's outputs this is; 0 from a network with one mask.
    """

    crop: Crop
    logits: FloatArray = field(repr=False)
    image_size: ImageSize
    threshold: float = 0.5
    refined: FloatArray | None = field(default=None, repr=False)
    predicted_iou: float | None = None
    candidate: int = 0

    def __post_init__(self) -> None:
        for name in ("logits", "refined"):
            values = getattr(self, name)
            if values is not None and values.flags.writeable:
                object.__setattr__(self, name, _read_only(values))

    @property
    def final_logits(self) -> FloatArray:
        """The logits that the mask is made of: the refined ones, or else the network's."""
        return self.logits if self.refined is None else self.refined

    @cached_property
    def area_share(self) -> float:
        """The mask's area as a share of the image's, measured at the scale of the crop."""
        inside = float((self.final_logits > logit(self.threshold)).mean())
        crop_area = (self.crop.right - self.crop.left) * (self.crop.bottom - self.crop.top)
        return inside * crop_area / (self.image_size[0] * self.image_size[1])

    @property
    def array(self) -> BoolArray:
        """``(H, W)`` bool, at the size of the image: True on the object.

        The caller may change it: each read copies the mask, so keep it in a variable in a loop.
        """
        return self._pixels.copy()

    @cached_property
    def _pixels(self) -> BoolArray:
        return self.crop.to_image(self.final_logits, self.image_size, NOTHING) > logit(self.threshold)

    def part(self, threshold: float | None = None) -> tuple[int, int, BoolArray]:
        """The mask inside its crop; outside nothing belongs to the object.

        Of a large image this is much smaller than :attr:`array`.

        Args:
            threshold: a probability; the mask's own when None.

        Returns:
            Left and top of the crop in pixels of the image, and its mask ``(h, w)`` at the image's scale.
        """
        width, height = self.crop.right - self.crop.left, self.crop.bottom - self.crop.top
        limit = logit(self.threshold if threshold is None else threshold)
        return self.crop.left, self.crop.top, enlarged_above(self.final_logits, width, height, limit)

    @property
    def probability(self) -> FloatArray:
        """``(H, W)`` float32 in [0, 1], at the size of the image. The caller may change it: each read is a copy."""
        return self._probability.copy()

    @cached_property
    def _probability(self) -> FloatArray:
        return sigmoid(self.crop.to_image(self.final_logits, self.image_size, NOTHING))

    @cached_property
    def score(self) -> float:
        """The expected IoU with the true mask, if the probabilities are right."""
        probability = sigmoid(self.final_logits)
        return expected_iou(probability > self.threshold, probability)

    @cached_property
    def _run_lengths(self) -> RunLengths:
        left, top, part = self.part()
        return RunLengths.from_part(part, left, top, self.image_size)

    @property
    def area(self) -> int:
        """The object's pixels in the image."""
        return self._run_lengths.area

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x, y, width and height of the smallest box around the object, as in COCO; zeros when the mask is empty."""
        return self._run_lengths.box

    @property
    def rle(self) -> dict[str, Any]:
        """``size`` (height, width) and ``counts`` (text), the compressed run lengths of COCO that pycocotools reads."""
        segmentation: dict[str, Any] = self._run_lengths.as_annotation()["segmentation"]
        return segmentation

    def polygons(self, tolerance: float = 0.0) -> list[Ring]:
        """The outline of each piece of the mask; holes are joined to it by cuts without width.

        Args:
            tolerance: how far an outline with fewer vertices may be from the true one, in pixels; 0 keeps it.

        Returns:
            For each piece ``(N, 2)`` float vertices x, y in pixels of the image, whose area pycocotools fills again.

        Raises:
            SaywhereError: the tolerance is negative or no number.
        """
        value = finite_number(tolerance)
        if value is None or value < 0.0:
            raise SaywhereError(f"tolerance {describe(tolerance)}: give 0 or more pixels, such as 1.0")
        return polygons_along_pixel_edges(self._pixels, value)

    def save(self, path: str | Path) -> Path:
        """Write the mask as a grey image: 255 on the object, else 0. The old file stays until the new one is whole.

        Args:
            path: the file; its ending says the format, of which PNG is the one that keeps every pixel.

        Returns:
            The path.

        Raises:
            SaywhereError: the format is unknown, or the file cannot be written.

        Example:
            >>> import tempfile
            >>> from saywhere.core.crop import Crop
            >>> mask = Mask(Crop(0, 0, 2, 2, 2, 2), np.full((2, 2), 9.0, np.float32), ImageSize(2, 2))
            >>> mask.save(tempfile.mkdtemp() + "/mask.png").name
            'mask.png'
        """
        write_image(Path(path), mask_image(self._pixels))
        return Path(path)

    def overlay(self, image: str | Path | Image.Image | ImageArray, prompt: Prompt | None = None) -> ImageArray:
        """The mask drawn on its image: darker outside, with the outline.

        Args:
            image: the image of the mask: a path, a PIL image or an array, as for ``set_image``.
            prompt: its clicks and box are drawn too, for example ``segmenter.prompt``.

        Returns:
            ``(H, W, 3)`` uint8 RGB.

        Raises:
            SaywhereError: the image has another size.
        """
        return draw(self._own(image), self._pixels, prompt)

    def opacity(self, soft: bool = True) -> FloatArray:
        """How opaque each pixel of the object is when it is cut out.

        Args:
            soft: partly opaque at the boundary, by the network's logits; else every pixel is either 0 or 1.

        Returns:
            ``(H, W)`` float32 in [0, 1]; above 0.5 exactly on the mask.
        """
        if not soft:
            return self._pixels.astype(np.float32)
        logits = self.crop.to_image(self.final_logits, self.image_size, NOTHING) - logit(self.threshold)
        # A soft edge is as wide as the network sees: some of its own pixels.
        scale = max((self.crop.right - self.crop.left) / self.crop.width, 1.0)
        return cutout.soft_opacity(self._pixels, sigmoid(np.asarray(logits, np.float32)), cutout.EDGE_WIDTH * scale)

    def cutout(
        self, image: str | Path | Image.Image | ImageArray, blur: float | None = None, soft: bool = True
    ) -> NDArray[np.uint8]:
        """The object cut out of its image, or sharp before a blurred background.

        Args:
            image: the image of the mask: a path, a PIL image or an array, as for ``set_image``.
            blur: None for the object alone; else the radius in pixels by which everything else is blurred (the standard
                deviation of a Gaussian).
            soft: see :meth:`opacity`.

        Returns:
            ``(H, W, 4)`` uint8 RGBA without ``blur``, ``(H, W, 3)`` uint8 RGB with it.

        Raises:
            SaywhereError: the image has another size, the mask is empty, or the radius is not possible.

        Example:
            >>> import numpy as np
            >>> from saywhere.core.crop import Crop
            >>> logits = np.full((2, 2), -9.0, np.float32)
            >>> logits[:, 0] = 9.0
            >>> mask = Mask(Crop(0, 0, 2, 2, 2, 2), logits, ImageSize(2, 2))
            >>> mask.cutout(np.full((2, 2, 3), 200, np.uint8), soft=False)[0].tolist()
            [[200, 200, 200, 255], [0, 0, 0, 0]]
        """
        pixels = self._own(image)
        opacity = self.opacity(soft)
        if blur is None:
            return cutout.cut_out(pixels, opacity)
        return cutout.blur_background(pixels, opacity, blur)

    def _own(self, image: str | Path | Image.Image | ImageArray) -> ImageArray:
        """The pixels of the mask's image; SaywhereError for an image of another size."""
        pixels = read_image(image)
        if pixels.shape[:2] != tuple(self.image_size):
            (height, width), size = pixels.shape[:2], self.image_size
            raise SaywhereError(
                f"an image of {width}x{height}: the mask is of {size.width}x{size.height}; give its own"
            )
        return pixels


def expected_iou(mask: BoolArray, probability: FloatArray) -> float:
    """The expected IoU of a mask with the true one, if the probabilities are right.

    Args:
        mask: ``(H, W)``.
        probability: ``(H, W)`` in [0, 1].

    Returns:
        The expected intersection over the expected union; 0 where nothing is likely.

    Example:
        >>> import numpy as np
        >>> expected_iou(np.array([[True, False]]), np.array([[0.8, 0.0]], np.float32))
        0.800000011920929
    """
    union = float(mask.sum()) + float(probability[~mask].sum())
    return float(probability[mask].sum()) / union if union > 0 else 0.0


def _read_only(values: FloatArray) -> FloatArray:
    view = values.view()
    view.flags.writeable = False
    return view


def sigmoid(logits: FloatArray) -> FloatArray:
    """Logits to probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), np.float32)


def logit(probability: float) -> float:
    """A probability to its logit.

    Raises:
        SaywhereError: it is not between 0 and 1.
    """
    value = finite_number(probability)
    if value is None or not 0.0 < value < 1.0:
        raise SaywhereError(f"threshold {describe(probability)}: give a probability between 0 and 1, such as 0.5")
    return math.log(value / (1.0 - value))
