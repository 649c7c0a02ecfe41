from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from pycocotools import mask as coco_mask

from conftest import disc, polygon_of
from saywhere import Click, Prompt, SaywhereError
from saywhere.models.saywhere import Saywhere
from saywhere.models.store import load_model, read_tensors
from saywhere.training import losses
from saywhere.training.augment import crop_transform, warp, warp_box
from saywhere.training.crops import LEFT, Crops, chances, collate, list_targets, opening, parts_of
from saywhere.training.loop import (
    CHECKPOINT,
    WEIGHTS,
    Learner,
    launch,
    learning_rate,
    loader,
    moving_average,
    train,
    words_of,
)
from saywhere.training.recipe import Clicks, Recipe, read_recipe
from saywhere.training.robots import correct
from saywhere.training.rounds import losses_of

SMALL = {"widths": [8, 8, 16, 16], "key": 8}


def recipe_for(path: Path, **changes: object) -> Recipe:
    content = {
        "model": {"name": "saywhere", "options": SMALL, "freeze": ["encoder.blocks.0"]},
        "data": [{"path": str(path)}],
        "crop": {"size": 64},
        "optimiser": {"warmup_steps": 2, "ema": 0.9},
        "batch": 2,
        "steps": 4,
        "workers": 0,
        "precision": "32",
        **changes,
    }
    return Recipe.model_validate(content)


