"""DCT-Net's equations by hand, and what its parts do to an answer; the same parts in our network."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.base import InteractiveModel
from saywhere.models.dctnet import DCTNet
from saywhere.models.layers.clicks import RadiusHead, aggregate, at_clicks, known_of
from saywhere.models.saywhere import Saywhere
from saywhere.models.targets import PhraseSupervision
from saywhere.text.words import shipped_words

TINY: dict[str, Any] = {"backbone": "mobilenetv2_050", "channels": 16, "hidden": 8}
OURS: dict[str, Any] = {"widths": (8, 8, 16, 16), "key": 8}
CPU = torch.device("cpu")
FIRST, SECOND, OFF = Click(10, 12), Click(40, 44), Click(50, 9, False)


def answer(model: InteractiveModel, *clicks: Click) -> torch.Tensor:
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
        # The rejection first finds nothing to take away.
        assert aggregate(vectors.flip(1), torch.tensor([[0.0, 1.0]])).tolist() == [[3.0, 4.0]]

    def test_rejection_leaves_nothing_along_the_click_whatever_its_length(self) -> None:
        f = aggregate(torch.tensor([[[3.0, 4.0], [0.0, 5.0]]]), torch.tensor([[1.0, 0.0]]))
        assert f.tolist() == [[3.0, 0.0]]

    def test_filled_up_rows_do_not_count(self) -> None:
        vectors = torch.tensor([[[3.0, 4.0], [9.0, 9.0]], [[1.0, 0.0], [0.0, 1.0]]])
        assert aggregate(vectors, torch.tensor([[1.0, -1.0], [1.0, 1.0]])).tolist() == [[3.0, 4.0], [0.5, 0.5]]
        assert aggregate(vectors, torch.tensor([[-1.0, -1.0], [1.0, -1.0]])).tolist() == [[0.0, 0.0], [1.0, 0.0]]

    def test_features_are_those_under_the_click(self) -> None:
        x = torch.arange(12.0).reshape(1, 1, 3, 4)
        # Stride 8: pixel (11.5, 19.5) is the centre of cell (2, 1); (15.5, 19.5) lies between it and its neighbour.
        found = at_clicks(x, [Prompt((Click(11.5, 19.5), Click(15.5, 19.5)))], 8)
        assert found[0, :, 0].tolist() == pytest.approx([9.0, 9.5])


class TestRadius:
    def test_what_is_known_of_a_click(self) -> None:
        assert known_of(FIRST, ()) == (1.0, 0.0, 0.0)
        sign, several, near = known_of(Click(13, 16, False), (FIRST, SECOND))
        assert (sign, several, near) == (-1.0, 1.0, pytest.approx(math.log(5.0) / 5.0))

    def test_a_dragged_radius_stays_and_a_missing_one_is_predicted(self) -> None:
        head = RadiusHead(4)
        dragged = Click(3, 3, True, 7.0)
        (wide,) = head.widen(torch.rand(1, 2, 4), [Prompt((dragged, FIRST))])
        assert wide.clicks[0] == dragged
        assert (wide.clicks[1].x, wide.clicks[1].y) == (FIRST.x, FIRST.y)
        assert wide.clicks[1].radius is not None
        assert wide.clicks[1].radius >= 1.0

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
        radii = [p.clicks[0].radius for p in head.widen(clicked, [Prompt((Click(1, 1),))] * 2)]
        assert radii == pytest.approx([5.0, 90.0], rel=0.1)


class TestNetwork:
    @pytest.mark.parametrize("spatial", [False, True])
    @pytest.mark.parametrize("feature", [False, True])
    def test_every_ablation_answers_and_learns(self, spatial: bool, feature: bool) -> None:
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

    def test_the_order_of_clicks_matters_and_undo_undoes_it(self) -> None:
        torch.manual_seed(0)
        model = DCTNet(**TINY)
        clicks = Click(9, 9, True, 5.0), Click(40, 44, True, 5.0), Click(50, 9, False, 5.0)
        assert not torch.equal(answer(model, *clicks), answer(model, clicks[0], clicks[2], clicks[1]))
        before = answer(model, *clicks[:2])
        answer(model, *clicks)
        assert torch.equal(answer(model, *clicks[:2]), before)
        without = DCTNet(**TINY, feature=False)
        assert torch.equal(answer(without, *clicks), answer(without, clicks[2], *clicks[:2]))

    def test_the_radius_matters_only_where_it_is_drawn(self) -> None:
        torch.manual_seed(0)
        near, far = Click(30, 30, True, 3.0), Click(30, 30, True, 20.0)
        spatial, distances = DCTNet(**TINY), DCTNet(**TINY, spatial=False)
        assert not torch.equal(answer(spatial, near), answer(spatial, far))
        assert torch.equal(answer(distances, near), answer(distances, far))

    def test_a_wrong_backbone_is_named(self) -> None:
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
        unreached = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert unreached == []

    def test_feature_dct_minds_the_order(self) -> None:
        torch.manual_seed(0)
        model, without = Saywhere(**OURS, feature_dct=True), Saywhere(**OURS)
        torch.nn.init.normal_(model.film[-1].weight)
        assert not torch.equal(answer(model, FIRST, SECOND, OFF), answer(model, FIRST, OFF, SECOND))
        assert torch.equal(answer(without, FIRST, SECOND, OFF), answer(without, FIRST, OFF, SECOND))

    def test_feature_dct_sees_the_radius_of_the_first_drag(self) -> None:
        model = Saywhere(**OURS, feature_dct=True).eval()
        seen: list[list[float]] = []
        model.film.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][0, -2:].tolist()))
        answer(model)
        answer(model, FIRST, Click(1, 1, True, 9.0))
        answer(model, Click(1, 1, True, math.exp(2.5)), FIRST)
        assert seen == [[0.0, 0.0], [0.0, 0.0], [1.0, pytest.approx(0.5)]]
