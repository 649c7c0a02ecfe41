"""Runs at equal numbers of interactions, with values worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from saywhere import SaywhereError
from saywhere.cli.main import app
from saywhere.evaluation.groups import Grouping, group_objects
from saywhere.evaluation.interactions import (
    DRAG_TWO,
    EACH_ONE,
    PHRASE_FREE,
    compare_interactions,
    countings,
    iou_after,
    number_to_reach,
    totals,
)

CLICKS = {"1": [0.5, 0.8, 0.92], "2": [0.6, 0.95]}
LATER = {"1": [0.5, 0.9, 0.96], "2": [0.6, 0.6, 0.95]}  # the second interaction is the phrase
FIRST = {"1": [0.3, 0.86, 0.91], "2": [0.7, 0.7, 0.9]}  # the first one is


def run_of(ious: dict[str, list[float]], phrase: str | None = None, interaction: str = "click", **more: Any) -> Any:
    return {"data": "x", "most_interactions": 20, "ious": ious, "phrase": phrase, "interaction": interaction, **more}


def test_what_each_interaction_costs() -> None:
    assert totals(run_of({}), 3, EACH_ONE) == totals(run_of({}), 3, PHRASE_FREE) == [1, 2, 3]
    for phrase in ("own", "later", "wrong", "shuffled", "described"):
        assert totals(run_of({}, phrase), 4, EACH_ONE) == [1, 2, 3, 4], "a click and a phrase are two"
        assert totals(run_of({}, phrase), 4, PHRASE_FREE) == [1, 1, 2, 3]
    assert totals(run_of({}, "first"), 3, PHRASE_FREE) == [0, 1, 2]
    assert totals(run_of({}, "own"), 1, PHRASE_FREE) == [1], "it was done before the phrase"
    drag = run_of({}, interaction="drag")
    assert (totals(drag, 3, EACH_ONE), totals(drag, 3, DRAG_TWO)) == ([1, 2, 3], [2, 4, 6])
    assert totals(run_of({}, interaction="drag", box=True), 3, DRAG_TWO) == [1, 3, 5]
    assert totals(run_of({}, "own", "drag"), 3, DRAG_TWO) == [2, 3, 5]


def test_of_one_object() -> None:
    ious, spent = [0.5, 0.9, 0.96], [1, 1, 2]
    assert [iou_after(ious, spent, number) for number in (0, 1, 2, 5)] == [0.0, 0.9, 0.96, 0.96]
    assert [number_to_reach(ious, spent, target, 20) for target in (0.5, 0.85, 0.95, 0.99)] == [1, 1, 2, 20]


def test_a_phrase_that_counts_and_one_that_is_free() -> None:
    rows = compare_interactions(run_of(CLICKS), run_of(LATER, "own"), numbers=(1, 2, 3))
    found = {(row.counting.name, row.difference.figure): row.difference for row in rows}
    # After click 1: 0.55 each. After two: clicks (0.8 + 0.95) / 2, click and phrase (0.9 + 0.6) / 2.
    assert found["each counts one", "mIoU@1"].difference == pytest.approx(0.0)
    assert found["each counts one", "mIoU@2"].a == pytest.approx(0.875)
    assert found["each counts one", "mIoU@2"].b == pytest.approx(0.75)
    assert found["each counts one", "mIoU@3"].difference == pytest.approx(0.955 - 0.935)
    # Free: one click is (0.5 + 0.6) / 2, one click and the phrase (0.9 + 0.6) / 2.
    assert found["phrase free", "mIoU@1"].difference == pytest.approx(0.75 - 0.55)
    assert found["phrase free", "mIoU@2"].difference == pytest.approx(0.955 - 0.875)
    assert found["each counts one", "NoC@90"].a == pytest.approx(2.5)  # 3 and 2
    assert found["each counts one", "NoC@90"].b == pytest.approx(2.5)  # 2 and 3
    assert found["phrase free", "NoC@90"].b == pytest.approx(1.5)  # 1 and 2
    assert found["phrase free", "NoC@90"].difference == pytest.approx(-1.0)
    assert (found["phrase free", "NoC@90"].low, found["phrase free", "NoC@90"].high) == (-2.0, 0.0)


def test_a_phrase_first() -> None:
    rows = compare_interactions(run_of(CLICKS), run_of(FIRST, "first"), numbers=(1, 2))
    found = {(row.counting.name, row.difference.figure): row.difference.b for row in rows}
    assert found["each counts one", "mIoU@1"] == pytest.approx(0.5)  # the phrase alone
    assert found["phrase free", "mIoU@1"] == pytest.approx((0.86 + 0.7) / 2)
    assert found["phrase free", "NoC@85"] == pytest.approx((1 + 2) / 2)


def test_a_drag_that_counts_one_and_two() -> None:
    drag = run_of({"1": [0.8, 0.93], "2": [0.7, 0.96]}, interaction="drag")
    rows = compare_interactions(run_of(CLICKS), drag, numbers=(1, 2))
    found = {(row.counting, row.difference.figure): row.difference for row in rows}
    assert found[EACH_ONE, "mIoU@1"].difference == pytest.approx(0.75 - 0.55)
    assert (DRAG_TWO, "mIoU@1") not in found, "no drag can be had for one"
    assert found[DRAG_TWO, "mIoU@2"].difference == pytest.approx(0.75 - 0.875)
    assert found[DRAG_TWO, "NoC@90"].b == pytest.approx(4.0)
    assert countings(run_of({}), drag | {"step_candidates": True}) == [EACH_ONE]


def test_maxima_that_differ() -> None:
    short = run_of({name: ious[:2] for name, ious in LATER.items()}, "own", most_interactions=2)
    rows = compare_interactions(run_of(CLICKS), short)
    assert [(row.counting, row.difference.figure) for row in rows] == [
        (EACH_ONE, "mIoU@1"),
        (EACH_ONE, "mIoU@2"),
        (PHRASE_FREE, "mIoU@1"),  # of two interactions, one is the phrase: a second click was never given
    ]


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    a = run_of(CLICKS)
    with pytest.raises(SaywhereError, match="sequences"):
        compare_interactions(a, a | {"sequences": 1})
    with pytest.raises(SaywhereError, match="data x and y"):
        compare_interactions(a, a | {"data": "y"})
    with pytest.raises(SaywhereError, match="1 are in one only"):
        compare_interactions(a, run_of({"1": [0.5]}))
    path = tmp_path / "a.json"
    path.write_text(json.dumps(a))
    for arguments, words in (([path], "at least two"), ([path, path, "--figure", "auc"], "leave --figure out")):
        result = CliRunner().invoke(app, ["compare", *map(str, arguments), "--interactions"])
        assert words in str(result.exception)


def test_the_command_by_number_of_instances(tmp_path: Path) -> None:
    """Two cats and a dog in one image; the label of the third image's object is unknown."""
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / "a.png")
    boxes = {1: (2, 2, 20, 20, 1), 2: (40, 2, 20, 20, 1), 3: (2, 40, 30, 15, 2)}
    annotations = [
        {"id": n, "image_id": 1, "category_id": c, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
        for n, (x, y, w, h, c) in boxes.items()
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 80, "height": 60}]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    a = run_of({"1": [0.5], "2": [0.7], "3": [0.9]}) | {"data": str(data)}
    b = run_of({"1": [0.5, 0.8], "2": [0.7, 0.9], "3": [0.9, 0.9]}, "own") | {"data": str(data)}
    assert group_objects(Grouping.INSTANCES, a) == {"2 instances": ["1", "2"], "1 instance": ["3"]}
    paths = [tmp_path / "clicks.json", tmp_path / "phrase.json"]
    for path, run in zip(paths, (a, b), strict=True):
        path.write_text(json.dumps(run))
    command = ["compare", *map(str, paths), "--interactions", "--by", "instances", "--at", "2", "--markdown"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output + str(result.exception)
    assert result.output.startswith("A: click (")
    assert "B: click, phrase own (" in result.output
    assert "| each counts one | 2 instances | 2 | mIoU@2 | 0.600 | 0.850 | +0.250 | +0.200 to +0.300 | differs |" in (
        result.output
    )
    assert "| phrase free | 1 instance | 1 | mIoU@2 | 0.900 | 0.900 | +0.000 | +0.000 to +0.000 | may be chance |" in (
        result.output
    )


def test_many_instances_are_one_group() -> None:
    from saywhere.evaluation.groups import instances_group

    assert [instances_group(count) for count in (1, 2, 3, 4, 17)] == [
        "1 instance", "2 instances", "3 instances", "4 or more instances", "4 or more instances",
    ]  # fmt: skip
