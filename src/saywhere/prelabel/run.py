"""From what is asked to a COCO file of masks: resumable, on any engine, one photograph in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from saywhere import __version__
from saywhere.core.crop import Box
from saywhere.core.mask import Mask, expected_iou
from saywhere.core.prompt import Prompt
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.parallel import local as engines
from saywhere.parallel.local import Engine
from saywhere.prelabel.ask import ImagePrompts, ObjectPrompt, Request
from saywhere.runtime.base import Runtime
from saywhere.runtime.metadata import run_metadata, set_threads
from saywhere.runtime.registry import find_method, verify_method
from saywhere.storage.atomic import write_atomically
from saywhere.storage.jsonl import JsonlLog
from saywhere.storage.render import region_as_coco
from saywhere.text import words

Line = dict[str, Any]
FOUND = ("area", "bbox", "score", "segmentation")


@dataclass(frozen=True)
class Outcome:
    """How many objects have a mask now, and what went wrong with the others."""

    objects: int
    faults: list[str] = field(default_factory=list)


def prelabel(
    request: Request,
    out: Path,
    method: str | None = None,
    settings: Settings | None = None,
    engine: Engine = Engine.LOCAL,
    jobs: int = 1,
    threads: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Find everything that is asked for and write it to ``out`` as COCO JSON.

    What is found is kept at once, as JSON lines beside ``out``: an interrupted run goes on, and one of which more is
    asked, or something else of some objects, does only these. A photograph that can no longer be read is a fault of
    the outcome; all others are done. Raises SaywhereError, before anything is done, when the request has faults or
    speaks in phrases to weights that understand none.
    """
    if request.faults:
        raise SaywhereError(f"{len(request.faults):,} faults, the first: {request.faults[0]}")
    runtime, used = find_method(method, settings or Settings())
    refuse_phrases(runtime, (ask.prompt.phrase for photo in request.photos for ask in photo.asks if ask.prompt.phrase))
    traits = run_metadata(runtime, used, threads)
    lines = JsonlLog(out.with_suffix(".jsonl"), traits)
    found: dict[str, Line] = {line["asked"]: line for line in lines.found if "asked" in line}
    faults: dict[str, str] = {}
    try:
        todo = [left for photo in request.photos if (left := _left(photo, found)).asks]
        done = request.objects - sum(len(photo.asks) for photo in todo)
        progress(done, request.objects)
        alone = engine is Engine.LOCAL and jobs == 1
        prepare = (
            partial(worker, runtime, used, threads)
            if alone
            else partial(remote_worker, method, settings or Settings(), threads, traits)
        )
        for line in engines.run(prepare, todo, engine, jobs, threads, traits["device"].startswith("cuda")):
            if "fault" in line:
                faults[line["photo"]] = line["fault"]
            elif line["asked"] not in found:
                lines.append(line)
                found[line["asked"]] = line
                done += 1
                progress(done, request.objects)
    finally:
        lines.close()
    annotations = [
        {**ask.entry, "iscrowd": 0, **{key: found[key_of(photo, ask)][key] for key in FOUND}}
        for photo in request.photos
        for ask in photo.asks
        if key_of(photo, ask) in found
    ]
    content = {
        "info": {"description": "masks found by saywhere prelabel", "version": __version__, **traits},
        "licenses": request.licenses,
        "images": request.images,
        "categories": request.categories,
        "annotations": annotations,
    }
    write_atomically(out, json.dumps(content).encode())
    return Outcome(len(annotations), list(faults.values()))


def key_of(photo: ImagePrompts, ask: ObjectPrompt) -> str:
    """What an answer is kept under: the object's name, and all that was said of it."""
    return f"{ask.name}:{ask.digest(photo.name)}"


def _left(photo: ImagePrompts, found: Mapping[str, Line]) -> ImagePrompts:
    return replace(photo, asks=tuple(ask for ask in photo.asks if key_of(photo, ask) not in found))


def refuse_phrases(runtime: Runtime, phrases: Iterable[str]) -> None:
    """SaywhereError when phrases mean nothing to these weights, or no word of one is known."""
    for phrase in sorted(set(phrases)):
        if not runtime.capabilities.phrases:
            raise SaywhereError(
                f"phrase {phrase[:60]!r}: weights '{runtime.name}' understand none; give boxes or points"
            )
        (runtime.capabilities.words or words.shipped()).checked(phrase)


def worker(runtime: Runtime, settings: Settings, threads: int) -> Callable[[ImagePrompts], Iterator[Line]]:
    """What finds the objects of one photograph, in this process."""
    set_threads(threads)
    return partial(find, runtime, settings)


def remote_worker(
    method: str | None, settings: Settings, threads: int, traits: Mapping[str, Any]
) -> Callable[[ImagePrompts], Iterator[Line]]:
    """The same in another process, with the method that is known by its ``traits``."""
    return worker(*verify_method(method, settings, threads, traits), threads)


def find(runtime: Runtime, settings: Settings, photo: ImagePrompts) -> Iterator[Line]:
    """A line for each object of a photograph, which is read and encoded once; a fault when it cannot be read."""
    try:
        segmenter = Segmenter(runtime, settings).set_image(photo.path)
        for ask in photo.asks:
            mask = answer(segmenter.new_object(), ask.prompt)
            inside, score = cut(mask, ask.box)
            yield {"asked": key_of(photo, ask), **region_as_coco(inside, score)}
    except SaywhereError as error:
        said = str(error)
        yield {"photo": photo.name, "fault": said if str(photo.path) in said else f"photograph '{photo.path}': {said}"}


def answer(segmenter: Any, prompt: Prompt) -> Mask:
    """The mask after all clicks, one after another, and the phrase."""
    for click in prompt.clicks:
        mask = segmenter.add(click)
    if prompt.phrase is not None:
        mask = segmenter.say(prompt.phrase)
    return mask


def cut(mask: Mask, box: Box | None) -> tuple[Any, float]:
    """The pixels of a mask ``(H, W)`` within a box, and the IoU to expect of them (see :attr:`Mask.score`)."""
    if box is None:
        return mask.array, mask.score
    # A pixel that the box's edge goes through may be the object's.
    left, top, right, bottom = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
    inside = np.zeros_like(mask.array)
    inside[top:bottom, left:right] = mask.array[top:bottom, left:right]
    return inside, expected_iou(inside[top:bottom, left:right], mask.probability[top:bottom, left:right])
