from __future__ import annotations

import json
import math
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from recipes import SMALL, recipe_for

from saywhere import SaywhereError
from saywhere.models import losses
from saywhere.models.checkpoint import load_model, read_tensors
from saywhere.models.saywhere import Saywhere
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.loader import loader
from saywhere.training.loop import train
from saywhere.training.phrases import label_vectors
from saywhere.training.schedule import LearningRate, moving_average
from saywhere.training.stages import CHECKPOINT, WEIGHTS
from saywhere.training.step import step_losses
from saywhere.training.trainer import Trainer

KILLED = """
import os, signal
from saywhere.cli.main import main
from saywhere.training.trainer import Trainer

save = Trainer.save

def save_and_die(self, path):
    save(self, path)
    if self.step == 3:
        os.killpg(0, signal.SIGKILL)

Trainer.save = save_and_die
main()
"""


class TestLosses:
    target = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    logits = torch.tensor([0.0, 2.0, 0.0, -2.0]).reshape(1, 1, 2, 2)
    counted = torch.ones(1, 1, 2, 2)

    def test_bce_by_hand(self) -> None:
        expected = (2 * math.log(2) + 2 * math.log(1 + math.exp(-2))) / 4
        assert losses.bce(self.logits, self.target, self.counted).item() == pytest.approx(expected)

    def test_dice_and_iou_by_hand(self) -> None:
        p = 1 / (1 + math.exp(-2))
        overlap, total = 0.5 + p, (0.5 + p + 0.5 + 1 - p) + 2
        assert losses.dice(self.logits, self.target, self.counted).item() == pytest.approx(
            1 - (2 * overlap + 1) / (total + 1)
        )
        assert losses.iou(self.logits, self.target, self.counted).item() == pytest.approx(
            1 - (overlap + 1) / (total - overlap + 1)
        )

    def test_balance_by_hand(self) -> None:
        target = torch.tensor([1.0, 0.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
        logits = torch.tensor([0.0, 30.0, -30.0, -30.0]).reshape(1, 1, 2, 2)
        expected = 0.5 * (math.log(2) + 30 / 3)
        assert losses.balanced_bce(logits, target, self.counted).item() == pytest.approx(expected, rel=1e-4)

    @pytest.mark.parametrize("name", sorted(losses.LOSSES))
    def test_what_is_not_counted_has_no_say(self, name: str) -> None:
        loss = losses.LOSSES[name]
        counted = torch.tensor([1.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
        changed = self.logits.clone()
        changed[0, 0, 1, 1] = 40.0
        assert loss(self.logits, self.target, counted).item() == loss(changed, self.target, counted).item()
        logits = self.logits.clone().requires_grad_()
        loss(logits, self.target, counted).sum().backward()
        assert logits.grad is not None
        assert logits.grad[0, 0, 1, 1] == 0.0
        assert (logits.grad[0, 0, 0] < 0.0).all()  # the object's pixels are pushed up

    @pytest.mark.parametrize("name", sorted(losses.LOSSES))
    def test_a_perfect_mask_costs_nothing(self, name: str) -> None:
        perfect = (self.target * 2 - 1) * 30
        assert losses.LOSSES[name](perfect, self.target, self.counted).item() == pytest.approx(0.0, abs=1e-3)

    def test_the_sum_is_weighted(self) -> None:
        parts = {name: losses.LOSSES[name](self.logits, self.target, self.counted).mean() for name in ("bce", "dice")}
        total = losses.total({"bce": 2.0, "dice": 0.5}, self.logits, self.target, self.counted)
        assert total.item() == pytest.approx(2.0 * parts["bce"].item() + 0.5 * parts["dice"].item())


class TestLoop:
    def test_the_schedule_warms_up_and_ends_low(self, coco: Path) -> None:
        recipe = recipe_for(coco, optimiser={"lr": 1.0, "warmup_steps": 10, "final_lr_factor": 0.1})
        rate = LearningRate(recipe.optimiser, 100, 10.0)
        assert rate.at(0, 0.0) == pytest.approx(0.1)
        assert rate.at(50, 0.5) == pytest.approx(0.55)
        assert rate.at(99, 1.0) == pytest.approx(0.1)

    def test_the_average_by_hand(self) -> None:
        kept, counted = torch.tensor([1.0]), torch.tensor([3])
        moving_average(0.9)([kept], [torch.tensor([3.0])], 1000)
        assert kept.item() == pytest.approx(0.9 * 1.0 + 0.1 * 3.0)
        moving_average(0.9)([counted], [torch.tensor([8])], 1000)
        assert counted.item() == 8
        kept.fill_(1.2)
        moving_average(0.9)([kept], [torch.tensor([0.0])], 0)
        assert kept.item() == pytest.approx(0.12)  # the first steps are forgotten fast: decay 1/10

    def test_it_learns(self, coco: Path) -> None:
        torch.manual_seed(0)
        recipe = recipe_for(coco, clicks={"max_rounds": 2})
        crops = CropDataset(recipe)
        batch = collate([crops[i] for i in range(4)])
        model = Saywhere(**SMALL).train()
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        history = []
        for _ in range(15):
            (loss,) = step_losses(model, batch, recipe, launch(recipe), label_vectors(crops.labels))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            history.append(loss.item())
        assert history[-1] < 0.6 * history[0]

    def test_learning_after_every_round_takes_a_loss_of_each(self, coco: Path) -> None:
        torch.manual_seed(0)
        settings = {"max_rounds": 3, "robot": "protocol", "update_every_round": True}
        crops = CropDataset(recipe_for(coco, clicks=settings))
        model = Saywhere(**SMALL).train()
        counts = set()
        for seed in range(6):
            recipe = recipe_for(coco, clicks=settings).model_copy(update={"seed": seed})
            taken = 0
            for loss in step_losses(model, collate([crops[0], crops[1]]), recipe, launch(recipe), label_vectors([])):
                loss.backward()  # fails if a round went back through what an earlier one has released
                taken += 1
            counts.add(taken)
        assert len(counts) > 1
        assert counts <= {1, 2, 3}

    def test_micro_batches_learn_what_the_batch_does(self, coco: Path) -> None:
        """Clicks worked out by other processes are the same, and so is the gradient, but for rounding."""
        model = {"name": "saywhere", "options": SMALL, "freeze_batch_norm": True}
        # With this seed the first step has three rounds, so that clicks are worked out twice.
        settings = {
            "seed": 1,
            "batch": 4,
            "clicks": {"max_rounds": 3, "no_previous_prob": 0.0, "coarse_previous_prob": 0.0},
        }
        moved = []
        for more in ({}, {"micro_batches": 2, "robot_processes": 2}):
            recipe = recipe_for(coco, model=model, optimiser={"warmup_steps": 0, "lr": 1e-4}, **settings, **more)
            torch.manual_seed(0)
            trainer = Trainer(recipe, launch(recipe), crops := CropDataset(recipe))
            trainer.model.aspp.project[3].p = 0.0  # no dropout
            batch = collate([crops[i] for i in range(4)])
            loss = trainer.learn(batch, 0.0)
            if trainer.robots is not None:
                assert len(trainer.robots.executor._processes) > 0
                trainer.robots.close()
            moved.append((loss, torch.cat([p.detach().flatten() for p in trainer.model.parameters()])))
        assert moved[0][0] == pytest.approx(moved[1][0], rel=1e-4)
        assert torch.allclose(moved[0][1], moved[1][1], atol=2e-5)

    def test_robot_processes_end_with_their_training(self, coco: Path, tmp_path: Path) -> None:
        before = set(multiprocessing.active_children())
        train(recipe_for(coco, batch=4, robot_processes=2, micro_batches=2, clicks={"max_rounds": 4}), tmp_path / "run")
        assert set(multiprocessing.active_children()) <= before

    def test_robot_processes_end_with_the_process_that_started_them(self, coco: Path, tmp_path: Path) -> None:
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe_for(coco, robot_processes=2, steps=100_000).model_dump(mode="json")))
        command = [sys.executable, "-m", "saywhere.cli", "train", str(file), "--out", str(tmp_path / "run")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            of = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            children: list[str] = []
            for _ in range(6000):
                children = of.read_text().split()
                if len(children) >= 2:
                    break
                time.sleep(0.1)
            assert len(children) == 2
            time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        for _ in range(600):
            if not any(Path(f"/proc/{child}").exists() for child in children):
                return
            time.sleep(0.1)
        pytest.fail("robot processes outlived their training")

    @pytest.mark.parametrize(("who", "count"), [("protocol", 1), ("tap", 1)])
    def test_some_robots_begin_with_one_click_on_the_object(self, coco: Path, who: str, count: int) -> None:
        crops = CropDataset(recipe_for(coco, clicks={"robot": who, "drag_prob": 1.0}))
        for number in range(8):
            crop = crops[number]
            assert len(crop.prompt.clicks) == count
            (click,) = crop.prompt.clicks
            assert click.positive
            assert click.radius is not None
            assert crop.target[0, int(click.y), int(click.x)]

    def test_frozen_parts_stay(self, coco: Path, tmp_path: Path) -> None:
        torch.manual_seed(0)
        before = Saywhere(**SMALL).state_dict()
        written = train(recipe_for(coco), tmp_path / "run")
        after = load_model(written).model.state_dict()
        torch.manual_seed(0)
        frozen = [k for k in before if k.startswith("encoder.blocks.0.0.conv")]
        assert frozen
        assert all(torch.equal(before[k].half().float(), after[k]) for k in frozen)
        moved = [k for k in before if k.startswith("head") and before[k].is_floating_point()]
        assert any(not torch.equal(before[k].half().float(), after[k]) for k in moved)

    @pytest.mark.parametrize("freeze_batch_norm", [True, False])
    def test_frozen_batch_norms_keep_their_statistics(self, coco: Path, freeze_batch_norm: bool) -> None:
        model = {"name": "saywhere", "options": SMALL, "freeze_batch_norm": freeze_batch_norm}
        recipe = recipe_for(coco, model=model)
        fabric, crops = launch(recipe), CropDataset(recipe)
        trainer = Trainer(recipe, fabric, crops)
        before = {k: v.clone() for k, v in trainer.model.state_dict().items() if not k.startswith("encoder.")}
        trainer.learn(next(iter(loader(crops, 0, fabric))), 0.0)
        moved = {k for k, v in before.items() if not torch.equal(v, trainer.model.state_dict()[k])}
        assert "head.0.0.weight" in moved
        assert "head.0.1.bias" in moved
        assert ("head.0.1.running_var" in moved) is not freeze_batch_norm

    def test_weights_say_where_they_come_from(self, coco: Path, tmp_path: Path) -> None:
        facts = load_model(train(recipe_for(coco), tmp_path / "run")).metadata
        assert facts["step"] == 4
        assert (facts["size"], facts["zoom"]) == (64, True)  # at which it answers
        assert facts["data"] == [coco.name]
        assert facts["recipe"]["batch"] == 2
        assert str(coco.parent) not in json.dumps(facts)  # folders are nobody else's business

    def test_a_run_is_not_overwritten_nor_resumed_from_nothing(self, coco: Path, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="no checkpoint"):
            train(recipe_for(coco), tmp_path / "run", resume=True)
        train(recipe_for(coco), tmp_path / "run")
        with pytest.raises(SaywhereError, match="--resume"):
            train(recipe_for(coco), tmp_path / "run")

    def test_a_time_limit_ends_the_run(self, coco: Path, tmp_path: Path) -> None:
        written = train(recipe_for(coco, steps=100_000), tmp_path / "run", time_limit=1.0)
        assert 0 < load_model(written).metadata["step"] < 100_000

    def test_killed_and_resumed_it_gives_the_same_weights(self, coco: Path, tmp_path: Path) -> None:
        """A real process, killed with SIGKILL in the middle, goes on to the very weights of one that was not."""
        content = recipe_for(coco, steps=12, checkpoint_minutes=1e-9, workers=1).model_dump(mode="json")
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(content))

        def start(out: str, *more: str, program: tuple[str, str] = ("-m", "saywhere.cli")) -> subprocess.Popen[bytes]:
            command = [sys.executable, *program, "train", str(recipe), "--out", str(tmp_path / out), *more]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)

        assert start("whole").wait(600) == 0
        killed, checkpoint = start("killed", program=("-c", KILLED)), tmp_path / "killed" / CHECKPOINT
        assert killed.wait(600) == -signal.SIGKILL
        assert read_tensors(checkpoint)[1]["step"] == 3
        assert start("killed", "--resume").wait(600) == 0
        for name in (WEIGHTS, CHECKPOINT):
            whole, parts = (read_tensors(tmp_path / run / name)[0] for run in ("whole", "killed"))
            assert whole.keys() == parts.keys()
            assert [k for k in whole if not torch.equal(whole[k], parts[k])] == []
