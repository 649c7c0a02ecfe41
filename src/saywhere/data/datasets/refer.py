"""RefCOCO, RefCOCO+ and RefCOCOg: phrases for objects of COCO, as the REFER toolbox lays them out."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from saywhere.data.coco import read_coco_file
from saywhere.data.datasets.coco import coco_sample
from saywhere.data.datasets.sample import Sample
from saywhere.errors import SaywhereError

IMAGES = Path("images/mscoco/images/train2014")


class PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts, texts and numbers; refuses the names of code, by which a pickle runs what it likes."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for code, {module_name}.{global_name}")


def load_refs(path: Path) -> list[dict[str, Any]]:
    """The references in a ``refs(...).p`` file. SaywhereError when it holds anything but plain data."""
    try:
        with path.open("rb") as file:
            # Written by Python 2, whose texts may be bytes.
            refs = PlainUnpickler(file, encoding="utf-8", errors="replace").load()
    except pickle.UnpicklingError as error:
        raise SaywhereError(
            f"data '{path}': refused ({error}); a file of references holds only lists, dicts, texts and numbers"
        ) from error
    # A damaged pickle raises whatever the misread instruction happens to break.
    except Exception as error:
        raise SaywhereError(f"data '{path}': cannot be read as a pickle of references ({error})") from error
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise SaywhereError(f"data '{path}': expected a list of references, each a dict")
    return refs


def read_refer(path: Path, split: str) -> list[Sample]:
    """The objects that the references of one split speak of, with all sentences of each; the phrase is the first.

    ``path`` is ``NAME/refs(BY).p`` with ``NAME/instances.json`` beside it and, beside the folder NAME,
    ``images/mscoco/images/train2014``. SaywhereError when it is not so.
    """
    root, instances = path.parents[1], path.with_name("instances.json")
    if not instances.is_file() or not (root / IMAGES).is_dir():
        there = [str(place) for place in (instances, root / IMAGES) if place.exists()]
        raise SaywhereError(
            f"data '{path}': expected {instances} and the photographs in {root / IMAGES}; found the expressions and "
            f"{' and '.join(there) or 'neither of both'}"
        )
    file, refs = read_coco_file(instances), load_refs(path)
    file.raise_faults()
    class_names = file.class_names()
    try:
        wanted = {ref["ann_id"] for ref in refs if ref["split"] == split}
        annotations = {each["id"]: each for each in file.annotations if each["id"] in wanted}
        samples = []
        for ref in refs:
            if ref["split"] == split:
                annotation = annotations[ref["ann_id"]]
                image = file.images[annotation["image_id"]]
                sample = coco_sample(annotation, image, class_names, root / IMAGES, instances)
                expressions = tuple(dict.fromkeys(sentence["sent"] for sentence in ref["sentences"]))
                changes = {"phrase": expressions[0], "expressions": expressions, "group": path.parent.name}
                samples.append(replace(sample, name=str(ref["ref_id"]), **changes))
    except (KeyError, TypeError, IndexError) as error:
        raise SaywhereError(f"data '{path}': a reference lacks or misnames {error}, here or in {instances}") from error
    if not samples:
        raise SaywhereError(f"data '{path}': no reference of the split '{split}'")
    return samples
