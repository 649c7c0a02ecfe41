"""Several candidate masks for a prompt, and a box as prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.base import Candidates
from saywhere.models.checkpoint import load_model, save_model
from saywhere.models.layers.candidates import CandidateScores, masked_means
from saywhere.models.layers.clicks import ClickTensors, aggregate, similarity
from saywhere.models.layers.guidance import box_map, gaussian_maps
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.export import export_graphs
from saywhere.runtime.torch import TorchRuntime
from saywhere.runtime.weights import load_runtime
from saywhere.training.initialise import initialise
from saywhere.training.recipe_parts import ModelRecipe

SMALL: dict[str, Any] = {"widths": [8, 8, 16, 16], "key": 8, "feature_dct": True}
ALL: dict[str, Any] = {**SMALL, "candidates": 3, "box": True}
CLICKS = Prompt((Click(40, 30, True, 9.0), Click(5, 60, False)))
BOXED = Prompt(CLICKS.clicks, box=(10.0, 12.0, 60.0, 50.0))
CPU = torch.device("cpu")


@pytest.fixture
def image() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(1, 3, 72, 100)


@pytest.fixture
def model() -> Saywhere:
    torch.manual_seed(0)
    network = Saywhere(**ALL).eval()
    assert network.candidate_scores is not None
    torch.nn.init.normal_(network.candidate_scores.last.weight)
    return network


class TestChoice:
    def test_the_highest_predicted_iou_is_chosen(self) -> None:
        logits = torch.randn(2, 3, 4, 5)
        chosen = Candidates(logits, torch.tensor([[0.1, 0.3, 0.2], [0.9, -3.0, 0.8]])).chosen()
        assert torch.equal(chosen, torch.stack([logits[0, 1:2], logits[1, :1]]))

    def test_one_mask_is_returned_as_it_is(self) -> None:
        logits = torch.randn(2, 1, 4, 5)
        assert Candidates(logits, torch.zeros(2, 1)).chosen() is logits

    def test_decode_returns_one_of_the_candidates(self, model: Saywhere, image: Tensor) -> None:
        with torch.no_grad():
            features = model.encode(image)
            logits, scores, _ = model.decode_candidates(features, [BOXED], None)
            chosen = model.decode(features, [BOXED], None)
        assert logits.shape == (1, 3, 72, 100)
        assert scores.shape == (1, 3)
        assert torch.equal(chosen, logits[:, int(scores.argmax())][:, None])
        assert not torch.allclose(logits[:, 0], logits[:, 1])

    def test_a_network_with_one_mask_has_one_candidate(self, image: Tensor) -> None:
        plain = Saywhere(**SMALL).eval()
        with torch.no_grad():
            features = plain.encode(image)
            logits, scores, _ = plain.decode_candidates(features, [CLICKS], None)
            assert torch.equal(logits, plain.decode(features, [CLICKS], None))
        assert scores.tolist() == [[0.0]]
        assert plain.candidate_scores is None
        assert set(plain.state_dict()) == set(Saywhere(**SMALL, candidates=1, box=False).state_dict())

    def test_no_candidate_is_refused(self) -> None:
        with pytest.raises(SaywhereError, match="candidates 0: give 1 or more"):
            Saywhere(**SMALL, candidates=0)

    def test_a_runtime_gives_all_with_scores(self, model: Saywhere) -> None:
        runtime = TorchRuntime(model, "trial", device="cpu")
        assert runtime.capabilities.candidates == 3
        assert runtime.capabilities.boxes
        features = runtime.encode(np.zeros((40, 50, 3), np.uint8))
        logits, scores = runtime.decode_candidates(features, CLICKS, None)
        assert logits.shape == (3, 40, 50)
        assert ((scores > 0) & (scores < 1)).all()
        assert np.array_equal(logits[scores.argmax()], runtime.decode(features, CLICKS, None))


class TestScores:
    def test_means_under_and_outside_a_mask_by_hand(self) -> None:
        maps = torch.arange(4.0).reshape(1, 1, 2, 2)
        masks = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]])
        under, outside = masked_means(maps, masks)
        assert under[0, :, 0].tolist() == [1.5, 0.0]
        assert outside[0, :, 0].tolist() == [1.5, 1.5]
        half = torch.tensor([[[[0.5, 0.0], [0.0, 0.25]]]])
        assert masked_means(maps, half)[0].item() == pytest.approx((0.25 * 3) / 0.75)

    def test_their_loss_does_not_change_what_they_see(self) -> None:
        scores = CandidateScores(3, 6, 2, 5, 1)
        torch.nn.init.normal_(scores.last.weight)
        given = [torch.randn(2, c, s, s, requires_grad=True) for c, s in ((3, 16), (6, 16), (5, 2), (1, 8))]
        predicted = scores(*given)
        assert predicted.shape == (2, 3)
        predicted.square().sum().backward()
        assert all(x.grad is None for x in given)
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in scores.parameters())

    def test_at_first_no_candidate_is_preferred(self) -> None:
        scores = CandidateScores(3, 6, 2, 5, 0)
        given = [torch.randn(2, c, s, s) for c, s in ((3, 16), (6, 16), (5, 2), (0, 8))]
        assert scores(*given).tolist() == [[0.0] * 3] * 2

    def test_they_learn_at_a_rate_of_their_own(self, model: Saywhere) -> None:
        groups = model.parameter_groups(0.1, 5.0)
        assert model.candidate_scores is not None
        own = {id(p) for p in model.candidate_scores.parameters()}
        for group in groups:
            members = {id(p) for p in group["params"]} & own
            assert bool(members) is (group["lr_scale"] == 5.0)
        assert sum(g["lr_scale"] == 5.0 for g in groups) == 2  # with weight decay and without


class TestStart:
    """A network with candidates starts from weights of a network with one mask."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        torch.manual_seed(2)
        save_model(tmp_path / "old.safetensors", Saywhere(**SMALL), "saywhere", SMALL, {})
        return tmp_path / "old.safetensors"

    @pytest.mark.parametrize("as_stage", [False, True])
    def test_the_mean_of_the_candidates_is_the_old_mask(self, old: Path, image: Tensor, as_stage: bool) -> None:
        settings = {"name": "saywhere", "options": ALL, "new": ["candidate_scores"], "weights": str(old)}
        model = initialise(ModelRecipe.model_validate(settings), old if as_stage else None).eval()
        before = load_model(old).model
        with torch.no_grad():
            expected = before(image, [CLICKS])
            # A box prompt is not read yet: its channels have no weight.
            logits, scores, _ = model.decode_candidates(model.encode(image), [BOXED], None)
        assert torch.allclose(logits.mean(1, keepdim=True), expected, atol=1e-5)
        assert not torch.allclose(logits[:, 0], logits[:, 1], atol=1e-5)
        assert scores.tolist() == [[0.0, 0.0, 0.0]]

    def test_as_many_candidates_as_before_stay_as_they_are(self, model: Saywhere, tmp_path: Path) -> None:
        path = tmp_path / "three.safetensors"
        save_model(path, model, "saywhere", ALL, {})
        again = initialise(ModelRecipe.model_validate({"name": "saywhere", "options": ALL}), path)
        assert torch.equal(again.state_dict()["head.1.weight"], load_model(path).model.state_dict()["head.1.weight"])


