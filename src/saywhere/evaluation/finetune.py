"""Fine-tuning: weights of our network are adapted to one's own objects, and measured on images that were held out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from saywhere.core.atomic import write_atomically
from saywhere.core.images import image_digest, read_image
from saywhere.data.coco import read_coco_file
from saywhere.data.datasets import Sample, check_images
from saywhere.data.datasets.coco import read_coco
from saywhere.data.split import Fingerprint, Shares, split_images
from saywhere.errors import SaywhereError
from saywhere.evaluation.benchmark import Task, bench
from saywhere.evaluation.compare import Difference, compare
from saywhere.evaluation.groups import NO_LABEL
from saywhere.models.checkpoint import read_tensors, write_tensors
from saywhere.runtime.weights import find_weights
from saywhere.storage.tensors import check_format, read_tensor_file
from saywhere.text.words import label_words, load_words
from saywhere.training.loop import train
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_files import read_recipe
from saywhere.training.stages import CHECKPOINT, WEIGHTS

FIGURES = ("noc90", "noc85", "miou1", "miou3")
LEAST_OBJECTS = 8  # of each part: fewer say nothing
HOLDOUT = 0.25  # of the images
MINUTES = 4.0
RECIPE = "finetune"
RESULT = "result.json"
TUNED = "finetuned.safetensors"
Progress = Callable[[str, float, float], None]
"""Called with a phase ("before", "training", "after"), how much of it is done, and of how much: objects or seconds."""


def no_progress(phase: str, done: float, total: float) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class FinetuneResult:
    """What fine-tuning brought.

    Attributes:
        weights: the file of the better weights by the held-out objects: the new ones or those that they started from.
        improved: whether these are the new ones.
        differences: of figures on held-out objects, the new weights less those that they started from.
        trained, held_out: numbers of objects.
        notes: what was left out, labels of which nothing is held out, words that the network does not know.
    """

    weights: Path
    improved: bool
    differences: Sequence[Difference]
    trained: int
    held_out: int
    notes: Sequence[str]

    @property
    def verdict(self) -> str:
        """Whether it got better, in words, by the number of clicks to an IoU of 0.9."""
        (noc,) = [each for each in self.differences if each.figure == "noc90"]
        if noc.certain:
            return "better" if noc.difference < 0 else "worse"
        return "better on average, but within chance" if self.improved else "no better"


def is_improved(differences: Sequence[Difference]) -> bool:
    """Whether the second weights are to be kept: fewer clicks to an IoU of 0.9; at equally many, a higher IoU.

    Args:
        differences: with the figures ``noc90`` and ``miou1``.
    """
    by_figure = {each.figure: each.difference for each in differences}
    return (by_figure["noc90"], -by_figure["miou1"]) < (0.0, 0.0)


def finetune(
    data: Path,
    out: Path,
    weights: str = "saywhere",
    images: Path | None = None,
    everything: bool = False,
    minutes: float = MINUTES,
    holdout: float = HOLDOUT,
    limit: int | None = 100,
    changes: Sequence[str] = (),
    console: Console | None = None,
    progress: Progress = no_progress,
) -> FinetuneResult:
    """Adapt weights of our network to the objects of a COCO file.

    A part of the images is held out, near-duplicates together (:data:`saywhere.data.split.RULE`). The encoder stays as
    it is unless ``everything`` learns. A run that was killed goes on when the same call is made again.

    Args:
        data: a COCO JSON file with masks.
        out: a new folder: ``weights.safetensors`` (the better of both), ``finetuned.safetensors`` (the new ones), the
            figures before and after, the split and the run.
        weights: to start from; a shipped name or a file.
        images: the folder of the images; that of the file if None.
        everything: whether the encoder learns too.
        minutes: of training.
        holdout: share of the images that is held out.
        limit: held-out objects that are measured, evenly spread; None: all.
        changes: of the recipe, as ``saywhere train --set`` takes them.
        console: where progress is shown.
        progress: called in each phase.

    Returns:
        Where the weights are, and what they are worth.

    Raises:
        SaywhereError: the data has too few objects or images, cannot be read, the weights are of another network, or
            the folder holds something else.
    """
    console = console or Console(quiet=True)
    if (out / RESULT).is_file():
        raise SaywhereError(f"folder '{out}': holds a finished fine-tuning; give a new folder")
    start = find_weights(weights)
    file = read_tensor_file(start)
    metadata = check_format(file)
    if metadata["model"] != "saywhere":
        raise SaywhereError(f"weights '{start}': of the network '{metadata['model']}'; fine-tuning is for our own")
    request = {"data": content_digest(data), "weights": file.digest, "holdout": holdout, "all": everything}
    parts, notes = _split(data, images, out, request, holdout)
    recipe = _recipe(start, metadata, parts["train"], everything, changes, parts["val"])
    console.print(f"measuring {start.name} on held-out objects", highlight=False)
    before = _measure(start, parts["val"], limit, out / "before.json", partial(progress, "before"))
    folder = out / "run"
    trained, seconds = folder / WEIGHTS, 60.0 * minutes
    if not trained.is_file():
        progress("training", 0.0, seconds)
        trained = train(recipe, folder, seconds, (folder / CHECKPOINT).is_file(), console=console)
    tuned = _with_words_of(metadata, trained, out / TUNED)
    console.print("measuring the new weights on the same objects", highlight=False)
    after = _measure(tuned, parts["val"], limit, out / "after.json", partial(progress, "after"))
    differences = compare(before, after, FIGURES)
    improved = is_improved(differences)
    final = out / WEIGHTS
    write_atomically(final, (tuned if improved else start).read_bytes())
    trained_on, held_out = (len(read_coco(parts[part])) for part in ("train", "val"))
    result = FinetuneResult(final, improved, differences, trained_on, held_out, notes)
    facts = {
        "weights": str(start),
        "improved": improved,
        "differences": [vars(each) for each in differences],
        "objects": {"trained": trained_on, "held_out": held_out},
        "verdict": result.verdict,
        "notes": list(notes),
    }
    write_atomically(out / RESULT, (json.dumps(facts, indent=1) + "\n").encode())
    return result


def content_digest(data: Path) -> str:
    """Hash of the objects of a COCO file, without what it says of itself, as when it was written."""
    file = read_coco_file(data)
    content = [list(file.images.values()), file.annotations, list(file.categories.values())]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _measure(
    weights: Path, data: Path, limit: int | None, out: Path, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    return bench(Task(str(weights), str(data), max_interactions=20, limit=limit), out, progress=progress)


def _with_words_of(metadata: Mapping[str, Any], trained: Path, target: Path) -> Path:
    """Write the new weights with the labels and phrases of those that they started from, which they know too."""
    tensors, own = read_tensors(trained)
    known = {key: sorted({*metadata.get(key, ()), *own.get(key, ())}) for key in ("labels", "phrases")}
    write_tensors(target, tensors, {**own, **known, "finetuned": own.get("labels", [])})
    return target


def _recipe(
    start: Path, metadata: Mapping[str, Any], data: Path, everything: bool, changes: Sequence[str],
    held_out: Path | None = None,
) -> Recipe:  # fmt: skip
    """The recipe ``finetune`` with the weights, their options and the data filled in."""
    filled = [
        *([f"validation.data={json.dumps(str(held_out))}"] if held_out else []),  # whose masks are drawn
        f"model.weights={json.dumps(str(start))}",
        f"model.options={json.dumps(metadata['options'])}",
        f"data.0.path={json.dumps(str(data))}",
        *(["model.freeze=[]"] if everything else []),
    ]
    if not (metadata["options"].get("relevance") or metadata["options"].get("attention")):
        filled.append("phrases.phrase_prob=0")
    if not metadata["options"].get("box"):
        filled.append("clicks.box_prob=0")
    return read_recipe(RECIPE, [*filled, *changes])


def _split(
    data: Path, images: Path | None, out: Path, request: Mapping[str, Any], holdout: float
) -> tuple[dict[str, Path], list[str]]:
    """Write the COCO files of both parts and their images below ``out``, or find those of the run before.

    Returns:
        The files by part, "train" and "val", and notes.
    """
    parts, known = {part: out / f"{part}.json" for part in ("train", "val")}, out / "request.json"
    if known.is_file():
        kept = json.loads(known.read_text())
        if kept["request"] != dict(request):
            raise SaywhereError(f"folder '{out}': holds a fine-tuning of other data or weights; give a new folder")
        return parts, kept["notes"]
    if out.exists() and any(out.iterdir()):
        raise SaywhereError(f"folder '{out}': is not empty; give a new folder")
    notes: list[str] = []
    samples = read_coco(data, images, notes)
    check_images(str(data), {sample.image_path for sample in samples})
    if (count := len({sample.image_path for sample in samples})) < 2:
        raise SaywhereError(
            f"data '{data}': {len(samples):,} objects in {count} image; give at least two images, one is held out"
        )
    part_of = _parts(samples, holdout)
    counts = Counter(part_of[sample.image_path] for sample in samples)
    for part, name in (("train", "to train on"), ("val", "to hold out")):
        if counts[part] < LEAST_OBJECTS:
            raise SaywhereError(
                f"data '{data}': {len(samples):,} objects in {len(part_of):,} images leave {counts[part]} {name}; at "
                f"least {LEAST_OBJECTS} are needed, on images of their own"
            )
    labels: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        labels[sample.label or NO_LABEL].add(part_of[sample.image_path])
    if alone := sorted(label for label, where in labels.items() if "val" not in where):
        notes.append(f"nothing of these labels is held out, they have too few images: {', '.join(alone[:10])}")
    if unseen := sorted(label for label, where in labels.items() if "train" not in where):
        notes.append(f"all of these labels are held out, they have too few images: {', '.join(unseen[:10])}")
    if unknown := _without_words(labels):
        notes.append(
            f"without a known English word, so learned by clicks but not as phrases: {', '.join(unknown[:10])}"
        )
    _write_parts(data, samples, part_of, out, parts)
    write_atomically(known, json.dumps({"request": dict(request), "notes": notes}).encode())
    return parts, notes


def _without_words(labels: Iterable[str]) -> list[str]:
    words = load_words(None)
    return sorted(label for label in labels if label != NO_LABEL and not words.find_rows(label_words(label))[0])


def _parts(samples: Sequence[Sample], holdout: float) -> dict[Path, str]:
    """The part of each image file, "train" or "val"."""
    paths = list(dict.fromkeys(sample.image_path for sample in samples))
    names = {str(number): path for number, path in enumerate(paths)}
    hashes = {name: image_digest(path) for name, path in names.items()}
    prints = {name: Fingerprint.of(read_image(path)) for name, path in names.items()}
    split = split_images(hashes, prints, Shares(1.0 - holdout, holdout))
    return {names[name]: part for name, part in split.items()}


def _write_parts(
    data: Path, samples: Sequence[Sample], part_of: Mapping[Path, str], out: Path, parts: Mapping[str, Path]
) -> None:
    """The COCO files, and links to the images (copies where a file system has no links)."""
    file = read_coco_file(data)
    image_of = {sample.name: sample.image_path for sample in samples}
    names: dict[Path, str] = {}
    (out / "images").mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(part_of):
        names[path] = f"images/{number:06}{path.suffix.lower()}"
        _link(path, out / names[path])
    for part, target in parts.items():
        annotations = [
            a for a in file.annotations if (p := image_of.get(str(a.get("id")))) is not None and part_of[p] == part
        ]
        by_id = {a["image_id"]: names[image_of[str(a["id"])]] for a in annotations}
        entries = [{**file.images[key], "file_name": name} for key, name in by_id.items()]
        content = {"images": entries, "annotations": annotations, "categories": list(file.categories.values())}
        write_atomically(target, json.dumps(content).encode())


def _link(path: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)
