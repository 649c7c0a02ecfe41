"""Where an image lies in the square that a network of SAM's family sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, PADDING, Prompt
from saywhere.runtime.external.drags import further_clicks
from saywhere.runtime.external.layouts import LOW_RESOLUTION, Encoder, Layout

MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet, of values from 0 to 1
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
LEAST_PROBABILITY = 1e-6  # probabilities are kept this far from 0 and 1 when they become logits


@dataclass(frozen=True)
class Place:
    """Where an image lies in the square that a network sees: at its upper left.

    Attributes:
        image: size of the image.
        placed: its size in the square.
        side: of the square.
    """

    image: ImageSize
    placed: ImageSize
    side: int

    @classmethod
    def of(cls, image: ImageSize, layout: Layout) -> Place:
        """The place of an image of some size."""
        encoder = layout.encoder
        if encoder.placement == "own":
            return cls(image, image, layout.side)
        given = encoder.size or ImageSize(layout.side, layout.side)
        if encoder.placement == "squeeze":
            return cls(image, given, layout.side)
        scale = min(given.height / image.height, given.width / image.width)
        height, width = (max(int(n * scale + 0.5), 1) for n in image)
        return cls(image, ImageSize(min(height, given.height), min(width, given.width)), layout.side)

    @property
    def scales(self) -> tuple[float, float]:
        """Pixels of the square to a pixel of the image, across and down."""
        return self.placed.width / self.image.width, self.placed.height / self.image.height

    def points(self, prompt: Prompt, limit: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Clicks, further points of drags, and the corners of a box in pixels of the square.

        Args:
            prompt: in pixels of the image.
            limit: how many points there may be; further points of drags are left out first, then the oldest clicks but
                the first.

        Returns:
            ``(N, 2)`` points and ``(N,)`` labels; one padding point where there is no other.
        """
        room = None if limit is None else limit - 2 * (prompt.box is not None)
        clicks = list(prompt.clicks)
        if room is not None and len(clicks) > room:
            clicks = [*clicks[:1], *clicks[len(clicks) - room + 1 :]][:room]
        further = [each for click in clicks for each in further_clicks(click, self.image)]
        clicks += further if room is None else further[: max(room - len(clicks), 0)]
        across, down = self.scales
        # A point at the centre of a pixel has its number as coordinate; corners lie on the edges of pixels.
        points = [((c.x + 0.5) * across - 0.5, (c.y + 0.5) * down - 0.5, float(c.positive)) for c in clicks]
        if prompt.box is not None:
            x0, y0, x1, y1 = prompt.box
            points += [(x0 * across, y0 * down, BOX_TOP_LEFT), (x1 * across, y1 * down, BOX_BOTTOM_RIGHT)]
        array = np.array(points or [(0.0, 0.0, PADDING)], np.float32)
        return array[:, :2], array[:, 2]

    def to_image(self, logits: FloatArray) -> FloatArray:
        """Logits of the square at the size of the image.

        Args:
            logits: ``(n, s, s)`` of the square, at any scale.
        """
        scale, (across, down) = logits.shape[-1] / self.side, self.scales
        inverse = np.array([[across, 0.0, across / 2.0], [0.0, down, down / 2.0]]) * scale
        inverse[:, 2] -= 0.5  # from the centre of a pixel of the image to the logits
        size = self.image.width, self.image.height
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        sampled = [cv2.warpAffine(each, inverse, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) for each in logits]
        return np.asarray(sampled, np.float32)

    def from_probability(self, probability: FloatArray) -> FloatArray:
        """The mask that a decoder takes.

        Args:
            probability: ``(H, W)`` of the image's pixels.

        Returns:
            ``(s, s)`` logits of the square at a quarter of its side; beside the image nothing is on the object.
        """
        certain = np.clip(probability, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
        logits = np.log(certain / (1.0 - certain)).astype(np.float32)
        side = self.side // LOW_RESOLUTION
        height, width = (min(max(round(n / LOW_RESOLUTION), 1), side) for n in self.placed)
        square = np.full((side, side), np.log(LEAST_PROBABILITY), np.float32)
        square[:height, :width] = cv2.resize(logits, (width, height), interpolation=cv2.INTER_AREA)
        return square


def encoder_input(image: ImageArray, encoder: Encoder, place: Place) -> NDArray[Any]:
    """What an encoder takes of an image.

    Args:
        image: ``(H, W, 3)`` RGB.
        encoder: takes it.
        place: where it lies in the encoder's square.
    """
    height, width = place.placed
    if place.placed != place.image:
        shrinks = height < place.image.height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
    values: NDArray[Any] = image.astype(np.float32)
    if encoder.values != "bytes":
        values /= np.float32(255.0)
    if encoder.values == "normalised":
        values = (values - MEAN) / DEVIATION
    if encoder.size is not None and encoder.size != place.placed:
        padding = (0, encoder.size.height - height), (0, encoder.size.width - width), (0, 0)
        values = np.pad(values, padding)
    if not encoder.is_channels_last:
        values = values.transpose(2, 0, 1)[None]
    return np.ascontiguousarray(values, encoder.image.dtype or np.float32)
