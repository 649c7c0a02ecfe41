"""What fine-tuning on a few of one's own objects is worth on other objects of the same kind.

    python benchmarks/finetune.py --data leeds-butterfly --out runs/finetune-leeds
    python benchmarks/finetune.py --data photos-7k:train --label elephant --test photos-7k:val --out runs/elephant

``--objects`` objects, evenly spread, are given to ``saywhere finetune``, which holds a quarter of their images out and
learns from the others. The weights before and after are then measured on the objects of ``--test`` with the same label;
without ``--test`` on the other objects of ``--data``, except those on images of the first. The table has paired
differences with 95 % bootstrap intervals. A run that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from saywhere.cli.common import console, print_table
from saywhere.data.datasets import Sample, load_dataset
from saywhere.evaluation.benchmark import Task, bench, spread
from saywhere.evaluation.compare import compare
from saywhere.evaluation.finetune import finetune

FIGURES = ("noc90", "noc85", "miou1", "miou3")


def write_coco(samples: Sequence[Sample], path: Path) -> Path:
    """A COCO file of objects, whose images are named by their full paths."""
    numbers: dict[Path, int] = {}
    images, annotations = [], []
    labels = sorted({sample.label or "object" for sample in samples})
    for number, sample in enumerate(samples, 1):
        region = sample.region()
        if sample.image_path not in numbers:
            numbers[sample.image_path] = len(numbers) + 1
            height, width = region.size
            name = str(sample.image_path.absolute())
            images.append({"id": numbers[sample.image_path], "file_name": name, "height": height, "width": width})
        annotations.append({
            "id": number, "image_id": numbers[sample.image_path], "iscrowd": 0,
            "category_id": labels.index(sample.label or "object") + 1,
            **region.as_annotation(),
        })  # fmt: skip
    categories = [{"id": i, "name": label} for i, label in enumerate(labels, 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def choose(options: argparse.Namespace) -> tuple[list[Sample], list[Sample]]:
    """The objects to give to the fine-tuning, and those to measure."""
    every = [s for s in load_dataset(options.data) if options.label in (None, s.label)]
    given = [every[i] for i in spread(len(every), options.objects)]
    used = {sample.image_path for sample in given}
    if options.test:
        others = [s for s in load_dataset(options.test) if options.label in (None, s.label)]
    else:
        others = [sample for sample in every if sample.image_path not in used]
    return given, [others[i] for i in spread(len(others), options.limit)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="leeds-butterfly", help="a data set")
    parser.add_argument("--test", help="another data set to measure on")
    parser.add_argument("--label", help="only objects of this label")
    parser.add_argument("--objects", type=int, default=50, help="objects to fine-tune on, the held-out ones among them")
    parser.add_argument("--limit", type=int, help="objects to measure; all of the others if not given")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of the measurement")
    parser.add_argument("--all", action="store_true", help="the encoder learns too")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe finetune")
    parser.add_argument("--out", type=Path, default=Path("runs/finetune-benchmark"))
    options = parser.parse_args()
    given, measured = choose(options)
    started = time.monotonic()
    result = finetune(
        write_coco(given, options.out / "given.json"), options.out / "finetuned", everything=options.all,
        minutes=options.minutes, changes=options.set, console=console,
    )  # fmt: skip
    seconds = time.monotonic() - started
    console.print(f"{len(given)} objects: {result.trained} learned from, {result.held_out} held out; {seconds:.0f} s; "
                  f"{result.verdict}", highlight=False)  # fmt: skip
    test = write_coco(measured, options.out / "test.json")
    runs = [
        bench(Task(weights, str(test), threads=options.threads), options.out / f"{name}.json")
        for name, weights in (("before", "saywhere"), ("after", str(options.out / "finetuned/finetuned.safetensors")))
    ]
    rows = [
        [each.figure, f"{each.a:.3f}", f"{each.b:.3f}", f"{each.difference:+.3f} ({each.low:+.3f} to {each.high:+.3f})"]
        for each in compare(runs[0], runs[1], FIGURES)
    ]
    name = f"{options.test or options.data} {options.label or ''}, {len(measured)} other objects".replace(" ,", ",")
    print_table([name, "before", "after", "difference (95 %)"], rows, markdown=True)


if __name__ == "__main__":
    main()
