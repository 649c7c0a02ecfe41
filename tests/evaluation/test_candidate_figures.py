"""The best candidate mask beside the one that is chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import DiscRuntime
from saywhere.core import robot
from saywhere.core.arrays import FloatArray
from saywhere.core.prompt import Prompt
from saywhere.core.settings import Settings
from saywhere.data.datasets import load_dataset
from saywhere.evaluation.benchmark import Task, bench
from saywhere.evaluation.candidates import candidate_figures, candidate_ious
from saywhere.evaluation.evaluate import Interaction
from saywhere.evaluation.journal import interaction_from, read_records
from saywhere.evaluation.report import table
from saywhere.evaluation.validate import validator
from saywhere.models.checkpoint import save_model
from saywhere.models.saywhere import Saywhere
from saywhere.parallel.resumable import journal_path
from saywhere.runtime.artefact import SUFFIX
from saywhere.runtime.export import export_graphs
from saywhere.runtime.weights import load_runtime

FIRST = Interaction("1", "card", 1, 3.0, 4.0, True, None, 0.7, 0.4, 30.0, 20.0, 8.0, "", False)


class ThreeDiscs(DiscRuntime):
    """The disc of :class:`DiscRuntime`, which it chooses, all of the crop, and nothing."""

    capabilities = replace(DiscRuntime.capabilities, candidates=3)

    def decode_candidates(
        self, features: Any, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        disc = self.decode(features, prompt, previous)
        return np.stack([disc, np.ones_like(disc), -np.ones_like(disc)]), np.array([0.9, 0.5, 0.1], np.float32)


def test_each_candidate_is_measured(coco: Path) -> None:
    sample = load_dataset(str(coco))[0]
    target = sample.target()
    ious = candidate_ious(ThreeDiscs(), Settings(), sample, robot.first_click(target))
    assert len(ious) == 3
    assert 0.0 < ious[0] < 1.0
    assert ious[1] == pytest.approx(target.mean(), rel=0.3)
    assert ious[2] == 0.0


def test_figures_by_hand() -> None:
    one = replace(FIRST, candidate_ious=(0.7, 0.9, 0.1), candidate=0)
    other = replace(FIRST, object="2", candidate_ious=(0.8, 0.5, 0.3), candidate=0)
    result = candidate_figures({"1": [one, replace(FIRST, k=2)], "2": [other]})
    assert result["best_candidate_miou1"] == pytest.approx(0.85)
    assert result["candidate_miou1"] == pytest.approx([0.75, 0.7, 0.2])
    assert result["candidate_miou1_interval"][1] == pytest.approx((0.5, 0.9))
    assert result["best_candidate_miou1_interval"] == pytest.approx((0.8, 0.9))
    assert (result["best_candidate_chosen"], result["best_candidate_chosen_interval"]) == (0.5, (0.0, 1.0))
    assert candidate_figures({"1": [FIRST]}) == {}


def test_equally_good_candidates_are_both_the_best() -> None:
    one = replace(FIRST, candidate_ious=(0.7, 0.9, 0.9), candidate=2)
    assert candidate_figures({"1": [one]})["best_candidate_chosen"] == 1.0
    unknown = replace(one, candidate=None)  # from a journal of before
    assert "best_candidate_chosen" not in candidate_figures({"1": [unknown]})


def test_a_benchmark_reports_the_best(coco: Path, tmp_path: Path) -> None:
    result = bench(Task("test_candidate_figures:ThreeDiscs", str(coco), max_interactions=2), tmp_path / "run.json")
    firsts = [interactions[0] for interactions in read_records(journal_path(tmp_path / "run.json")).values()]
    assert all(i.candidate_ious is not None and i.candidate_ious[0] == i.iou for i in firsts)
    assert result["best_candidate_miou1"] >= result["miou1"]
    assert result["candidate_miou1"][0] == pytest.approx(result["miou1"], abs=1e-6)
    right = [i.candidate_ious is not None and i.candidate_ious[0] == max(i.candidate_ious) for i in firsts]
    assert {i.candidate for i in firsts} == {0}
    assert result["best_candidate_chosen"] == pytest.approx(np.mean(right), abs=1e-6)
    assert ["best_candidate_chosen", f"{np.mean(right):.3f}"] in table([result])[1]
    assert ["best_candidate_miou1", f"{result['best_candidate_miou1']:.3f}"] in table([result])[1]


@pytest.mark.slow
def test_onnx_gives_the_same_figures(coco: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"widths": [8, 8, 16, 16], "key": 8, "candidates": 3, "box": True}
    weights = tmp_path / "tiny.safetensors"
    save_model(weights, Saywhere(**options), "saywhere", options, {})
    task = Task(str(weights), str(coco), Settings(size=96, zoom_size=96), max_interactions=2, limit=2)
    results = {}
    for backend in ("torch", "onnxruntime"):
        assert load_runtime(weights).capabilities.backend == backend
        results[backend] = bench(replace(task, box=True, step_candidates=True), tmp_path / f"{backend}.json")
        export_graphs(weights, weights.with_suffix(SUFFIX))
    for name in ("best_candidate_miou1", "candidate_miou1", "best_candidate_chosen"):
        assert results["onnxruntime"][name] == pytest.approx(results["torch"][name], abs=2e-3)


def test_journals_of_methods_with_one_mask_stay_as_they_are(coco: Path, tmp_path: Path) -> None:
    result = bench(Task("conftest:DiscRuntime", str(coco), max_interactions=2), tmp_path / "run.json")
    assert "best_candidate_miou1" not in result
    assert "candidate_ious" not in journal_path(tmp_path / "run.json").read_text()
    assert "best_candidate_miou1" not in [row[0] for row in table([result])[1]]
    assert interaction_from({"object": "1"}) is None


def test_validation_reports_the_best(coco: Path) -> None:
    torch.manual_seed(0)
    network = Saywhere(widths=(8, 8, 16, 16), key=8, candidates=2).eval()
    figures = validator(str(coco), 1)(network)
    assert figures["best_candidate_miou1"] >= figures["miou1"]
    assert "best_candidate_miou1" not in validator(str(coco), 1)(Saywhere(widths=(8, 8, 16, 16), key=8).eval())
