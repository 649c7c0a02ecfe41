"""The data loader, which resumes at any sample."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Sampler

from saywhere.training.batch import TrainingSample, collate
from saywhere.training.dataset import CropDataset


class ResumableSampler(Sampler[int]):
    """TrainingSample numbers of one process, from a step on: process r of n takes every n-th."""

    def __init__(self, start: int, rank: int, world: int) -> None:
        self.start, self.rank, self.world = start, rank, world

    def __iter__(self) -> Iterator[int]:
        number = self.start + self.rank
        while True:
            yield number
            number += self.world


def loader(crops: CropDataset, step: int, fabric: Fabric) -> DataLoader[TrainingSample]:
    """Batches from a step on, for ever; each process gets its share of every batch."""
    recipe = crops.recipe
    if recipe.workers > 1:
        crops.read_all()
    return DataLoader(
        crops,
        batch_size=recipe.batch // fabric.world_size,
        sampler=ResumableSampler(step * recipe.batch, fabric.global_rank, fabric.world_size),
        num_workers=recipe.workers,
        collate_fn=collate,
        prefetch_factor=4 if recipe.workers else None,
        # Else the loader would draw from the state that a checkpoint keeps.
        generator=torch.Generator(),
        pin_memory=fabric.device.type == "cuda",
    )