class TestBoxGuidance:
    def test_the_map_by_hand(self) -> None:
        clicks = ClickTensors.from_prompts([Prompt((Click(1, 1),), box=(2, 4, 10, 8)), Prompt((Click(1, 1),))], CPU)
        drawn = box_map(clicks.points, clicks.labels, (3, 4), 4)
        # Columns 0 to 3 span 0-4, 4-8, 8-12, 12-16 pixels: a half, all, a half, nothing. Row 1 spans 4-8.
        assert drawn[0, 0].tolist() == [[0, 0, 0, 0], [0.5, 1, 0.5, 0], [0, 0, 0, 0]]
        assert drawn[1].abs().sum() == 0

    def test_a_box_beyond_the_image_fills_it(self) -> None:
        clicks = ClickTensors.from_prompts([Prompt(box=(-5, -7, 90, 90))], CPU)
        assert (box_map(clicks.points, clicks.labels, (3, 4), 4) == 1).all()

    def test_corners_are_no_clicks(self) -> None:
        with_box, without = (ClickTensors.from_prompts([p], CPU) for p in (BOXED, CLICKS))
        level = torch.nn.functional.normalize(torch.randn(1, 6, 9, 12), dim=1)
        features = torch.randn(1, 4, 5)
        for of in (
            lambda c: gaussian_maps(c.points, c.labels, torch.full_like(c.radii, 6.0), (18, 25), 4),
            lambda c: similarity(level, c.points, c.labels, 8),
            lambda c: aggregate(features[:, : c.labels.shape[1]], c.labels),
        ):
            assert torch.allclose(of(with_box), of(without), atol=1e-6)

    def test_a_network_without_the_option_ignores_a_box(self, image: Tensor) -> None:
        plain = Saywhere(**SMALL).eval()
        with torch.no_grad():
            assert torch.allclose(plain(image, [BOXED]), plain(image, [CLICKS]), atol=1e-6)

    def test_a_network_with_it_reads_a_box_alone(self, model: Saywhere, image: Tensor) -> None:
        with torch.no_grad():
            one, other = (model(image, [Prompt(box=box)]) for box in ((10, 12, 60, 50), (10, 12, 90, 50)))
        assert not torch.allclose(one, other, atol=1e-5)

    def test_the_shipped_network_reads_a_box(self) -> None:
        runtime = load_runtime()
        features = runtime.encode(np.random.default_rng(0).integers(0, 255, (72, 100, 3), np.uint8))
        assert runtime.capabilities.boxes
        difference = runtime.decode(features, BOXED, None) - runtime.decode(features, CLICKS, None)
        assert np.abs(difference).max() > 0.1


def test_exported_graphs_give_the_chosen_candidate(model: Saywhere, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_model(path, model, "saywhere", ALL, {})
    export_graphs(path, tmp_path / "weights.onnx.zip")
    onnx, torch_runtime = load_runtime(path), load_runtime(path, backend="torch")
    assert onnx.capabilities.backend == "onnxruntime"
    assert onnx.capabilities.boxes
    pixels = np.random.default_rng(0).integers(0, 255, (75, 101, 3), np.uint8)
    for prompt in (CLICKS, BOXED, Prompt(box=(10, 12, 60, 50))):
        expected = torch_runtime.decode(torch_runtime.encode(pixels), prompt, None)
        assert np.abs(onnx.decode(onnx.encode(pixels), prompt, None) - expected).max() < 1e-4
