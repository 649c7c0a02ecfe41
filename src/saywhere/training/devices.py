"""The devices, processes and nodes of a training run, through Lightning Fabric; torchrun may start the processes."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

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

    Under torchrun, which has started them, their number and that of the nodes are torchrun's.

    Raises:
        SaywhereError: the processes cannot share the recipe's batch evenly.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    places: dict[str, Any] = {"devices": "auto" if device.type == "cuda" else recipe.processes}
    if started_by_torchrun():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        places = {"devices": local, "num_nodes": int(os.environ["WORLD_SIZE"]) // local}
    fabric = Fabric(accelerator=device.type, precision=precision_for(device, recipe.precision), **places)
    fabric.launch()
    if dist.is_initialized():
        # The group's threads must not outlive the interpreter, which would then end with SIGABRT now and then.
        atexit.register(dist.destroy_process_group)
    check_batch(recipe, fabric)
    return fabric


def started_by_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


def was_restarted() -> bool:
    """Whether torchrun has started the processes anew after one of them failed (``--max-restarts``)."""
    return started_by_torchrun() and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextmanager
def exchange() -> Iterator[None]:
    """Around what all processes do together.

    Raises:
        SaywhereError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if not dist.is_initialized():
            raise
        reason = " ".join(str(error).split())[:200]
        raise SaywhereError(
            f"another process of the run has ended ({reason}); resume from the last checkpoint with --resume"
        ) from error


def check_same_step(step: int, fabric: Fabric) -> None:
    """SaywhereError when processes resume from different checkpoints, as nodes do that do not share a disk."""
    with exchange():
        first = fabric.broadcast(step)
        alike = fabric.all_reduce(torch.tensor(float(first == step)), reduce_op="mean")
    assert isinstance(alike, torch.Tensor)
    if alike.item() < 1.0:
        raise SaywhereError(
            f"resumed at step {step} in process {fabric.global_rank}, at step {first} in process 0: all nodes need the "
            "same folder of the run (--out), on a disk that they share"
        )


def check_batch(recipe: Recipe, fabric: Fabric) -> None:
    """SaywhereError when the processes cannot share a batch evenly."""
    if recipe.batch % fabric.world_size:
        raise SaywhereError(f"recipe batch {recipe.batch}: not a multiple of the {fabric.world_size} processes")
