"""Fine-tuning: weights of our network are adapted to one's own objects, and measured on images that were held out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from saywhere.core.images import image_digest, read_image
from saywhere.data.coco import read_coco_file
from saywhere.data.datasets import Sample, check_images
from saywhere.data.datasets.coco import read_coco
from saywhere.data.split import Fingerprint, Shares, split_images
from saywhere.errors import SaywhereError
from saywhere.evaluation.benchmark import Task, bench
from saywhere.evaluation.compare import Difference, compare
from saywhere.runtime.weights import find_weights
from saywhere.storage.atomic import write_atomically
from saywhere.storage.tensors import check_format, read_tensor_file
from saywhere.training.loop import train
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_files import read_recipe
from saywhere.training.stages import CHECKPOINT, WEIGHTS

FIGURES = ("noc90", "noc85", "miou1", "miou3")
LEAST_OBJECTS = 8  # of each part: fewer say nothing
HOLDOUT = 0.25  # of the images
MINUTES = 5.0
RECIPE = "finetune"
RESULT = "result.json"


@dataclass(frozen=True)
class FinetuneResult:
    """What fine-tuning brought.

    Attributes:
        weights: the file of the new weights.
        differences: of figures on held-out objects, the new weights less those that they started from.
        trained, held_out: numbers of objects.
        notes: what was left out, labels of which nothing is held out, words that the network does not know.
    """

    weights: Path
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
        return "no better beyond chance"


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
) -> FinetuneResult:
    """Adapt weights of our network to the objects of a COCO file.

    A part of the images is held out, near-duplicates together (:data:`saywhere.data.split.RULE`). The encoder stays as
    it is unless ``everything`` learns. A run that was killed goes on when the same call is made again.

    Args:
        data: a COCO JSON file with masks.
        out: a new folder: ``weights.safetensors``, the figures before and after, the split and the run.
        weights: to start from; a shipped name or a file.
        images: the folder of the images; that of the file if None.
        everything: whether the encoder learns too.
        minutes: of training.
        holdout: share of the images that is held out.
        limit: held-out objects that are measured, evenly spread; None: all.
        changes: of the recipe, as ``saywhere train --set`` takes them.
        console: where progress is shown.

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
    content = hashlib.sha256(data.read_bytes()).hexdigest() if data.is_file() else ""
    request = {"data": content, "weights": file.digest, "holdout": holdout, "all": everything}
    parts, notes = _split(data, images, out, request, holdout)
    recipe = _recipe(start, metadata, parts["train"], everything, changes)
    task = Task(str(start), str(parts["val"]), max_interactions=20, limit=limit)
    console.print(f"measuring {start.name} on held-out objects", highlight=False)
    before = bench(task, out / "before.json")
    folder = out / "run"
    trained = folder / WEIGHTS
    if not trained.is_file():
        trained = train(recipe, folder, 60.0 * minutes, (folder / CHECKPOINT).is_file(), console=console)
    console.print("measuring the new weights on the same objects", highlight=False)
    after = bench(Task(str(trained), str(parts["val"]), max_interactions=20, limit=limit), out / "after.json")
    differences = compare(before, after, FIGURES)
    final = out / "weights.safetensors"
    write_atomically(final, trained.read_bytes())
    held_out = len(read_coco(parts["val"]))
    result = FinetuneResult(final, differences, len(read_coco(parts["train"])), held_out, notes)
    facts = {
        "weights": str(start),
        "differences": [vars(each) for each in differences],
        "verdict": result.verdict,
        "notes": list(notes),
    }
    write_atomically(out / RESULT, (json.dumps(facts, indent=1) + "\n").encode())
    return result


def _recipe(start: Path, metadata: Mapping[str, Any], data: Path, everything: bool, changes: Sequence[str]) -> Recipe:
    """The recipe ``finetune`` with the weights, their options and the data filled in."""
    filled = [
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
        labels[str(sample.label)].add(part_of[sample.image_path])
    if alone := sorted(label for label, where in labels.items() if "val" not in where):
        notes.append(f"nothing of these labels is held out, they have too few images: {', '.join(alone[:10])}")
    if unseen := sorted(label for label, where in labels.items() if "train" not in where):
        notes.append(f"all of these labels are held out, they have too few images: {', '.join(unseen[:10])}")
    _write_parts(data, samples, part_of, out, parts)
    write_atomically(known, json.dumps({"request": dict(request), "notes": notes}).encode())
    return parts, notes


def _parts(samples: Sequence[Sample], holdout: float) -> dict[Path, str]:
    """The part of each image file, "train" or "val"."""
    paths = list(dict.fromkeys(sample.image_path for sample in samples))
    if len(paths) < 2:
        raise SaywhereError(f"{len(paths)} image with objects: at least two are needed, one of them to be held out")
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
