"""Our network as a model of osam, the package that labelme's AI tools load their models from."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import osam
from numpy.typing import NDArray

import saywhere
from saywhere import SaywhereError, Segmenter
from saywhere.core.arrays import BoolArray
from saywhere.core.prompt import Click
from saywhere.core.rle import RunLengths

NAME = "saywhere:latest"
DISPLAY_NAME = "Saywhere"
MAX_IMAGES = 4  # that are kept with their features
BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT = range(4)  # labels of points

Interaction = tuple[str, tuple[float, ...]]


class SaywhereModel(osam.types.Model):  # type: ignore[misc]
    """Clicks, boxes and texts; several texts at once, and all objects of each.

    What osam calls an embedding is only the number of an image here: its features stay in this process.
    """

    name = NAME
    weights: str | None = None
    _blobs: dict[str, Any] = {}  # noqa: RUF012  (declared so by osam; nothing is downloaded)

    def __init__(self) -> None:
        self._segmenter = saywhere.load(self.weights)
        self._images: OrderedDict[int, Segmenter] = OrderedDict()
        self._numbers = itertools.count(1)
        self._object: tuple[int, list[Interaction], Segmenter] | None = None

    @classmethod
    def get_size(cls) -> int:
        """Bytes to download: none, the weights are installed."""
        return 0

    def encode_image(self, image: NDArray[np.uint8]) -> osam.types.ImageEmbedding:
        """Encode an image ``(H, W, 3)`` or ``(H, W, 4)``, once; it is kept until MAX_IMAGES others were encoded."""
        number = next(self._numbers)
        made = Segmenter(self._segmenter.runtime, self._segmenter.settings)
        self._images[number] = made.set_image(np.ascontiguousarray(image[..., :3]))
        while len(self._images) > MAX_IMAGES:
            self._images.popitem(last=False)
        height, width = image.shape[:2]
        embedding = np.full((1, 1, 1), number, np.float32)
        return osam.types.ImageEmbedding(original_height=height, original_width=width, embedding=embedding)

    def generate(self, request: osam.types.GenerateRequest) -> osam.types.GenerateResponse:
        """Masks for points and boxes, which are one object, or for texts, which may be many.

        Raises:
            SaywhereError: the request has no image, half a box, or a text that the weights do not know.
        """
        embedding, prompt = request.image_embedding, request.prompt
        known = embedding is not None and int(embedding.embedding.flat[0]) in self._images
        if not known:
            if request.image is None:
                raise SaywhereError("labelme: the image is not known any more; send it again with the request")
            embedding = self.encode_image(request.image)
        number = int(embedding.embedding.flat[0])
        if prompt is None:
            height, width = self._images[number].encoded.size
            prompt = osam.types.Prompt(points=np.array([[width / 2, height / 2]]), point_labels=np.array([FOREGROUND]))
        if prompt.points is not None:
            found = list(self._object_at(number, prompt.points, prompt.point_labels))
        else:
            found = list(self._named(number, prompt))
        return osam.types.GenerateResponse(model=self.name, image_embedding=embedding, annotations=found)

    def _object_at(
        self, number: int, points: NDArray[np.floating], labels: NDArray[np.intp]
    ) -> Iterator[osam.types.Annotation]:
        """The object of a prompt. What it shares with the prompt before is not computed again."""
        prompt = _interactions(points, labels)
        at, done, segmenter = self._object or (0, [], self._segmenter)
        if at != number:
            done, segmenter = [], self._images[number].new_object()
        self._object = None  # until it is done: a fault leaves nothing half done
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(done, prompt, strict=False)))
        for _ in done[shared:]:
            segmenter.undo()
        for kind, values in prompt[shared:]:
            if kind == "box":
                segmenter.box(*values)
            else:
                segmenter.add(Click(values[0], values[1], values[2] == FOREGROUND))
        self._object = number, prompt, segmenter
        if segmenter.mask is not None:
            yield from _annotation(segmenter.mask.array, segmenter.mask.score)

    def _named(self, number: int, prompt: osam.types.Prompt) -> Iterator[osam.types.Annotation]:
        for text in prompt.texts:
            for one in self._images[number].new_object().instances(text.strip()):
                if prompt.score_threshold is None or one.score >= prompt.score_threshold:
                    yield from _annotation(one.mask.array, one.score, text)


def _interactions(points: NDArray[np.floating], labels: NDArray[np.intp]) -> list[Interaction]:
    """A prompt of osam as boxes and clicks, in order.

    Raises:
        SaywhereError: a corner of a box without the other one.
    """
    found: list[Interaction] = []
    corner: tuple[float, float] | None = None
    for (x, y), label in zip(points.tolist(), labels.tolist(), strict=True):
        if label == TOP_LEFT and corner is None:
            corner = (x, y)
        elif label == BOTTOM_RIGHT and corner is not None:
            edges = (min(corner[0], x), min(corner[1], y), max(corner[0], x), max(corner[1], y))
            found.append(("box", tuple(edge + 0.5 for edge in edges)))
            corner = None
        elif label in (BACKGROUND, FOREGROUND):
            found.append(("click", (x, y, label)))
        else:
            raise SaywhereError(f"labelme: point labels {labels.tolist()}; a box is 2 and then 3, clicks are 1 and 0")
    if corner is not None:
        raise SaywhereError(f"labelme: point labels {labels.tolist()}; a box has a second corner, 3")
    return found


def _annotation(mask: BoolArray, score: float, text: str | None = None) -> Iterator[osam.types.Annotation]:
    """An annotation of a mask with at least one pixel; osam's masks are cut to their boxes, whose edges are inside."""
    region = RunLengths.from_mask(mask)
    if region.area:
        left, top, cut = region.cropped()
        height, width = cut.shape
        box = osam.types.BoundingBox(xmin=left, ymin=top, xmax=left + width - 1, ymax=top + height - 1)
        yield osam.types.Annotation(bounding_box=box, text=text, score=float(score), mask=np.ascontiguousarray(cut))


def register(weights: str | None = None) -> type[SaywhereModel]:
    """Add our network to osam's models under :data:`NAME`, once.

    Args:
        weights: as for :func:`saywhere.load`.

    Raises:
        SaywhereError: the weights cannot be loaded.
    """
    saywhere.load(weights)
    SaywhereModel.weights = weights
    if SaywhereModel not in osam.apis.registered_model_types:
        osam.apis.registered_model_types.append(SaywhereModel)
    return SaywhereModel
