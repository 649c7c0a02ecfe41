"""Masks for the samples of a FiftyOne dataset, from phrases or from boxes that it has; resumed by the missing field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import numpy as np

from saywhere import SaywhereError, Segmenter
from saywhere.core.arrays import BoolArray
from saywhere.core.rle import RunLengths
from saywhere.interactive.checks import check_phrase

FIELD = "saywhere"
ERROR_FIELD = "saywhere_error"


@dataclass(frozen=True)
class Report:
    """What was done: samples with masks, objects in them, samples that were skipped because they had the field, and
    those that failed; these have the reason in :data:`ERROR_FIELD`, and are tried again the next time."""

    samples: int = 0
    objects: int = 0
    skipped: int = 0
    failed: int = 0


def apply(
    samples: fo.core.collections.SampleCollection,
    segmenter: Segmenter,
    phrases: Sequence[str] = (),
    boxes: str | None = None,
    field: str = FIELD,
) -> Report:
    """Segment the objects of all samples that do not have the field yet. Each sample is saved as soon as it is done.

    Args:
        samples: a dataset or a view of images.
        segmenter: with the weights to use.
        phrases: what to look for; each object gets the phrase as its label.
        boxes: name of a field of detections, whose boxes get masks; labels, tags and attributes are copied.
        field: where the detections with masks are stored; it is made where there is none.

    Returns:
        What was done.

    Raises:
        SaywhereError: there are neither phrases nor boxes or both, the weights do not take them, or the dataset has no
            such field.
    """
    _check(samples, segmenter, phrases, boxes, field)
    if not samples.has_sample_field(field):
        dataset = samples._dataset if isinstance(samples, fo.DatasetView) else samples
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    missing = samples.exists(field, False).values("id")
    done = objects = failed = 0
    for id in missing:
        sample = samples[id]
        try:
            segmenter.set_image(sample.filepath)
            found = list(_named(segmenter, phrases) if boxes is None else _boxed(segmenter, sample[boxes]))
        except SaywhereError as error:
            sample[ERROR_FIELD] = str(error)
            failed += 1
        else:
            sample[field] = fo.Detections(detections=found)
            if sample.has_field(ERROR_FIELD):
                sample[ERROR_FIELD] = None
            done, objects = done + 1, objects + len(found)
        sample.save()
    return Report(done, objects, len(samples) - len(missing), failed)


def _check(samples: Any, segmenter: Segmenter, phrases: Sequence[str], boxes: str | None, field: str) -> None:
    if bool(phrases) == (boxes is not None):
        raise SaywhereError("give either phrases (--say cat) or the field with the boxes (--boxes ground_truth)")
    for phrase in phrases:
        check_phrase(phrase, segmenter.runtime)
    if boxes is not None and not segmenter.runtime.capabilities.boxes:
        raise SaywhereError(f"boxes: weights '{segmenter.runtime.name}' understand no boxes")
    if boxes is not None and not samples.has_sample_field(boxes):
        raise SaywhereError(f"boxes '{boxes}': no such field; there are {', '.join(samples.get_field_schema())}")
    if boxes == field:
        raise SaywhereError(f"field '{field}': it has the boxes; give another --field for the masks")


def _named(segmenter: Segmenter, phrases: Sequence[str]) -> Iterator[fo.Detection]:
    for phrase in phrases:
        for one in segmenter.instances(phrase):
            yield from _detection(fo.Detection(label=phrase), one.mask.array, one.score)


def _boxed(segmenter: Segmenter, given: fo.Detections | None) -> Iterator[fo.Detection]:
    height, width = segmenter.encoded.size
    for one in () if given is None else given.detections:
        x, y, w, h = one.bounding_box
        mask = segmenter.new_object().box(x * width, y * height, (x + w) * width, (y + h) * height)
        yield from _detection(one.copy(), mask.array, mask.score)


def _detection(detection: fo.Detection, mask: BoolArray, score: float) -> Iterator[fo.Detection]:
    """A detection with a mask, if that has a pixel; FiftyOne's masks are cut to their boxes, which are relative."""
    region = RunLengths.from_mask(mask)
    if region.area:
        left, top, cut = region.cropped()
        (h, w), (height, width) = cut.shape, mask.shape
        detection.bounding_box = [left / width, top / height, w / width, h / height]
        detection.mask, detection.confidence = np.ascontiguousarray(cut), float(score)
        yield detection
