"""From prompts to a COCO file of masks: resumable, on any engine, one image in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from saywhere import __version__
from saywhere.core.arrays import BoolArray
from saywhere.core.atomic import write_atomically
from saywhere.core.geometry import Box
from saywhere.core.images import image_digest, read_image_and_digest
from saywhere.core.mask import Mask, expected_iou
from saywhere.core.prompt import Prompt
from saywhere.core.render import region_as_coco
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.parallel.local import Engine
from saywhere.parallel.resumable import (
    Execution,
    Journal,
    LoadedMethod,
    Progress,
    journal_path,
    no_progress,
    run_job,
)
from saywhere.prelabel.request import ImagePrompts, ObjectPrompt, PrelabelRequest
from saywhere.runtime.base import Runtime
from saywhere.storage.outputs import check_not_among
from saywhere.text import words

MASK_KEYS = ("area", "bbox", "score", "segmentation")  # what the network adds to an annotation


@dataclass(frozen=True)
class PrelabelResult:
    """How many objects have a mask now, and what went wrong with the others."""

    objects: int
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PromptMasks:
    """The masks for one prompt, as COCO has them (MASK_KEYS).

    Attributes:
        key: of the prompt (:func:`key_of`).
        masks: one, or any number for a prompt that means every object.
        image_digest: SHA-256 of the image file that they were made from.
        every: whether the prompt means every object.
    """

    key: str
    masks: tuple[Mapping[str, Any], ...]
    image_digest: str
    every: bool = False


@dataclass(frozen=True)
class ImageFault:
    """An image that could not be segmented."""

    image: str
    fault: str


class PrelabelJournal(Journal["PromptMasks | ImageFault"]):
    """The masks so far, by key. Faults are collected too, but not written: the next run tries again."""

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        self.masks: dict[str, PromptMasks] = {}
        self.faults: dict[str, str] = {}
        super().__init__(path, conditions)

    def from_entry(self, entry: Mapping[str, Any]) -> PromptMasks | None:
        if "key" not in entry:
            return None
        # Earlier releases did not note the image's content: their masks are made anew.
        digest = entry.get("image_sha256", "")
        if "masks" in entry:
            return PromptMasks(entry["key"], tuple(entry["masks"]), digest, every=True)
        return PromptMasks(entry["key"], ({name: entry[name] for name in MASK_KEYS},), digest)

    def to_entry(self, result: PromptMasks | ImageFault) -> Mapping[str, Any]:
        assert isinstance(result, PromptMasks), "faults are not written"
        masks = {"masks": [dict(mask) for mask in result.masks]} if result.every else result.masks[0]
        return {"key": result.key, "image_sha256": result.image_digest, **masks}

    def is_new(self, result: PromptMasks | ImageFault) -> bool:
        if isinstance(result, ImageFault):
            self.faults[result.image] = result.fault
            return False
        kept = self.masks.get(result.key)
        return kept is None or kept.image_digest != result.image_digest

    def remember(self, result: PromptMasks | ImageFault) -> None:
        assert isinstance(result, PromptMasks), "faults are not written"
        self.masks[result.key] = result

    def forget_stale(self, image: ImagePrompts) -> None:
        """Forget the masks of an image whose content is another one now, or that cannot be read."""
        kept = [key for prompt in image.objects if (key := key_of(image, prompt)) in self.masks]
        if not kept:
            return
        try:
            digest = image_digest(image.path)
        except SaywhereError:
            digest = None
        for key in kept:
            if self.masks[key].image_digest != digest:
                del self.masks[key]


def prelabel(
    request: PrelabelRequest,
    out: Path,
    method: str | None = None,
    settings: Settings | None = None,
    engine: Engine = Engine.LOCAL,
    jobs: int = 1,
    threads: int = 2,
    progress: Progress = no_progress,
) -> PrelabelResult:
    """Segment every object of a request and write the masks to ``out`` as COCO JSON.

    Each mask is kept at once, as a JSON line beside ``out``: an interrupted run goes on, and after a change of the
    request, or of an image's content, only objects with another prompt or another image are segmented.

    Args:
        request: the images and the prompts of their objects.
        out: the COCO JSON file to write.
        method: weights or ``module:factory``; None: the weights that ship.
        settings: settings of the Segmenter.
        engine: this machine, or a Ray cluster.
        jobs: processes of the local engine.
        threads: processor threads of each worker.
        progress: called with the number of segmented objects, and of all.

    Returns:
        The number of masks; an image that can no longer be read is one of its faults, all others are done.

    Raises:
        SaywhereError: before anything is done, when the request has faults, or gives phrases to weights that
            understand none or boxes beside clicks to weights that know none.
    """
    if request.faults:
        raise SaywhereError(f"{len(request.faults):,} faults, the first: {request.faults[0]}")
    for name, path in (("output", out), ("output", journal_path(out))):
        check_not_among(name, path, (image.path for image in request.prompts))
    loaded = LoadedMethod.load(method, settings or Settings(), threads)
    refuse_phrases(loaded.runtime, request.phrases)
    if request.boxes_with_clicks and not loaded.runtime.capabilities.boxes:
        raise SaywhereError(
            f"boxes with points: weights '{loaded.runtime.name}' know no boxes; give them the points or the boxes alone"
        )
    with PrelabelJournal(journal_path(out), loaded.metadata) as journal:
        for image in request.prompts:
            journal.forget_stale(image)
        remaining = [left for image in request.prompts if (left := _without(image, journal.masks)).objects]
        completed = request.objects - sum(len(image.objects) for image in remaining)
        run_job(loaded, make_work, remaining, journal, completed, request.objects, Execution(engine, jobs), progress)
    faults = [*journal.faults.values(), *_drop_of_other_sizes(request, journal.masks)]
    content = as_coco(request, journal.masks, loaded.metadata)
    write_atomically(out, json.dumps(content).encode())
    return PrelabelResult(len(content["annotations"]), faults)


def _drop_of_other_sizes(request: PrelabelRequest, masks: dict[str, PromptMasks]) -> list[str]:
    """Remove masks of images that were replaced after the request was read, by ones of another size; says which."""
    sizes = {image["id"]: [image["height"], image["width"]] for image in request.images}
    faults = {}
    for image in request.prompts:
        for prompt in image.objects:
            found = masks.get(key_of(image, prompt))
            size = sizes.get(prompt.annotation.get("image_id"))
            if found is not None and size and any(mask["segmentation"]["size"] != size for mask in found.masks):
                del masks[found.key]
                faults[image.name] = f"photograph '{image.path}': was replaced meanwhile; run again"
    return list(faults.values())


def as_coco(
    request: PrelabelRequest, masks: Mapping[str, PromptMasks], run_metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of a COCO JSON file: the annotations of a request with the masks that there are."""
    annotations = [
        {**prompt.annotation, "iscrowd": 0, **{name: mask[name] for name in MASK_KEYS}}
        for image in request.prompts
        for prompt in image.objects
        if (key := key_of(image, prompt)) in masks
        for mask in masks[key].masks
    ]
    if request.is_open:  # a prompt's number is not that of each of its objects
        annotations = [{**annotation, "id": number} for number, annotation in enumerate(annotations, 1)]
    return {
        "info": {"description": "masks by saywhere prelabel", "version": __version__, **run_metadata},
        "licenses": request.licenses,
        "images": request.images,
        "categories": request.categories,
        "annotations": annotations,
    }


