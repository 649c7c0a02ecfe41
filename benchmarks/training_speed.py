"""Images a second in training: of the loader alone, with 1 and 2 workers, and of whole steps, with 1 and 2 processes.

    python benchmarks/training_speed.py                     # photos-7k, and a generated network
    python benchmarks/training_speed.py --data mine.json --recipe saywhere

Each process has one thread, so that two processes use two cores. The steps are those of the recipe's first stage with
the network as it is initialised; the line of each run says where its time goes.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WARM_UP = 4  # batches that are not counted


def loader_speed(data: str, recipe: str, workers: int, batches: int) -> float:
    """Images a second of the loader alone."""
    from saywhere.training.dataset import CropDataset
    from saywhere.training.devices import launch
    from saywhere.training.loader import loader
    from saywhere.training.recipe_files import read_recipe
    from saywhere.training.stages import list_stages

    read = list_stages(read_recipe(recipe, changes(data, workers)))[0].recipe
    iterator = iter(loader(CropDataset(read), 0, launch(read)))
    # What was loaded ahead must not be counted: the clock starts when the workers are in their stride.
    for _ in range(WARM_UP + 4 * workers):
        next(iterator)
    began = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return batches * read.batch / (time.perf_counter() - began)


def changes(data: str, workers: int) -> list[str]:
    """What is changed of the recipe: images are decoded each time, as in a data set that fits into no memory."""
    return [f"data=[{{path: '{data}'}}]", f"workers={workers}", "crop.cached_images=0", "model.pretrained=null",
            "validation=null", "precision='32'"]  # fmt: skip


def training_speed(data: str, recipe: str, processes: int, steps: int) -> str:
    """The line that a training run ends with."""
    with tempfile.TemporaryDirectory() as folder:
        sets = [*changes(data, 1), f"steps={steps}", f"processes={processes}", "checkpoint_minutes=1000"]
        command = [sys.executable, "-m", "saywhere.cli", "train", recipe, "--out", f"{folder}/run"]
        for change in sets:
            command += ["--set", change]
        if "stages:" in (Path(__file__).parents[1] / f"src/saywhere/training/recipes/{recipe}.yaml").read_text():
            first = first_stage(recipe, data)
            command += ["--last-stage", first, "--set", f"stages.{first}.steps={steps}"]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
    return next(line for line in run.stdout.splitlines() if re.search(r"steps, .* images/s", line))


def first_stage(recipe: str, data: str) -> str:
    """The name of a recipe's first stage."""
    from saywhere.training.recipe_files import read_recipe
    from saywhere.training.stages import list_stages

    return list_stages(read_recipe(recipe, changes(data, 1)))[0].name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="photos-7k/train.json")
    parser.add_argument("--recipe", default="saywhere")
    parser.add_argument("--batches", type=int, default=20, help="of the loader, after the first ones")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--loader", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loader is not None:
        print(f"{loader_speed(arguments.data, arguments.recipe, arguments.loader, arguments.batches):.1f}")
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    for workers in (1, 2):
        command = [sys.executable, __file__, *sys.argv[1:], "--loader", str(workers)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"loader, workers {workers}: {run.stdout.split()[-1]} images/s", flush=True)
    for processes in (1, 2):
        line = training_speed(arguments.data, arguments.recipe, processes, arguments.steps)
        print(f"training, processes {processes}: {line}", flush=True)


if __name__ == "__main__":
    main()
