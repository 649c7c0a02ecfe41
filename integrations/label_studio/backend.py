"""Answers Label Studio's requests with a Segmenter, and learns from what is submitted."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from integrations.label_studio.config import Control, LabelConfig, parse_config
from integrations.label_studio.images import ImageSource
from integrations.label_studio.learner import LabelledMask, Learner
from integrations.label_studio.prompts import GivenPrompt, choose_label, read_prompt
from saywhere import SaywhereError, Segmenter
from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.geometry import ImageSize, bounding_box
from saywhere.core.mask import Mask
from saywhere.data.formats.annotated_image import ObjectAnnotation
from saywhere.data.formats.label_studio_regions import brush_rle, polygon_points, read_region

CACHED_IMAGES = 8
LEARNING_EVENTS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")
DELETION = "ANNOTATIONS_DELETED"
logger = logging.getLogger("saywhere")
Json = dict[str, Any]


@dataclass(frozen=True)
class LabelledAnswer:
    """A mask of a prediction; ``label`` is the text that results hold."""

    label: str
    mask: BoolArray
    score: float


class Backend:
    """One network for all projects.

    Args:
        segmenter: with the weights to use; its image does not matter.
        images: where images are read.
        learner: learns from submitted annotations.
        shape: "brush", "polygon" or "rectangle" for configurations that have several; None: in this order.
        tolerance: how far polygons may be from the mask's outline, in pixels.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        images: ImageSource,
        learner: Learner,
        shape: str | None = None,
        tolerance: float = 1.0,
    ) -> None:
        self._runtime, self._settings = segmenter.runtime, segmenter.settings
        self._images, self._learner = images, learner
        self._shape, self._tolerance = shape, tolerance
        self._cache: OrderedDict[tuple[str, str], Segmenter] = OrderedDict()
        self._lock = threading.Lock()
        self.model_version = f"saywhere-{self._runtime.name}-{self._runtime.digest[:8]}"

    def setup(self, schema: object) -> str:
        """Check a project's configuration; returns the model's version.

        Raises:
            SaywhereError: predictions have no place in it.
        """
        if schema:
            parse_config(schema).output(self._shape)
        return self.model_version

    def predict(self, tasks: list[Json], config: LabelConfig, context: Any = None) -> list[Json]:
        """A prediction for each task.

        Args:
            tasks: with ``id`` and ``data``.
            config: of their project.
            context: what a person gave (``{"result": [...]}``); without it all objects of the labels are looked for.

        Raises:
            SaywhereError: the prompt or its image is of no use. Without a prompt, such an image gets an empty
                prediction and a line in the log.
        """
        output = config.output(self._shape)
        given = context.get("result") if isinstance(context, dict) else None
        if given:
            return [self._prediction(self._answer(task, config, output, given), output) for task in tasks]
        return [self._prediction(self._prelabel(task, config, output), output) for task in tasks]

    def learn(self, event: str, payload: Json) -> None:
        """Learn from an event of a webhook; what is of no use is a line in the log."""
        try:
            if event == DELETION:
                for annotation in _deleted(payload):
                    self._learner.forget(annotation)
            else:
                self._learn_annotation(payload)
        except SaywhereError as error:
            logger.warning("%s: %s", event, error)

    def _learn_annotation(self, payload: Json) -> None:
        task, annotation, project = (_object(payload, key) for key in ("task", "annotation", "project"))
        config = parse_config(project.get("label_config"))
        image = self._read(task, config)
        masks = {}
        if not annotation.get("was_cancelled"):
            masks = dict(_masks(annotation.get("result"), config, ImageSize(*image.shape[:2])))
        self._learner.learn(str(annotation.get("id")), image, masks)

    def _answer(self, task: Json, config: LabelConfig, output: Control, results: Any) -> list[LabelledAnswer]:
        segmenter = self._segmenter(task, config)
        given = read_prompt(results, config, segmenter.encoded.size)
        label = choose_label(given, output)
        segmenter = segmenter.new_object(self._learner.adapted(output.labels[label]))
        if given.phrase is not None and not given.clicks and given.box is None:
            found = segmenter.instances(given.phrase)
            return [LabelledAnswer(label, each.mask.array, each.score) for each in found]
        mask = _segment(segmenter, given)
        return [LabelledAnswer(label, mask.array, mask.score)]

    def _prelabel(self, task: Json, config: LabelConfig, output: Control) -> list[LabelledAnswer]:
        try:
            segmenter = self._segmenter(task, config)
        except SaywhereError as error:
            logger.warning("task %s: %s", task.get("id"), error)
            return []
        answers = []
        for stored, value in output.labels.items():
            phrase = value if segmenter.knows(value) else None
            found = self._learner.instances(value, phrase, segmenter.encoded.image)
            if found is None:
                found = [] if phrase is None else segmenter.instances(phrase)
            answers += [LabelledAnswer(stored, each.mask.array, each.score) for each in found]
        return answers

    def _prediction(self, answers: list[LabelledAnswer], output: Control) -> Json:
        results = [self._region(each, output) for each in answers if each.mask.any()]
        scores = [result["score"] for result in results]
        score = sum(scores) / len(scores) if scores else 0.0
        return {"model_version": self.model_version, "score": score, "result": results}

    def _region(self, answer: LabelledAnswer, output: Control) -> Json:
        height, width = answer.mask.shape
        value: Json = {output.kind: [answer.label]}
        if output.tag == "BrushLabels":
            value |= {"format": "rle", "rle": brush_rle(answer.mask)}
        elif output.tag == "PolygonLabels":
            value |= {"points": polygon_points(answer.mask, self._tolerance), "closed": True}
        else:
            value |= _rectangle(answer.mask)
        return {
            "id": uuid4().hex[:10], "from_name": output.name, "to_name": output.to_name, "type": output.kind,
            "original_width": width, "original_height": height, "image_rotation": 0,
            "score": round(float(answer.score), 4), "value": value,
        }  # fmt: skip

    def _segmenter(self, task: Json, config: LabelConfig) -> Segmenter:
        """A segmenter of a task's image, which is encoded once while it is among the last ones."""
        key = str(task.get("id")), str(_object(task, "data").get(config.key))
        with self._lock:
            if key not in self._cache:
                made = Segmenter(self._runtime, self._settings).set_image(self._read(task, config))
                self._cache[key] = made
                while len(self._cache) > CACHED_IMAGES:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(key)
            return self._cache[key]

    def _read(self, task: Json, config: LabelConfig) -> ImageArray:
        return self._images.read(_object(task, "data").get(config.key), task.get("id"))


