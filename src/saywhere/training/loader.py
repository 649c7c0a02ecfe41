"""The data loader, which resumes at any sample."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Sampler

from saywhere.training.batch import TrainingSample, collate
from saywhere.training.dataset import CropDataset


class ResumableSampler(Sampler[int]):
    """Sample numbers of one process, without end: process r of n takes every n-th.

    Args:
        start: the first number of the run's next step.
        rank: the number of this process.
        world: the number of processes.
    """

    def __init__(self, start: int, rank: int, world: int) -> None:
        self.start, self.rank, self.world = start, rank, world

    def __iter__(self) -> Iterator[int]:
        number = self.start + self.rank
        while True:
            yield number
            number += self.world


def loader(crops: CropDataset, step: int, fabric: Fabric) -> DataLoader[TrainingSample]:
    """Batches from a step on, without end; each process gets its share of every batch."""
    recipe = crops.recipe
    if recipe.workers > 1:
        crops.read_all()
    return DataLoader(
        crops,
        batch_size=recipe.batch // fabric.world_size,
        sampler=ResumableSampler(step * recipe.batch, fabric.global_rank, fabric.world_size),
        num_workers=recipe.workers,
        collate_fn=collate,
        worker_init_fn=use_one_thread,
        prefetch_factor=4 if recipe.workers else None,
        # Otherwise the loader would draw from the state that a checkpoint keeps.
        generator=torch.Generator(),
        pin_memory=fabric.device.type == "cuda",
    )


def use_one_thread(_: int) -> None:
    """Let OpenCV use one thread in a loading process: more would compete with the threads that train."""
    cv2.setNumThreads(0)
