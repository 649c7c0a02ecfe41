"""DCT-Net: its equations by hand, the effect of its parts on the mask, and the same parts in our network."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.base import InteractiveModel
from saywhere.models.dctnet import DCTNet
from saywhere.models.layers.clicks import RadiusHead, aggregate, click_context, sample_at_clicks
from saywhere.models.saywhere import Saywhere
from saywhere.models.targets import PhraseSupervision
from saywhere.text.words import shipped_words

TINY: dict[str, Any] = {"backbone": "mobilenetv2_050", "channels": 16, "hidden": 8}
OURS: dict[str, Any] = {"widths": (8, 8, 16, 16), "key": 8}
CPU = torch.device("cpu")
FIRST, SECOND, OFF = Click(10, 12), Click(40, 44), Click(50, 9, False)


def logits_for(model: InteractiveModel, *clicks: Click) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.inference_mode():
        return model.eval()(torch.rand(1, 3, 64, 64), [Prompt(clicks)])


class TestAggregation:
    def test_a_positive_click_and_one_rejection_by_hand(self) -> None:
        # Equation 3: f1 = Q1 = (3, 4); Q2 = (1, 0) is negative, f1 . Q2 = 3, so f2 = (3, 4) - 3 (1, 0).
        f = aggregate(torch.tensor([[[3.0, 4.0], [1.0, 0.0]]]), torch.tensor([[1.0, 0.0]]))
        assert f.tolist() == [[0.0, 4.0]]

    def test_two_positive_clicks_are_averaged_and_the_order_matters(self) -> None:
        vectors = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
        assert aggregate(vectors, torch.tensor([[1.0, 1.0]])).tolist() == [[2.0, 2.0]]
        # The rejection comes first, when the vector is still 0.
        assert aggregate(vectors.flip(1), torch.tensor([[0.0, 1.0]])).tolist() == [[3.0, 4.0]]

    def test_rejection_removes_the_clicks_direction_whatever_its_length(self) -> None:
        f = aggregate(torch.tensor([[[3.0, 4.0], [0.0, 5.0]]]), torch.tensor([[1.0, 0.0]]))
        assert f.tolist() == [[3.0, 0.0]]

    def test_padding_rows_do_not_count(self) -> None:
        vectors = torch.tensor([[[3.0, 4.0], [9.0, 9.0]], [[1.0, 0.0], [0.0, 1.0]]])
        assert aggregate(vectors, torch.tensor([[1.0, -1.0], [1.0, 1.0]])).tolist() == [[3.0, 4.0], [0.5, 0.5]]
        assert aggregate(vectors, torch.tensor([[-1.0, -1.0], [1.0, -1.0]])).tolist() == [[0.0, 0.0], [1.0, 0.0]]

    def test_features_are_sampled_under_the_clicks(self) -> None:
        x = torch.arange(12.0).reshape(1, 1, 3, 4)
        # Stride 8: pixel (11.5, 19.5) is the centre of cell (2, 1); (15.5, 19.5) lies half-way to the next cell.
        sampled = sample_at_clicks(x, [Prompt((Click(11.5, 19.5), Click(15.5, 19.5)))], 8)
        assert sampled[0, :, 0].tolist() == pytest.approx([9.0, 9.5])


class TestRadius:
    def test_the_context_of_a_click(self) -> None:
        assert click_context(FIRST, ()) == (1.0, 0.0, 0.0)
        sign, has_earlier, distance = click_context(Click(13, 16, False), (FIRST, SECOND))
        assert (sign, has_earlier, distance) == (-1.0, 1.0, pytest.approx(math.log(5.0) / 5.0))

    def test_a_drag_keeps_its_radius_and_a_click_gets_the_predicted_one(self) -> None:
        head = RadiusHead(4)
        dragged = Click(3, 3, True, 7.0)
        (with_radii,) = head.predict_radii(torch.rand(1, 2, 4), [Prompt((dragged, FIRST))])
        assert with_radii.clicks[0] == dragged
        assert (with_radii.clicks[1].x, with_radii.clicks[1].y) == (FIRST.x, FIRST.y)
        assert with_radii.clicks[1].radius is not None
        assert with_radii.clicks[1].radius >= 1.0

    def test_it_learns_only_from_drags(self) -> None:
        torch.manual_seed(0)
        head, clicked = RadiusHead(4), torch.rand(2, 1, 4)
        assert head.loss(clicked, [Prompt((FIRST,))] * 2).item() == 0.0
        prompts = [Prompt((Click(1, 1, True, 5.0),)), Prompt((Click(1, 1, True, 90.0),))]
        optimiser = torch.optim.Adam(head.parameters(), 0.02)
        for _ in range(200):
            optimiser.zero_grad()
            head.loss(clicked, prompts).backward()
            optimiser.step()
        radii = [p.clicks[0].radius for p in head.predict_radii(clicked, [Prompt((Click(1, 1),))] * 2)]
        assert radii == pytest.approx([5.0, 90.0], rel=0.1)


class TestNetwork:
    @pytest.mark.parametrize("spatial", [False, True])
    @pytest.mark.parametrize("feature", [False, True])
    def test_every_ablation_segments_and_learns(self, spatial: bool, feature: bool) -> None:
        model = DCTNet(**TINY, spatial=spatial, feature=feature).train()
        prompts = [Prompt((Click(9, 9, True, 5.0), OFF)), Prompt((SECOND,))]
        features = model.encode(torch.rand(2, 3, 64, 64))
        logits = model.decode(features, prompts, None)
        (
            logits.square().mean()
            + model.auxiliary_loss(features, prompts, [PhraseSupervision((), None)] * 2, shipped_words())
        ).backward()
        assert logits.shape == (2, 1, 64, 64)
        assert all(p.grad is not None for p in model.parameters())

    def test_the_order_of_clicks_matters_and_decoding_has_no_memory(self) -> None:
        torch.manual_seed(0)
        model = DCTNet(**TINY)
        clicks = Click(9, 9, True, 5.0), Click(40, 44, True, 5.0), Click(50, 9, False, 5.0)
        assert not torch.equal(logits_for(model, *clicks), logits_for(model, clicks[0], clicks[2], clicks[1]))
        before = logits_for(model, *clicks[:2])
        logits_for(model, *clicks)
        assert torch.equal(logits_for(model, *clicks[:2]), before)
        without = DCTNet(**TINY, feature=False)
        assert torch.equal(logits_for(without, *clicks), logits_for(without, clicks[2], *clicks[:2]))

    def test_the_radius_matters_only_with_spatial_dct(self) -> None:
        torch.manual_seed(0)
        small, large = Click(30, 30, True, 3.0), Click(30, 30, True, 20.0)
        spatial, distances = DCTNet(**TINY), DCTNet(**TINY, spatial=False)
        assert not torch.equal(logits_for(spatial, small), logits_for(spatial, large))
        assert torch.equal(logits_for(distances, small), logits_for(distances, large))

    def test_an_unknown_backbone_is_an_error(self) -> None:
        with pytest.raises(SaywhereError, match="resnet51"):
            DCTNet(backbone="resnet51")


class TestOurs:
    def test_feature_dct_learns_and_adds_parameters(self) -> None:
        torch.manual_seed(0)
        model = Saywhere(**OURS, feature_dct=True).train()
        plain = Saywhere(**OURS)
        assert sum(p.numel() for p in model.parameters()) > sum(p.numel() for p in plain.parameters())
        prompts = [Prompt((Click(9, 9, True, 5.0), OFF)), Prompt((FIRST, SECOND))]
        features = model.encode(torch.rand(2, 3, 64, 64))
        logits = model.decode(features, prompts, None)
        (
            logits.square().mean()
            + model.auxiliary_loss(features, prompts, [PhraseSupervision((), None)] * 2, shipped_words())
        ).backward()
        without_gradient = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert without_gradient == []

    def test_with_feature_dct_the_order_of_clicks_matters(self) -> None:
        torch.manual_seed(0)
        model, without = Saywhere(**OURS, feature_dct=True), Saywhere(**OURS)
        torch.nn.init.normal_(model.film[-1].weight)
        assert not torch.equal(logits_for(model, FIRST, SECOND, OFF), logits_for(model, FIRST, OFF, SECOND))
        assert torch.equal(logits_for(without, FIRST, SECOND, OFF), logits_for(without, FIRST, OFF, SECOND))

    def test_feature_dct_uses_the_radius_of_the_first_click(self) -> None:
        model = Saywhere(**OURS, feature_dct=True).eval()
        radius_inputs: list[list[float]] = []
        model.film.register_forward_pre_hook(lambda module, inputs: radius_inputs.append(inputs[0][0, -2:].tolist()))
        logits_for(model)
        logits_for(model, FIRST, Click(1, 1, True, 9.0))
        logits_for(model, Click(1, 1, True, math.exp(2.5)), FIRST)
        assert radius_inputs == [[0.0, 0.0], [0.0, 0.0], [1.0, pytest.approx(0.5)]]
