"""Ablations of sequences: the paper's tables 3 and 7 and figure 4 b, at this scale.

Run ``python benchmarks/sequence_tables.py layers|bank|global [LABEL ...]`` on sequences of photos-7k:val (cat, hair and
horse by default), with the shipped weights and one thread, otherwise as ``saywhere bench --sequence
--unclicked-components 0`` does it.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import cast

import torch

from saywhere.core.settings import Settings
from saywhere.data.datasets import load_dataset
from saywhere.evaluation.reproduce.global_learning import GlobalPurification
from saywhere.evaluation.sequences import Run, SequenceTask, figures, make_work, runs_of
from saywhere.interactive.sequence import SequenceOptions
from saywhere.models.base import PurifyingModel
from saywhere.runtime.torch import TorchRuntime
from saywhere.runtime.weights import load_runtime

SIZES = (4, 12, 24)
LAYERS = {"R1": (0,), "R2": (1,), "R3": (2,), "R4": (3,), "R3, R4": (2, 3), "R-MS": (0, 1, 2, 3)}


def measure(name: str, runtime: TorchRuntime, options: SequenceOptions, labels: tuple[str, ...]) -> None:
    task = SequenceTask(None, "photos-7k:val", options=options, threads=1, labels=labels)
    runs: list[Run] = runs_of(task, load_dataset(task.data))
    started = time.monotonic()
    work, records = make_work(task, runtime, Settings(unclicked_components=0.0)), {}
    for run in runs:
        for interaction in work(run):
            records.setdefault(interaction.object, []).append(interaction)
    result = figures(records, runs, task)
    low, high = result["noc90_interval"]
    print(
        f"{name:22} NoC@85 {result['noc85']:5.2f}, @90 {result['noc90']:5.2f} ({low:.2f} to {high:.2f}), "
        f"proposals right {result['proposed_right']:.3f}, {result['objects']} objects, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )


def main() -> None:
    torch.set_num_threads(1)
    table, *labels = sys.argv[1:] or [""]
    runtime = load_runtime(device="cpu")
    each = partial(measure, labels=tuple(labels) or ("cat", "hair", "horse"))
    if table == "layers":
        each("no proposals", runtime, SequenceOptions(propose=False, learn=False, interval=2))
        for name, levels in LAYERS.items():
            each(name, runtime, SequenceOptions(levels=levels, learn=False, interval=2))
    elif table == "bank":
        for size in SIZES:
            each(f"bank of {size}", runtime, SequenceOptions(bank=size, interval=2))
    elif table == "global":
        whole = GlobalPurification(cast(PurifyingModel, runtime.model))
        # What the purification layer alone gives is the bank's last row.
        count = sum(parameter.numel() for parameter in whole.purification.parameters())
        each(
            f"global, {count:,}", TorchRuntime(whole, runtime.name, runtime.digest, "cpu"), SequenceOptions(interval=2)
        )
    else:
        sys.exit(str(__doc__))


if __name__ == "__main__":
    main()
