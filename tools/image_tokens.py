"""Compute the tokens of training images beforehand, in several processes, for a recipe of a network with tokens.

    python tools/image_tokens.py saywhere-large --part 0 --parts 2 &
    python tools/image_tokens.py saywhere-large --part 1 --parts 2

Each process has one thread and takes a share of the images in a random order, so that those that are there after any
time are a fair sample: with image_tokens.cached_only=true a training draws from them alone. It can be stopped and run
again.
"""

from __future__ import annotations

import argparse
import random
import time

import torch

from saywhere.errors import SaywhereError
from saywhere.training.recipe_files import read_recipe
from saywhere.training.stages import list_stages
from saywhere.training.targets import list_targets
from saywhere.training.token_maps import TokenMaps

REPORT = 200  # images between two lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stages = [stage.recipe for stage in list_stages(read_recipe(arguments.recipe, arguments.set))]
    recipe = next((one for one in stages if one.model.options.get("tokens")), None)
    maps = TokenMaps.of_recipe(recipe) if recipe is not None else None
    if recipe is None or maps is None:
        raise SaywhereError(f"recipe '{arguments.recipe}': none of its stages has a network with tokens")
    paths = sorted({target.sample.image_path for target in list_targets(recipe)})
    random.Random(0).shuffle(paths)
    mine = paths[arguments.part :: arguments.parts]
    began, printed = time.monotonic(), 0
    for done in maps.keep(mine):
        if done - printed >= REPORT:
            printed = done
            print(f"{done} of {len(mine)} images, {(time.monotonic() - began) / done:.3f} s each", flush=True)


if __name__ == "__main__":
    main()
