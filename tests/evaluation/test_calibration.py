"""Calibration errors of scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from saywhere.evaluation.benchmark import Task, bench
from saywhere.evaluation.calibration import calibration_error, calibration_figures
from saywhere.evaluation.evaluate import Interaction
from saywhere.evaluation.journal import read_records
from saywhere.parallel.resumable import journal_path

FIRST = Interaction("1", "card", 1, 3.0, 4.0, True, None, 0.7, 0.4, 30.0, 20.0, 8.0, "", False, score=0.75)


def test_by_hand() -> None:
    # Two masks of the highest bin, whose errors cancel out, and one of the bin from 0.3 to 0.4.
    assert calibration_error([0.9, 1.0, 0.35], [1.0, 0.9, 0.2]) == pytest.approx(0.15 / 3)
    assert calibration_error([0.9, 1.0, 0.35], [1.0, 0.9, 0.2], bins=1) == pytest.approx(0.15 / 3)
    assert calibration_error([0.1, 0.9], [0.2, 0.8], bins=1) == pytest.approx(0.0)
    assert calibration_error([0.1, 0.9], [0.2, 0.8], bins=2) == pytest.approx(0.1)


def test_figures_after_one_interaction_and_after_all() -> None:
    second = replace(FIRST, k=2, iou=0.9, score=0.95)
    records = {"1": [FIRST, second], "2": [replace(FIRST, object="2", iou=0.8, score=0.78)]}
    figures = calibration_figures(records)
    assert figures["score_calibration_error1"] == pytest.approx(0.03 / 2)
    assert figures["score_calibration_error"] == pytest.approx((0.03 + 0.05) / 3)
    low, high = figures["score_calibration_error_interval"]
    assert low < figures["score_calibration_error"] < high
    assert "predicted_iou_calibration_error" not in figures
    predicted = {"1": [replace(FIRST, predicted_iou=0.5)]}
    assert calibration_figures(predicted)["predicted_iou_calibration_error1"] == pytest.approx(0.2)


def test_without_scores_there_are_no_figures() -> None:
    assert calibration_figures({"1": [replace(FIRST, score=None)]}) == {}


def test_a_benchmark_keeps_scores(coco: Path, tmp_path: Path) -> None:
    result = bench(Task("conftest:DiscRuntime", str(coco), max_interactions=2), tmp_path / "run.json")
    interactions = [i for past in read_records(journal_path(tmp_path / "run.json")).values() for i in past]
    scores = [i.score for i in interactions if i.score is not None]
    assert len(scores) == len(interactions)
    assert all(0.9 < score <= 1.0 for score in scores)  # the disc is sure of itself
    expected = calibration_error(scores, [i.iou for i in interactions])
    assert result["score_calibration_error"] == pytest.approx(expected, abs=1e-6)
    assert result["score_calibration_error1"] > 0.1
