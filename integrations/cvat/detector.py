"""A detection function for CVAT: masks of all objects that the labels name.

    cvat-cli task auto-annotate 137 --function-file integrations/cvat/detector.py -p labels=str:cat,dog

See docs/integrations.md.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cvat_sdk.auto_annotation as cvataa
import numpy as np
from cvat_sdk import models
from cvat_sdk.masks import encode_mask
from PIL import Image

import saywhere
from saywhere import SaywhereError, Segmenter
from saywhere.core.polygons import join_pieces, polygons_along_pixel_edges
from saywhere.interactive.checks import check_phrase
from saywhere.interactive.instances import Instance

DEFAULT_TOLERANCE = 1.0  # of polygons, in pixels


class Detector:
    """Looks for all objects of each label.

    Args:
        segmenter: with the weights to use.
        phrases: by the names of CVAT's labels, what to look for.
        tolerance: how far polygons may be from the mask's outline, in pixels.

    Raises:
        SaywhereError: there is no label, or the weights do not know a phrase.
    """

    def __init__(self, segmenter: Segmenter, phrases: dict[str, str], tolerance: float = DEFAULT_TOLERANCE) -> None:
        if not phrases:
            raise SaywhereError("labels: none; give -p labels=str:cat,dog")
        self._phrases = {name: _checked(name, phrase, segmenter) for name, phrase in phrases.items()}
        self._segmenter, self._tolerance = segmenter, tolerance
        self._lock = threading.Lock()

    @property
    def spec(self) -> cvataa.DetectionFunctionSpec:
        """The labels; CVAT's labels of the same names must be of type mask, polygon or any."""
        return cvataa.DetectionFunctionSpec(
            labels=[cvataa.label_spec(name, number) for number, name in enumerate(self._phrases)]
        )

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: Image.Image
    ) -> Sequence[models.LabeledShapeRequest]:
        """All objects in an image, as masks, or as polygons where CVAT asks for these."""
        with self._lock:
            self._segmenter.set_image(image)
            found = [(n, self._segmenter.instances(phrase)) for n, phrase in enumerate(self._phrases.values())]
        least = context.conf_threshold or 0.0
        return [
            self._shape(label, each, context.conv_mask_to_poly)
            for label, instances in found
            for each in instances
            if each.score >= least and each.mask.array.any()
        ]

    def _shape(self, label: int, instance: Instance, as_polygon: bool) -> models.LabeledShapeRequest:
        pixels = instance.mask.array
        score = round(min(max(float(instance.score), 0.0), 1.0), 4)
        if not as_polygon:
            return cvataa.mask(label, encode_mask(pixels), score=score)
        ring = join_pieces(polygons_along_pixel_edges(pixels, self._tolerance))
        return cvataa.polygon(label, np.asarray(ring, float).ravel().tolist(), score=score)


def _checked(name: str, phrase: str, segmenter: Segmenter) -> str:
    try:
        return check_phrase(phrase, segmenter.runtime)
    except SaywhereError as error:
        raise SaywhereError(f"label {name!r}: {error}; give NAME=PHRASE to look for another phrase") from error


def create(labels: str, model: str | None = None, device: str | None = None) -> Detector:
    """What ``cvat-cli`` calls with its ``-p`` parameters.

    Args:
        labels: names of CVAT's labels, with commas between; ``NAME=PHRASE`` looks for another phrase than the name.
        model: weights, as for :func:`saywhere.load`.
        device: a torch device.

    Raises:
        SystemExit: no label, a label twice or of unknown words, or weights that cannot be had; with one line.
    """
    try:
        return Detector(saywhere.load(model, device), read_labels(labels))
    except SaywhereError as error:
        raise SystemExit(f"error: {error}") from error


def read_labels(text: str) -> dict[str, str]:
    """Phrases by the names of labels, from ``NAME=PHRASE,NAME``.

    Raises:
        SaywhereError: a name is empty or there twice.
    """
    phrases: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in str(text).split(","))):
        name, _, phrase = (text.strip() for text in part.partition("="))
        if not name or name in phrases:
            raise SaywhereError(f"labels: {part!r} is empty or there twice; give names like cat,dog or pet=cat")
        phrases[name] = phrase or name
    return phrases
