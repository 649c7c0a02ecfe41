"""The devices and processes of a training run, through Lightning Fabric."""

from __future__ import annotations

import atexit
import logging
from typing import Literal

import torch
import torch.distributed as dist
from lightning_fabric import Fabric

from saywhere.errors import SaywhereError
from saywhere.runtime.torch import bfloat16_pays
from saywhere.training.recipe import Recipe


def precision_for(device: torch.device, precision: str) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's name of a recipe's precision; "auto" is bfloat16 where the device computes in it, else float32."""
    if precision == "auto":
        precision = "bf16" if bfloat16_pays(device) else "32"
    return "bf16-mixed" if precision == "bf16" else "32-true"


def launch(recipe: Recipe) -> Fabric:
    """Start the processes of a run: on all GPUs if there are any, else on the CPU.

    Raises:
        SaywhereError: the processes cannot share the recipe's batch evenly.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=device.type,
        devices="auto" if device.type == "cuda" else recipe.processes,
        precision=precision_for(device, recipe.precision),
    )
    fabric.launch()
    if dist.is_initialized():
        # The group's threads must not outlive the interpreter, which would then end with SIGABRT now and then.
        atexit.register(dist.destroy_process_group)
    check_batch(recipe, fabric)
    return fabric


def check_batch(recipe: Recipe, fabric: Fabric) -> None:
    """SaywhereError when the processes cannot share a batch evenly."""
    if recipe.batch % fabric.world_size:
        raise SaywhereError(f"recipe batch {recipe.batch}: not a multiple of the {fabric.world_size} processes")