def _segment(segmenter: Segmenter, given: GivenPrompt) -> Mask:
    if given.phrase is not None:
        segmenter.say(given.phrase)
    if given.box is not None:
        segmenter.box(*given.box)
    for click in given.clicks:
        segmenter.add(click)
    assert segmenter.mask is not None, "a prompt that was read is not empty"
    return segmenter.mask


def _masks(results: Any, config: LabelConfig, size: ImageSize) -> Iterator[tuple[str, LabelledMask]]:
    """The brushed masks and polygons of an annotation, by the ids of their regions."""
    for number, result in enumerate(results if isinstance(results, list) else [], 1):
        try:
            region = read_region(result, size)
        except SaywhereError as error:
            raise SaywhereError(f"region {number}: {error}") from error
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise SaywhereError(f"region {number}: lacks or misnames something ({error})") from error
        if isinstance(region, ObjectAnnotation) and region.label is not None:
            value = config.value_of(str(result.get("from_name")), region.label)
            yield str(result.get("id", number)), LabelledMask(value, region.region.mask())


def _rectangle(mask: BoolArray) -> Json:
    """The smallest box around a mask, in percent of the image."""
    (height, width), box = mask.shape, bounding_box(mask)
    assert box is not None, "masks of answers are not empty"
    x0, y0, x1, y1 = box
    return {
        "x": 100.0 * x0 / width, "y": 100.0 * y0 / height, "width": 100.0 * (x1 - x0) / width,
        "height": 100.0 * (y1 - y0) / height, "rotation": 0,
    }  # fmt: skip


def _deleted(payload: Json) -> Iterator[str]:
    given = payload.get("annotations", payload.get("annotation"))
    for each in given if isinstance(given, list) else [given]:
        if isinstance(each, dict) and "id" in each:
            yield str(each["id"])


def _object(parent: Json, key: str) -> Json:
    value = parent.get(key)
    if not isinstance(value, dict):
        raise SaywhereError(f"request: '{key}' is missing; is this a request of Label Studio?")
    return value
