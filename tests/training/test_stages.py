"""Training a recipe with stages: what each starts from, what is resumed, what results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recipes import SMALL, recipe_for

from saywhere import SaywhereError
from saywhere.models.checkpoint import load_model, read_tensors, save_model
from saywhere.models.saywhere import Saywhere
from saywhere.training.loop import train
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_files import read_recipe
from saywhere.training.stages import CHECKPOINT, WEIGHTS, list_stages, time_shares
from saywhere.training.trainer import Trainer

PHRASES = {"options": {"relevance": ["learned"], "attention": True}}
STAGES = {
    "clicks": {"steps": 2},
    "phrases": {"steps": 3, "model": PHRASES, "phrases": {"phrase_prob": 1.0}, "optimiser": {"lr": 1e-9}},
    "again": {"steps": 2, "after": "phrases", "optimiser": {"lr": 1e-2}},
}


def staged(coco: Path, **changes: Any) -> Recipe:
    return recipe_for(coco, name="three", stages=STAGES, checkpoint_minutes=1e-9, **changes)


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_tensors(path)[0]


def same(one: Path, other: Path) -> bool:
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class TestStages:
    def test_each_starts_from_another_and_the_result_is_their_mean(self, coco: Path, tmp_path: Path) -> None:
        written = train(staged(coco, average=("phrases", "again")), tmp_path)
        assert written == tmp_path / WEIGHTS
        clicks, phrases, again = (tensors(tmp_path / name / WEIGHTS) for name in STAGES)
        # With next to no learning rate a stage ends where it started; what it adds to the network is new.
        assert torch.equal(clicks["head.1.weight"], phrases["head.1.weight"])
        assert not torch.equal(phrases["head.1.weight"], again["head.1.weight"])
        assert not [name for name in clicks if name.startswith("learned_relevance.")]
        assert [name for name in phrases if name.startswith("learned_relevance.")]
        mean = tensors(written)["head.1.weight"].float()
        assert torch.allclose(mean, (phrases["head.1.weight"] + again["head.1.weight"]).float() / 2, atol=1e-3)
        metadata = load_model(written).metadata
        assert metadata["recipe_name"] == metadata["recipe"]["name"] == "three"
        assert metadata["step"] == 2 + 3 + 2
        assert {name: of["step"] for name, of in metadata["stages"].items()} == {"clicks": 2, "phrases": 3, "again": 2}
        assert metadata["options"] == {**SMALL, **PHRASES["options"]}

    def test_one_may_begin_in_the_middle_from_weights_that_it_names(self, coco: Path, tmp_path: Path) -> None:
        start = tmp_path / "start.safetensors"
        torch.manual_seed(0)
        save_model(start, Saywhere(**SMALL), "saywhere", SMALL, {})
        changed = {
            **STAGES,
            "again": {
                **STAGES["again"],
                "model": {"weights": str(start), "new": ["learned_relevance", "attention", "phrase_encoder", "fuse"]},
            },
        }
        recipe = staged(coco).model_copy(update={"stages": changed})
        written = train(recipe, tmp_path / "run", first_stage="again")
        metadata = load_model(written).metadata
        assert {name: of["step"] for name, of in metadata["stages"].items()} == {"again": 2}

    def test_an_interrupted_run_resumes_in_its_stage_with_the_same_result(
        self, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
        train(staged(coco), whole)
        learn = Trainer.learn

        def stop(self: Trainer, *arguments: Any) -> float:
            if self.recipe.steps == 3 and self.step == 2:
                raise KeyboardInterrupt
            return learn(self, *arguments)

        monkeypatch.setattr(Trainer, "learn", stop)
        with pytest.raises(KeyboardInterrupt):
            train(staged(coco), interrupted)
        monkeypatch.undo()
        first = (interrupted / "clicks" / WEIGHTS).stat().st_mtime_ns
        assert read_tensors(interrupted / "phrases" / CHECKPOINT)[1]["step"] == 2
        assert not (interrupted / "phrases" / WEIGHTS).exists()
        train(staged(coco), interrupted, resume=True)
        assert (interrupted / "clicks" / WEIGHTS).stat().st_mtime_ns == first
        assert same(whole / WEIGHTS, interrupted / WEIGHTS)
        # All stages are there: nothing is trained again.
        train(staged(coco), interrupted, resume=True)
        assert same(whole / WEIGHTS, interrupted / WEIGHTS)

    def test_some_stages_run_by_themselves(self, coco: Path, tmp_path: Path) -> None:
        assert train(staged(coco), tmp_path, last_stage="clicks") == tmp_path / "clicks" / WEIGHTS
        assert not (tmp_path / WEIGHTS).exists()
        assert train(staged(coco), tmp_path, first_stage="phrases") == tmp_path / WEIGHTS
        with pytest.raises(SaywhereError, match=r"phrases': holds a checkpoint; add --resume"):
            train(staged(coco), tmp_path, first_stage="phrases")

    def test_a_stage_whose_start_is_missing_is_refused(self, coco: Path, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match=r"stage 'phrases': comes after 'clicks', whose .* is not there"):
            train(staged(coco), tmp_path / "run", first_stage="phrases")
        with pytest.raises(SaywhereError, match="no checkpoint"):
            train(staged(coco), tmp_path / "run", resume=True)
        assert not (tmp_path / "run").exists()

    def test_stages_share_a_time_limit(self, coco: Path, tmp_path: Path) -> None:
        stages = {"one": {"steps": 10_000}, "two": {"steps": 20_000}}
        recipe = recipe_for(coco, stages=stages)
        assert time_shares(list_stages(recipe), 3.0) == [1.0, 2.0]
        train(recipe, tmp_path, time_limit=3.0)
        # A step that has begun is finished, so on a busy machine a stage takes longer than its share.
        for name, share in (("one", 1.0), ("two", 2.0)):
            metadata = read_tensors(tmp_path / name / CHECKPOINT)[1]
            assert share <= metadata["seconds"]
            assert metadata["seconds"] - share < 5.0 * metadata["seconds"] / metadata["step"]


def test_the_recipe_of_our_network_runs_from_its_first_stage_to_its_last(coco: Path, tmp_path: Path) -> None:
    small = ["steps=1", "batch=2", "crop.size=64", "workers=0", "precision='32'", "crop.cached_images=0",
             "validation=null", "model.pretrained=null", f"data=[{{path: {coco}}}]",
             "model.options.widths=[8, 8, 16, 16]", "model.options.fine=4", "model.options.key=4"]  # fmt: skip
    recipe = read_recipe("saywhere", small)
    loaded = load_model(train(recipe, tmp_path))
    assert loaded.metadata["recipe_name"] == "saywhere"
    assert set(loaded.metadata["stages"]) == set(recipe.stages)
    assert loaded.model.phrases
    assert (loaded.model.candidates, loaded.model.boxes, loaded.model.relevance_of_backbone) == (3, True, True)
