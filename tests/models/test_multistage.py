"""Multi-Stage Fusion: its loss by hand, its random clicks, its training phases and the prompts that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from saywhere import Click, Prompt, SaywhereError, Segmenter
from saywhere.core import robot
from saywhere.models import losses
from saywhere.models.multistage import MultiStage, single_positive_click
from saywhere.runtime.torch import TorchRuntime
from saywhere.training.initialise import expand
from saywhere.training.schedule import freeze_batch_norm

TINY: dict[str, Any] = {"backbone": "mobilenetv2_050", "channels": 16, "late_channels": 16}
CLICK = Prompt((Click(20, 30),))


def test_class_weights_by_hand() -> None:
    # Two images of four pixels; 2 of the 8 pixels are object and weigh 0.5 * 8 / 2 each, a background pixel weighs
    # 0.5 * 8 / 6. At logits 0 every pixel costs log 2.
    target = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]).reshape(2, 1, 2, 2)
    counted = torch.ones_like(target)
    loss = losses.class_balanced_bce(torch.zeros_like(target), target, counted)
    assert loss[:, 0].tolist() == pytest.approx([np.log(2.0) * (2.0 + 3 * 2 / 3) / 4] * 2)
    wrong = torch.where(target > 0, -30.0, 30.0)
    # All wrong object pixels together cost as much as all wrong background pixels.
    costs = [
        losses.class_balanced_bce(torch.where(region, wrong, -wrong), target, counted).sum()
        for region in (target > 0, target < 1)
    ]
    assert costs[0].item() == pytest.approx(costs[1].item())


def test_class_weights_of_a_batch_without_object() -> None:
    target = torch.zeros(1, 1, 2, 2)
    assert torch.isfinite(losses.class_balanced_bce(target, target, torch.ones_like(target))).all()


class TestTap:
    def test_it_is_near_the_centre_and_on_the_object(self) -> None:
        mask = np.zeros((80, 120), bool)
        mask[20:60, 30:90] = True
        rng = np.random.default_rng(0)
        taps = [robot.tap(mask, rng, jitter=10.0) for _ in range(200)]
        assert all(mask[int(t.y), int(t.x)] for t in taps)
        assert max(abs(t.x - 59.5) for t in taps) <= 10.5
        assert np.std([t.x for t in taps]) > 3.0

    def test_on_a_ring_the_tap_is_moved_onto_it(self) -> None:
        rows, columns = np.mgrid[:101, :101]
        distance = np.hypot(rows - 50, columns - 50)
        ring = (distance > 40) & (distance < 44)
        tap = robot.tap(ring, np.random.default_rng(0), jitter=5.0)
        assert ring[int(tap.y), int(tap.x)]

    def test_an_empty_target_is_an_error(self) -> None:
        with pytest.raises(SaywhereError, match="empty target"):
            robot.tap(np.zeros((3, 3), bool), np.random.default_rng(0))


class TestPrompt:
    def test_only_one_positive_click_is_allowed(self) -> None:
        assert single_positive_click(CLICK) == CLICK.clicks
        assert single_positive_click(Prompt()) == ()
        with pytest.raises(SaywhereError, match=r"negative click.*one positive click"):
            single_positive_click(Prompt((Click(1, 1, False),)))
        with pytest.raises(SaywhereError, match=r"2 clicks.*one positive click"):
            single_positive_click(Prompt((Click(1, 1), Click(2, 2))))

    def test_a_click_that_is_an_error_changes_nothing(self) -> None:
        torch.manual_seed(0)
        segmenter = Segmenter(TorchRuntime(MultiStage(**TINY), "multistage")).set_image(np.zeros((64, 64, 3), np.uint8))
        mask = segmenter.click(20, 30)
        with pytest.raises(SaywhereError, match="one positive click"):
            segmenter.click(5, 5, positive=False)
        assert segmenter.mask is mask
        assert segmenter.prompt == CLICK


class TestFusion:
    def test_only_the_baseline_ignores_the_click(self) -> None:
        image = torch.rand(1, 3, 64, 64)
        for fusion, uses_click in (("none", False), ("early", True), ("multi", True)):
            torch.manual_seed(0)
            model = MultiStage(**TINY, fusion=fusion).eval()
            with torch.inference_mode():
                logits = [model(image, [Prompt((Click(x, 30),))]) for x in (5, 50)]
            assert torch.equal(*logits) != uses_click, fusion

    def test_unknown_ablations_are_errors(self) -> None:
        with pytest.raises(SaywhereError, match=r"late.*early"):
            MultiStage(**TINY, fusion="late")
        with pytest.raises(SaywhereError, match=r"squares.*gaussian"):
            MultiStage(**TINY, guidance="squares")

    def test_phase_two_starts_with_the_masks_of_phase_one_and_trains_no_encoder(self) -> None:
        torch.manual_seed(0)
        early = MultiStage(**TINY, fusion="early").eval()
        multi = MultiStage(**TINY).eval()
        multi.load_state_dict(expand(early.state_dict(), multi.state_dict(), ("late.",)))
        image = torch.rand(1, 3, 64, 64)
        with torch.inference_mode():
            assert torch.allclose(multi(image, [CLICK]), early(image, [CLICK]), atol=1e-5)
        for name, parameter in multi.named_parameters():
            parameter.requires_grad_(not name.startswith("encoder."))
        before = {k: v.clone() for k, v in multi.encoder.state_dict().items()}
        multi.train()
        freeze_batch_norm(multi)
        multi(torch.rand(2, 3, 64, 64), [CLICK, CLICK]).sum().backward()
        assert all(torch.equal(v, multi.encoder.state_dict()[k]) for k, v in before.items())
        assert multi.late is not None
        assert all(p.grad is None for p in multi.encoder.parameters())