# Two processes see different crops, and must have the same weights after some steps.
TWO = """
import sys
from pathlib import Path
import torch
from saywhere.training.crops import Crops
from saywhere.training.loop import Learner, launch, loader
from saywhere.training.recipe import read_recipe

recipe = read_recipe(Path(sys.argv[1]))
fabric = launch(recipe)
torch.manual_seed(0)
crops = Crops(recipe)
learner = Learner(recipe, fabric, crops)
batches = iter(loader(crops, 0, fabric))
for _ in range(3):
    learner.learn(next(batches), 0.0)
first, second = fabric.all_gather(torch.cat([p.detach().flatten() for p in learner.model.parameters()]))
assert torch.equal(first, second)
seen = fabric.all_gather(torch.tensor(next(batches).numbers))
assert sorted(seen.flatten().tolist()) == [12, 13, 14, 15]
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


class TestRecipe:
    def write(self, tmp_path: Path, text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("model: {name: saywhere}\ndata: [{path: a}]\nlearning_rate: 1", "learning_rate: Extra inputs"),
            ("model: {name: segformer}\ndata: [{path: a}]", "model.name: .*unknown model"),
            ("model: {name: saywhere}", "data: Field required"),
            ("model: {name: saywhere}\ndata: [{path: a}]\nloss: {hinge: 1}", "loss: .*hinge"),
            ("model: {name: saywhere}\ndata: [{path: a}]\nbatch: many", "batch: "),
            ("a: [", "YAML"),
            ("", "file: "),
        ],
    )
    def test_a_fault_is_named(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(SaywhereError, match=words):
            read_recipe(self.write(tmp_path, text))

    def test_shipped_recipes_are_good(self) -> None:
        recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
        assert recipes
        for path in recipes:
            read_recipe(path)


class TestCrops:
    def test_a_crop_depends_on_its_number_alone(self, coco: Path) -> None:
        one, two = Crops(recipe_for(coco)), Crops(recipe_for(coco))
        for _ in range(3):
            two[0]
        a, b = one[17], two[17]
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.target, b.target)
        assert a.prompt == b.prompt
        assert not torch.equal(a.image, one[18].image)

    def test_mask_and_photograph_move_together(self, coco: Path) -> None:
        crops = Crops(recipe_for(coco))
        for number in range(30):
            crop = crops[number]
            bright = crop.image.float().amax(0)
            inside, outside = crop.target[0] > 0, (crop.target[0] == 0) & (crop.ignore[0] == 0)
            assert bright[inside].median() > bright[outside].median()
            first = crop.prompt.clicks[0]
            assert first.positive
            assert inside[int(first.y), int(first.x)]

    def test_a_mask_of_its_box_alone_is_cut_like_that_of_the_whole_photograph(self) -> None:
        rng = np.random.default_rng(0)
        whole = np.zeros((90, 120), np.uint8)
        cv2.ellipse(whole, (70, 40), (25, 12), 30, 0, 360, 1, -1)
        x, y, w, h = cv2.boundingRect(whole)
        for far in (False, True):
            for _ in range(20):
                transform = crop_transform((x, y, w, h), (90, 120), 64, bool(rng.random() < 0.5), (0.6, 2.5), rng)
                transform[:, 2] += 500.0 * far
                expected = warp(whole, transform, 64, nearest=True, border=cv2.BORDER_CONSTANT)
                found = warp_box(whole[y : y + h, x : x + w], (x, y, w, h), transform, 64)
                assert np.count_nonzero(found != expected) <= 0.03 * np.count_nonzero(expected)
                assert expected.any() is not far

    def test_photographs_that_loaders_share_are_read_beforehand(self, coco: Path) -> None:
        crops = Crops(recipe_for(coco, crop={"size": 64, "cache": 100}))
        crops.read_all()
        read = crops.read.cache_info().misses
        for number in range(40):
            crops[number]
        assert crops.read.cache_info().misses == read == len({t.sample.photo for t in crops.targets})

    def test_a_batch_splits_into_parts_that_make_it_up(self, coco: Path) -> None:
        crops = Crops(recipe_for(coco))
        batch = collate([crops[i] for i in range(5)])
        parts = batch.split(2)
        assert [len(part.prompts) for part in parts] == [2, 3]
        assert torch.equal(torch.cat([part.image for part in parts]), batch.image)
        assert [n for part in parts for n in part.numbers] == batch.numbers
        assert len(batch.split(9)) == 5

    def test_parts_are_found_by_lying_inside(self) -> None:
        whole, part, apart = np.zeros((3, 40, 40), np.uint8)
        whole[5:35, 5:35], part[10:15, 10:15], apart[36:39, 0:20] = 1, 1, 1
        packed = [coco_mask.encode(np.asfortranarray(m)) for m in (whole, part, apart)]
        assert parts_of(packed, coco_mask.area(packed).astype(float)).tolist() == [False, True, False]

    def test_weights_decide_what_is_drawn(self, coco: Path) -> None:
        recipe = recipe_for(coco, data=[{"path": str(coco), "weight": 3.0}, {"path": str(coco), "labels": {"dog": 0}}])
        targets = list_targets(recipe)
        probabilities = chances(recipe, targets, recipe.sampling)
        assert len(targets) == 12
        assert probabilities[:6].sum() == pytest.approx(0.75)
        assert probabilities.sum() == pytest.approx(1.0)

    def test_a_part_is_never_asked_for_by_one_click(self) -> None:
        target, others = disc(64, 64, 20, 20, 8), disc(64, 64, 40, 30, 15)
        for seed in range(20):
            rng = np.random.default_rng(seed)
            clicks = opening(target, np.zeros_like(target), others, True, True, False, rng)
            assert any(not c.positive for c in clicks)
            assert clicks[0].positive

    def test_scenes_of_two_photographs_keep_what_is_left_of_the_object(self, coco: Path) -> None:
        plain, composed = (Crops(recipe_for(coco, crop={"size": 64, "paste": share})) for share in (0.0, 1.0))
        fewer = 0
        for number in range(40):
            before, after = plain[number], composed[number]
            was, left = before.target[0].numpy() > 0, after.target[0].numpy() > 0
            assert not (left & ~was).any()
            assert left.sum() >= LEFT * was.sum()
            fewer += int(left.sum() < was.sum())
            # Away from its edge, which is softened, the object looks as it did; around it is another photograph.
            deep = cv2.erode(left.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
            assert (after.image[:, deep] == before.image[:, deep]).all()
            for click in after.prompt.clicks:
                assert bool(left[int(click.y), int(click.x)]) == click.positive
        changed = [(plain[n].image != composed[n].image).any().item() for n in range(40)]
        assert sum(changed) > 20
        assert fewer > 2

    def test_parts_can_be_drawn_for_drags_alone_and_then_need_no_other_click(self, coco: Path) -> None:
        content = json.loads(coco.read_text())
        for whole in list(content["annotations"]):
            x, y = whole["segmentation"][0][:2]
            part = {**whole, "id": whole["id"] + 10, "segmentation": polygon_of(x + 10, y + 10, 14, 14)}
            content["annotations"].append(part)
        coco.write_text(json.dumps(content))
        crops = Crops(
            recipe_for(
                coco, crop={"size": 64, "whole_photo": 1.0}, clicks={"drag": 0.5, "several_first": 0.0},
                sampling={"part": 0.0, "dragged_part": 1.0, "full_area": 0.0},
            )
        )  # fmt: skip
        drawn = [crops[number] for number in range(40)]
        small = [crop for crop in drawn if crop.target.float().mean() < 0.06]
        assert 3 < len(small) < 25
        assert all(crop.drags and len(crop.prompt.clicks) == 1 for crop in small)

    def test_dragged_clicks_carry_a_radius(self) -> None:
        target = disc(64, 64, 30, 30, 20)
        nothing = np.zeros_like(target)
        (click,) = opening(target, nothing, nothing, False, False, True, np.random.default_rng(2))
        assert click.radius is not None
        depth = 20 - math.hypot(click.x - 30, click.y - 30)
        assert click.radius == pytest.approx(depth, rel=0.6, abs=2)

    def test_a_correction_is_added_where_the_mask_is_wrong(self) -> None:
        target, predicted = disc(64, 64, 30, 30, 20), disc(64, 64, 30, 30, 10)
        settings = Clicks(no_new_click=0.0)
        rng = np.random.default_rng(0)
        prompt = correct(Prompt((Click(30, 30),)), target, predicted, np.zeros_like(target), False, settings, rng)
        added = prompt.clicks[-1]
        assert len(prompt) == 2
        assert added.positive
        assert target[int(added.y), int(added.x)]
        assert not predicted[int(added.y), int(added.x)]


class TestLoop:
    def test_the_schedule_warms_up_and_ends_low(self, coco: Path) -> None:
        recipe = recipe_for(coco, optimiser={"lr": 1.0, "warmup_steps": 10, "final": 0.1})
        assert learning_rate(recipe, 0, 0.0) == pytest.approx(0.1)
        assert learning_rate(recipe, 50, 0.5) == pytest.approx(0.55)
        assert learning_rate(recipe, 99, 1.0) == pytest.approx(0.1)

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
        recipe = recipe_for(coco, clicks={"rounds": 2})
        crops = Crops(recipe)
        batch = collate([crops[i] for i in range(4)])
        model = Saywhere(**SMALL).train()
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        history = []
        for _ in range(15):
            (loss,) = losses_of(model, batch, recipe, launch(recipe), words_of(crops.labels))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            history.append(loss.item())
        assert history[-1] < 0.6 * history[0]

    def test_learning_after_every_round_takes_a_loss_of_each(self, coco: Path) -> None:
        torch.manual_seed(0)
        settings = {"rounds": 3, "robot": "protocol", "update_each": True}
        crops = Crops(recipe_for(coco, clicks=settings))
        model = Saywhere(**SMALL).train()
        counts = set()
        for seed in range(6):
            recipe = recipe_for(coco, clicks=settings).model_copy(update={"seed": seed})
            taken = 0
            for loss in losses_of(model, collate([crops[0], crops[1]]), recipe, launch(recipe), words_of([])):
                loss.backward()  # fails if a round went back through what an earlier one has released
                taken += 1
            counts.add(taken)
        assert len(counts) > 1
        assert counts <= {1, 2, 3}

    def test_parts_that_take_turns_learn_what_the_batch_does(self, coco: Path) -> None:
        """Clicks worked out by other processes are the same, and so is the gradient, but for rounding."""
        model = {"name": "saywhere", "options": SMALL, "still_norms": True}
        # With this seed the first step has three rounds, so that clicks are worked out twice.
        settings = {"seed": 1, "batch": 4, "clicks": {"rounds": 3, "no_previous": 0.0, "blurred_previous": 0.0}}
        moved = []
        for more in ({}, {"parts": 2, "robots": 2}):
            recipe = recipe_for(coco, model=model, optimiser={"warmup_steps": 0, "lr": 1e-4}, **settings, **more)
            torch.manual_seed(0)
            learner = Learner(recipe, launch(recipe), crops := Crops(recipe))
            learner.model.aspp.project[3].p = 0.0  # no dropout
            batch = collate([crops[i] for i in range(4)])
            loss = learner.learn(batch, 0.0)
            if learner.robots is not None:
                assert len(learner.robots.pool._processes) > 0
                learner.robots.end()
            moved.append((loss, torch.cat([p.detach().flatten() for p in learner.model.parameters()])))
        assert moved[0][0] == pytest.approx(moved[1][0], rel=1e-4)
        assert torch.allclose(moved[0][1], moved[1][1], atol=2e-5)

    def test_robots_end_with_their_training(self, coco: Path, tmp_path: Path) -> None:
        before = set(multiprocessing.active_children())
        train(recipe_for(coco, batch=4, robots=2, parts=2, clicks={"rounds": 4}), tmp_path / "run")
        assert set(multiprocessing.active_children()) <= before

    def test_robots_end_with_the_process_that_made_them(self, coco: Path, tmp_path: Path) -> None:
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe_for(coco, robots=2, steps=100_000).model_dump(mode="json")))
        command = [sys.executable, "-m", "saywhere.cli", "train", str(file), "--out", str(tmp_path / "run")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            of = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            children: list[str] = []
            for _ in range(600):
                children = of.read_text().split()
                if len(children) >= 2:
                    break
                time.sleep(0.1)
            assert len(children) == 2
            time.sleep(0.5)
        finally:
            process.kill()
            process.wait()
        for _ in range(100):
            if not any(Path(f"/proc/{child}").exists() for child in children):
                return
            time.sleep(0.1)
        pytest.fail("robots outlived their training")

    @pytest.mark.parametrize(("who", "count"), [("protocol", 1), ("tap", 1)])
    def test_some_robots_begin_with_one_click_on_the_object(self, coco: Path, who: str, count: int) -> None:
        crops = Crops(recipe_for(coco, clicks={"robot": who, "drag": 1.0}))
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
        still = [k for k in before if k.startswith("encoder.blocks.0.0.conv")]
        assert still
        assert all(torch.equal(before[k].half().float(), after[k]) for k in still)
        moved = [k for k in before if k.startswith("head") and before[k].is_floating_point()]
        assert any(not torch.equal(before[k].half().float(), after[k]) for k in moved)

    @pytest.mark.parametrize("still", [True, False])
    def test_still_norms_keep_their_statistics_while_weights_learn(self, coco: Path, still: bool) -> None:
        model = {"name": "saywhere", "options": SMALL, "still_norms": still}
        recipe = recipe_for(coco, model=model)
        fabric, crops = launch(recipe), Crops(recipe)
        learner = Learner(recipe, fabric, crops)
        before = {k: v.clone() for k, v in learner.model.state_dict().items() if not k.startswith("encoder.")}
        learner.learn(next(iter(loader(crops, 0, fabric))), 0.0)
        moved = {k for k, v in before.items() if not torch.equal(v, learner.model.state_dict()[k])}
        assert "head.0.0.weight" in moved
        assert "head.0.1.bias" in moved
        assert ("head.0.1.running_var" in moved) is not still

    def test_weights_say_where_they_come_from(self, coco: Path, tmp_path: Path) -> None:
        facts = load_model(train(recipe_for(coco), tmp_path / "run")).facts
        assert facts["step"] == 4
        assert facts["data"] == [str(coco)]
        assert facts["recipe"]["batch"] == 2

    def test_a_run_is_not_overwritten_nor_resumed_from_nothing(self, coco: Path, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="no checkpoint"):
            train(recipe_for(coco), tmp_path / "run", resume=True)
        train(recipe_for(coco), tmp_path / "run")
        with pytest.raises(SaywhereError, match="--resume"):
            train(recipe_for(coco), tmp_path / "run")

    def test_two_processes_learn_one_network(self, coco: Path, tmp_path: Path) -> None:
        recipe = recipe_for(coco, processes=2, batch=4, steps=3)
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        command = [sys.executable, "-m", "saywhere.cli", "train", str(file), "--out", str(tmp_path / "run")]
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
        assert told.count("training on 2 x cpu") == told.count("weights →") == 1
        assert load_model(tmp_path / "run" / WEIGHTS).facts["step"] == 3
        script = tmp_path / "both.py"
        script.write_text(TWO)
        subprocess.run([sys.executable, str(script), str(file)], check=True, timeout=300)

    def test_a_time_limit_ends_the_run(self, coco: Path, tmp_path: Path) -> None:
        started = time.monotonic()
        written = train(recipe_for(coco, steps=100_000), tmp_path / "run", time_limit=3.0)
        assert time.monotonic() - started < 20
        assert 0 < load_model(written).facts["step"] < 100_000

    def test_killed_and_resumed_it_gives_the_same_weights(self, coco: Path, tmp_path: Path) -> None:
        """A real process, killed with SIGKILL in the middle, goes on to the very weights of one that was not."""
        content = recipe_for(coco, steps=12, checkpoint_minutes=1e-9, workers=1).model_dump(mode="json")
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(content))

        def start(out: str, *more: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "saywhere.cli", "train", str(recipe), "--out", str(tmp_path / out), *more]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)

        assert start("whole").wait(300) == 0
        killed, checkpoint = start("killed"), tmp_path / "killed" / CHECKPOINT
        while killed.poll() is None:
            if checkpoint.exists() and read_tensors(checkpoint)[1]["step"] >= 3:
                os.killpg(killed.pid, signal.SIGKILL)
                killed.wait()
        step = read_tensors(checkpoint)[1]["step"]
        assert 3 <= step < 12
        assert start("killed", "--resume").wait(300) == 0
        for name in (WEIGHTS, CHECKPOINT):
            whole, parts = (read_tensors(tmp_path / run / name)[0] for run in ("whole", "killed"))
            assert whole.keys() == parts.keys()
            assert [k for k in whole if not torch.equal(whole[k], parts[k])] == []


class TestExtending:
    def test_a_recipe_takes_what_it_does_not_say(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text("model: {name: saywhere}\ndata: [{path: a}]\ncrop: {size: 96, cache: 7}\n")
        (tmp_path / "own.yaml").write_text("extends: base.yaml\ncrop: {size: 128}\nsteps: 5\n")
        recipe = read_recipe(tmp_path / "own.yaml")
        assert (recipe.crop.size, recipe.crop.cache, recipe.steps, recipe.data[0].path) == (128, 7, 5, "a")

    def test_a_circle_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
        (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
        with pytest.raises(SaywhereError, match="extends itself"):
            read_recipe(tmp_path / "a.yaml")

    @pytest.mark.parametrize(
        "path", sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml")), ids=lambda p: p.stem
    )
    def test_every_recipe_can_be_read(self, path: Path) -> None:
        assert read_recipe(path).data