def key_of(image: ImagePrompts, prompt: ObjectPrompt) -> str:
    """What a mask is kept under: the object's name, and a digest of its image's name and its prompt."""
    return f"{prompt.name}:{prompt.digest(image.name)}"


def _without(image: ImagePrompts, masks: Mapping[str, PromptMasks]) -> ImagePrompts:
    """The prompts of an image that have no mask yet."""
    return replace(image, objects=tuple(prompt for prompt in image.objects if key_of(image, prompt) not in masks))


def refuse_phrases(runtime: Runtime, phrases: Iterable[str]) -> None:
    """Check phrases before anything is done.

    Raises:
        SaywhereError: the weights understand no phrases, or no word of a phrase is known.
    """
    for phrase in sorted(set(phrases)):
        if not runtime.capabilities.phrases:
            raise SaywhereError(
                f"phrase {phrase[:60]!r}: weights '{runtime.name}' understand none; give boxes or points"
            )
        (runtime.capabilities.words or words.shipped_words()).check_phrase(phrase)


def make_work(runtime: Runtime, settings: Settings) -> Callable[[ImagePrompts], Iterator[PromptMasks | ImageFault]]:
    """The function that segments the objects of one image."""

    def work(image: ImagePrompts) -> Iterator[PromptMasks | ImageFault]:
        return segment_image(runtime, settings, image)

    return work


def segment_image(runtime: Runtime, settings: Settings, image: ImagePrompts) -> Iterator[PromptMasks | ImageFault]:
    """Segment the objects of an image, which is read and encoded once; a fault when it cannot be read."""
    try:
        pixels, digest = read_image_and_digest(image.path)
        segmenter = Segmenter(runtime, settings).set_image(pixels)
        for prompt in image.objects:
            masks = every_object(segmenter, prompt) if prompt.every else (one_object(segmenter, prompt),)
            yield PromptMasks(key_of(image, prompt), masks, digest, prompt.every)
    except SaywhereError as error:
        reason = str(error)
        named = str(image.path) in reason
        yield ImageFault(image.name, reason if named else f"photograph '{image.path}': {reason}")


def one_object(segmenter: Segmenter, prompt: ObjectPrompt) -> Mapping[str, Any]:
    """The mask of the object that a prompt means."""
    complete = prompt.complete(segmenter.encoded.size, segmenter.runtime.capabilities.boxes)
    inside, score = crop_to_box(answer(segmenter.new_object(), complete), prompt.box)
    return region_as_coco(inside, score)


def every_object(segmenter: Segmenter, prompt: ObjectPrompt) -> tuple[Mapping[str, Any], ...]:
    """The masks of all objects that a prompt's phrase names; weights without a relevance map find one at most."""
    if not segmenter.runtime.capabilities.relevance:
        one = one_object(segmenter, prompt)
        return (one,) if one["area"] else ()
    return tuple(region_as_coco(each.mask.array, each.score) for each in segmenter.instances(prompt.prompt.phrase))


def answer(segmenter: Any, prompt: Prompt) -> Mask:
    """The mask after the box, then all clicks, one after another, and then the phrase."""
    if prompt.box is not None:
        mask = segmenter.box(*prompt.box)
    for click in prompt.clicks:
        mask = segmenter.add(click)
    if prompt.phrase is not None:
        mask = segmenter.say(prompt.phrase)
    return mask


def crop_to_box(mask: Mask, box: Box | None) -> tuple[BoolArray, float]:
    """Remove what lies outside a box.

    Args:
        mask: the mask.
        box: the edges x0, y0, x1, y1 in pixels; None: nothing is removed.

    Returns:
        The pixels, ``(H, W)``, and the expected IoU of them (:attr:`Mask.score`).
    """
    if box is None:
        return mask.array, mask.score
    # A pixel that the box's edge goes through may be the object's.
    left, top, right, bottom = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
    inside = np.zeros_like(mask.array)
    inside[top:bottom, left:right] = mask.array[top:bottom, left:right]
    return inside, expected_iou(inside[top:bottom, left:right], mask.probability[top:bottom, left:right])
