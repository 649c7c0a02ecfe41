"""Training in several processes, which fail, and on a disk that is full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from recipes import SMALL, recipe_for
from torch import nn

from saywhere import SaywhereError
from saywhere.models.checkpoint import load_model, read_tensors
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.loop import train
from saywhere.training.recipe import Recipe
from saywhere.training.stages import CHECKPOINT, WEIGHTS
from saywhere.training.step import PREVIOUS, step_draws

FROZEN = {"name": "saywhere", "options": SMALL, "freeze": ["encoder.blocks.0"], "freeze_batch_norm": True}
SGD = {"name": "sgd", "lr": 0.05, "warmup_steps": 2, "ema_decay": 0.9}

# Two processes see different crops, and must have the same weights after some steps.
TWO = """
import sys
from pathlib import Path
import torch
from saywhere import SaywhereError
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import check_same_step
from saywhere.training.loop import Trainer, launch, loader
from saywhere.training.recipe_files import read_recipe

recipe = read_recipe(Path(sys.argv[1]))
fabric = launch(recipe)
torch.manual_seed(0)
crops = CropDataset(recipe)
trainer = Trainer(recipe, fabric, crops)
batches = iter(loader(crops, 0, fabric))
for _ in range(3):
    trainer.learn(next(batches), 0.0)
state = [each.detach().flatten() for each in trainer.model.state_dict().values() if each.is_floating_point()]
first, second = fabric.all_gather(torch.cat(state))
assert torch.equal(first, second)  # the running statistics of batch norms too
seen = fabric.all_gather(torch.tensor(next(batches).numbers))
assert sorted(seen.flatten().tolist()) == [12, 13, 14, 15]
try:
    check_same_step(7 + fabric.global_rank, fabric)
    raise AssertionError("process 1 went on from another step")
except SaywhereError as error:
    assert "at step 8 in process 1" in str(error) or "at step 7 in process 0" in str(error)
"""

# Trains; the second process dies in the middle, unless it was started anew.
DYING = """
import os, signal, sys
from pathlib import Path
from torch import nn
from saywhere.training import loop
from saywhere.training.recipe_files import read_recipe

class DyingTrainer(loop.Trainer):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        Path(sys.argv[2] + f".{self.fabric.global_rank}").open("a").write("begun\\n")

    def learn(self, batch, done):
        if self.step == 4 and self.fabric.global_rank == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().learn(batch, done)

loop.Trainer = DyingTrainer
loop.train(read_recipe(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def written(recipe: Recipe, folder: Path) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    return file


def without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.functional, "dropout", lambda x, *arguments: x)


def differences(one: Path, other: Path) -> dict[str, float]:
    """The largest difference of each tensor of two checkpoints, but for the state of the random numbers."""
    first, second = read_tensors(one)[0], read_tensors(other)[0]
    assert first.keys() == second.keys()
    return {k: float((first[k].double() - second[k].double()).abs().max()) for k in first if k != "random"}


def test_two_processes_learn_one_network(coco: Path, tmp_path: Path) -> None:
    file = written(recipe_for(coco, processes=2, batch=4, steps=3), tmp_path)
    (tmp_path / "both.py").write_text(TWO)
    subprocess.run([sys.executable, str(tmp_path / "both.py"), str(file)], check=True, timeout=1800)


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same batch over all, and frozen batch norms. Killed, torchrun starts them anew, and they resume."""
    changes = {"model": FROZEN, "optimiser": SGD, "batch": 4, "steps": 6, "checkpoint_minutes": 1e-9}
    file = written(recipe_for(coco, **changes), tmp_path)
    (tmp_path / "dying.py").write_text(DYING)
    two = tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1",
               "--standalone", str(tmp_path / "dying.py"), str(file), str(two)]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("training on 2 x cpu") == 2  # the first process alone speaks, once more after the restart
    assert [Path(f"{two}.{rank}").read_text().count("begun") for rank in (0, 1)] == [2, 2]
    without_dropout(monkeypatch)
    train(recipe_for(coco, **changes), tmp_path / "one")
    moved = differences(tmp_path / "one" / CHECKPOINT, two / CHECKPOINT)
    assert max(moved.values()) < 1e-5
    assert load_model(two / WEIGHTS).metadata["step"] == 6


def test_the_shares_of_a_step_have_the_draws_of_the_whole(coco: Path) -> None:
    recipe = recipe_for(coco, batch=4)
    crops = CropDataset(recipe)
    whole = step_draws(collate([crops[i] for i in (8, 9, 10, 11)]), recipe, PREVIOUS)
    even = step_draws(collate([crops[i] for i in (8, 10)]), recipe, PREVIOUS)
    odd = step_draws(collate([crops[i] for i in (9, 11)]), recipe, PREVIOUS)
    assert [even[0], odd[0], even[1], odd[1]] == whole.tolist()
    assert len(set(whole)) == 4


@pytest.mark.slow
def test_a_full_disk_costs_nothing(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint before stays, the message says how to go on, and the run ends in the same weights."""
    recipe = recipe_for(coco, steps=6, checkpoint_minutes=1e-9)
    train(recipe, tmp_path / "whole")
    left, fsync = [3], os.fsync

    def fill_up(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fill_up)
        with pytest.raises(
            SaywhereError, match=r"No space left on device\); the checkpoint of step 3 is kept: make room"
        ):
            train(recipe, folder)
    assert sorted(path.name for path in folder.iterdir()) == [CHECKPOINT]
    train(recipe, folder, resume=True)
    for name in (CHECKPOINT, WEIGHTS):
        whole, parts = (read_tensors(tmp_path / run / name)[0] for run in ("whole", "run"))
        assert [k for k in whole if not torch.equal(whole[k], parts[k])] == []


def test_a_full_disk_before_the_first_checkpoint(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(SaywhereError, match="there is no checkpoint yet"):
        train(recipe_for(coco, checkpoint_minutes=1e-9), tmp_path / "run")


def test_the_log_says_how_fast_and_where_the_time_goes(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("saywhere.training.loop.LOG_STEPS", 2)
    train(recipe_for(coco), tmp_path / "run")
    first = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert first["step"] == 2
    assert first["images_per_second"] > 0
    assert set(first["time"]) == {"data", "forward", "backward", "optimiser"}
    assert sum(first["time"].values()) == pytest.approx(1.0, abs=0.01)
    assert "4 steps, " in (said := capsys.readouterr().out)
    assert "images/s; data " in said
