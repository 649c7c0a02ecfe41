from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from recipes import recipe_for

from conftest import disc, polygon_of
from saywhere import Click, Prompt
from saywhere.core.rle import RunLengths
from saywhere.data.datasets.parts import lies_inside_another
from saywhere.training.augment import crop_transform, warp, warp_box
from saywhere.training.batch import collate
from saywhere.training.corrections import correct
from saywhere.training.crops import MIN_VISIBLE
from saywhere.training.dataset import CropDataset
from saywhere.training.first_clicks import initial_clicks
from saywhere.training.loader import use_one_thread
from saywhere.training.recipe_parts import ClicksRecipe
from saywhere.training.targets import list_targets, sampling_probabilities


class TestCrops:
    def test_a_crop_depends_on_its_number_alone(self, coco: Path) -> None:
        one, two = CropDataset(recipe_for(coco)), CropDataset(recipe_for(coco))
        for _ in range(3):
            two[0]
        a, b = one[17], two[17]
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.target, b.target)
        assert a.prompt == b.prompt
        assert not torch.equal(a.image, one[18].image)

    def test_mask_and_photograph_move_together(self, coco: Path) -> None:
        crops = CropDataset(recipe_for(coco))
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
        crops = CropDataset(recipe_for(coco, crop={"size": 64, "cached_images": 100}))
        crops.read_all()
        read = crops.read.cache_info().misses
        for number in range(40):
            crops[number]
        assert crops.read.cache_info().misses == read == len({t.sample.image_path for t in crops.targets})

    def test_a_sample_leaves_the_process_as_it_is_and_a_loader_computes_on_one_thread(self, coco: Path) -> None:
        before = cv2.getNumThreads()
        try:
            cv2.setNumThreads(2)
            CropDataset(recipe_for(coco))[0]
            assert cv2.getNumThreads() == 2
            use_one_thread(0)
            assert cv2.getNumThreads() == 1
        finally:
            cv2.setNumThreads(before)

    def test_a_batch_splits_into_parts_that_make_it_up(self, coco: Path) -> None:
        crops = CropDataset(recipe_for(coco))
        batch = collate([crops[i] for i in range(5)])
        parts = batch.split(2)
        assert [len(part.prompts) for part in parts] == [2, 3]
        assert torch.equal(torch.cat([part.image for part in parts]), batch.image)
        assert [n for part in parts for n in part.numbers] == batch.numbers
        assert len(batch.split(9)) == 5

    def test_parts_are_found_by_lying_inside(self) -> None:
        whole, part, apart = np.zeros((3, 40, 40), np.uint8)
        whole[5:35, 5:35], part[10:15, 10:15], apart[36:39, 0:20] = 1, 1, 1
        regions = [RunLengths.from_mask(mask) for mask in (whole, part, apart)]
        assert lies_inside_another(regions).tolist() == [False, True, False]

    def test_weights_decide_what_is_drawn(self, coco: Path) -> None:
        recipe = recipe_for(
            coco, data=[{"path": str(coco), "weight": 3.0}, {"path": str(coco), "label_weights": {"dog": 0}}]
        )
        targets = list_targets(recipe)
        probabilities = sampling_probabilities(recipe, targets, recipe.sampling)
        assert len(targets) == 12
        assert probabilities[:6].sum() == pytest.approx(0.75)
        assert probabilities.sum() == pytest.approx(1.0)

    def test_a_part_is_never_asked_for_by_one_click(self) -> None:
        target, others = disc(64, 64, 20, 20, 8), disc(64, 64, 40, 30, 15)
        for seed in range(20):
            rng = np.random.default_rng(seed)
            clicks = initial_clicks(target, np.zeros_like(target), others, True, True, False, rng)
            assert any(not c.positive for c in clicks)
            assert clicks[0].positive

    def test_scenes_of_two_photographs_keep_what_is_left_of_the_object(self, coco: Path) -> None:
        plain, composed = (
            CropDataset(recipe_for(coco, crop={"size": 64, "copy_paste_prob": share})) for share in (0.0, 1.0)
        )
        fewer = 0
        for number in range(40):
            before, after = plain[number], composed[number]
            was, left = before.target[0].numpy() > 0, after.target[0].numpy() > 0
            assert not (left & ~was).any()
            assert left.sum() >= MIN_VISIBLE * was.sum()
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
        crops = CropDataset(
            recipe_for(
                coco, crop={"size": 64, "full_image_prob": 1.0}, clicks={"drag_prob": 0.5, "multi_click_prob": 0.0},
                sampling={"part_weight": 0.0, "dragged_part_weight": 1.0, "small_area": 0.0},
            )
        )  # fmt: skip
        drawn = [crops[number] for number in range(40)]
        small = [crop for crop in drawn if crop.target.float().mean() < 0.06]
        assert 3 < len(small) < 25
        assert all(crop.drags and len(crop.prompt.clicks) == 1 for crop in small)

    def test_dragged_clicks_carry_a_radius(self) -> None:
        target = disc(64, 64, 30, 30, 20)
        nothing = np.zeros_like(target)
        (click,) = initial_clicks(target, nothing, nothing, False, False, True, np.random.default_rng(2))
        assert click.radius is not None
        depth = 20 - math.hypot(click.x - 30, click.y - 30)
        assert click.radius == pytest.approx(depth, rel=0.6, abs=2)

    def test_a_correction_is_added_where_the_mask_is_wrong(self) -> None:
        target, predicted = disc(64, 64, 30, 30, 20), disc(64, 64, 30, 30, 10)
        settings = ClicksRecipe(no_new_click_prob=0.0)
        rng = np.random.default_rng(0)
        prompt = correct(Prompt((Click(30, 30),)), target, predicted, np.zeros_like(target), False, settings, rng)
        added = prompt.clicks[-1]
        assert len(prompt) == 2
        assert added.positive
        assert target[int(added.y), int(added.x)]
        assert not predicted[int(added.y), int(added.x)]
