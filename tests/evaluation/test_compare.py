"""Runs compared: paired differences, groups of objects, Markdown."""

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
from saywhere.evaluation.compare import compare, estimate, read_figures
from saywhere.evaluation.groups import Grouping, group_objects

BOXES = {  # x, y, width, height, label; by image and object
    "a": {1: (10, 10, 80, 60, "dog"), 2: (14, 14, 16, 14, "head"), 3: (90, 80, 6, 5, "ball")},
    "b": {4: (5, 5, 60, 70, "dog")},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dog with its head and a ball, and another dog."""
    annotations, images = [], []
    labels = ["dog", "head", "ball"]
    for image_id, (name, objects) in enumerate(BOXES.items(), 1):
        folder = tmp_path / f"set-{name}"
        folder.mkdir()
        Image.fromarray(np.zeros((100, 120, 3), np.uint8)).save(folder / f"{name}.png")
        images.append({"id": image_id, "file_name": f"set-{name}/{name}.png", "width": 120, "height": 100})
        for number, (x, y, w, h, label) in objects.items():
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {"id": number, "image_id": image_id, "category_id": 1 + labels.index(label), "segmentation": [outline]}
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(labels, 1)]
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def run_on(data: object, ious: dict[str, list[float]], **changes: Any) -> dict[str, Any]:
    return {"data": str(data), "most_interactions": 20, "ious": ious, "classes": {"seen": ["dog"]}, **changes}


@pytest.fixture
def runs(data: Path, tmp_path: Path) -> list[Path]:
    """Two runs; the second is better on the head alone."""
    ious = {"1": [0.9], "2": [0.4, 0.8], "3": [0.5, 0.6], "4": [0.95]}
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, head in zip(paths, ([0.4, 0.8], [0.7, 0.9]), strict=True):
        path.write_text(json.dumps(run_on(data, {**ious, "2": head})))
    return paths


class TestDifferences:
    def test_they_are_paired(self) -> None:
        a = run_on("x", {str(i): [0.1 * (i % 8), 0.86] for i in range(40)})
        b = run_on("x", {name: [v + 0.05 for v in ious] for name, ious in a["ious"].items()})
        rows = {row.figure: row for row in compare(a, b)}
        assert rows["miou1"].difference == pytest.approx(0.05)
        assert rows["miou1"].certain
        assert rows["noc90"].difference == pytest.approx(-18.0)  # 0.86 never was enough, 0.91 is at the second
        assert rows["noc85"].difference == 0.0
        assert not rows["noc85"].certain

    def test_after_different_numbers_of_interactions(self) -> None:
        a = run_on("x", {"1": [0.5, 0.6, 0.7], "2": [0.4]}, most_interactions=3)
        b = run_on("x", {"1": [0.8], "2": [0.6]}, most_interactions=1)
        (row,) = compare(a, b, ["miou3"], figures_of_b=["miou1"])
        assert (row.figure, row.a, row.b) == ("miou3, miou1", pytest.approx(0.55), pytest.approx(0.7))
        assert row.difference == pytest.approx(0.15)
        with pytest.raises(SaywhereError, match="most_interactions 3 and 1"):
            compare(a, b, ["miou1"])

    def test_only_like_can_be_compared(self, tmp_path: Path) -> None:
        a = run_on("x", {"1": [0.5]})
        with pytest.raises(SaywhereError, match="data x and y"):
            compare(a, {**a, "data": "y"})
        with pytest.raises(SaywhereError, match="1 are in one only"):
            compare(a, {**a, "ious": {}})
        for unknown in ("miou0", "noc91", "mioux"):
            with pytest.raises(SaywhereError, match=unknown):
                estimate(a, [unknown])
        (tmp_path / "a.json").write_text("{}")
        for path in (tmp_path / "a.json", tmp_path / "none.json"):
            with pytest.raises(SaywhereError, match=path.name):
                read_figures(path)

    def test_of_one_run_the_means(self) -> None:
        a = run_on("x", {"1": [0.5], "2": [0.7]})
        (row,) = estimate(a, ["miou1"])
        assert (row.group, row.objects, row.mean) == ("all", 2, pytest.approx(0.6))
        assert row.low < 0.6 < row.high


class TestGroups:
    @pytest.mark.parametrize(
        ("by", "expected"),
        [
            (Grouping.KIND, {"whole": ["1", "4"], "part": ["2"], "small whole": ["3"]}),
            (Grouping.LABEL, {"dog": ["1", "4"], "head": ["2"], "ball": ["3"]}),
            (Grouping.SEEN, {"seen": ["1", "4"], "unseen": ["2", "3"]}),
            # The first click on the dog lies off its head; that on the head lies on the dog.
            (Grouping.AMBIGUITY, {"ambiguous": ["2"], "not ambiguous": ["1", "3", "4"]}),
        ],
    )
    def test_of_objects(self, data: Path, by: Grouping, expected: dict[str, list[str]]) -> None:
        run = run_on(data, {name: [0.5] for name in "1234"})
        assert group_objects(by, run) == expected

    def test_by_dataset(self, data: Path) -> None:
        groups = group_objects(Grouping.DATASET, run_on(data, {name: [0.5] for name in "1234"}))
        assert sorted(groups.values(), key=len) == [["4"], ["1", "2", "3"]]

    def test_what_cannot_be_grouped(self, data: Path) -> None:
        with pytest.raises(SaywhereError, match="no object '9'"):
            group_objects(Grouping.LABEL, run_on(data, {"9": [0.5]}))
        with pytest.raises(SaywhereError, match="measure it with --seen"):
            group_objects(Grouping.SEEN, run_on(data, {"1": [0.5]}, classes={}))


class TestCommand:
    def invoke(self, *arguments: object) -> list[str]:
        result = CliRunner().invoke(app, ["compare", *map(str, arguments), "--markdown"])
        assert result.exit_code == 0, result.output + str(result.exception)
        return result.output.splitlines()

    def test_by_kind(self, runs: list[Path]) -> None:
        lines = self.invoke(*runs, "--by", "kind", "--figure", "miou1")
        assert lines[0] == "| group | objects | figure | A | B | B - A | 95 % interval |  |"
        rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1:6] for line in lines[2:]}
        assert rows["all"] == ["4", "miou1", "0.688", "0.762", "+0.075"]
        assert rows["part"] == ["1", "miou1", "0.400", "0.700", "+0.300"]
        assert rows["whole"] == ["2", "miou1", "0.925", "0.925", "+0.000"]
        assert next(iter(rows)) == "all"

    def test_several_runs_at_numbers_of_their_own(self, runs: list[Path]) -> None:
        lines = self.invoke(*runs, runs[1], "--at", 1, "--at", 2, "--at", 1)
        titles = [line for line in lines if "(A)" in line]
        assert len(titles) == 2
        assert sum("| miou1, miou2 |" in line for line in lines) == 1
        assert sum("| miou1 |" in line for line in lines) == 1

    def test_one_run(self, runs: list[Path]) -> None:
        lines = self.invoke(runs[0], "--figure", "miou2")
        assert lines[2].startswith("| all | 4 | miou2 | 0.812 |")

    def test_a_summary(self, runs: list[Path]) -> None:
        known = {"model": "m", "interaction": "click", "phrase": "own", "objects": 4, "noc85": 2.0, "noc90": 3.0}
        known |= {"miou1": 0.5, "noc90_interval": [2.5, 3.5], "miou1_interval": [0.4, 0.6]}
        known |= {"click_ms_p50": 7.4, "click_ms_p95": 9.6}
        run = json.loads(runs[0].read_text()) | known
        runs[0].write_text(json.dumps(run | {"data": "x"}))
        row = "| m | x | 4 | click, phrase own | 2.00 | 3.00 (2.50 to 3.50) | 0.500 (0.400 to 0.600) |"
        assert self.invoke(runs[0], "--summary")[2] == row
        assert self.invoke(runs[0], "--summary", "--times")[2] == row + " 7 / 10 |"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--at", "1", "--at", "2", "--at", "3"], "3 times for 2 runs"),
            (["--at", "1", "--figure", "auc"], "give one of them"),
            (["--summary", "--by", "kind"], "leave --by"),
            (["--times"], "only with --summary"),
            (["--figure", "noc91"], "noc91"),
        ],
    )
    def test_bad_options(self, runs: list[Path], arguments: list[str], words: str) -> None:
        result = CliRunner().invoke(app, ["compare", *map(str, runs), *arguments])
        assert isinstance(result.exception, SaywhereError)
        assert words in str(result.exception)


def test_bench_prints_markdown(coco: Path, tmp_path: Path) -> None:
    command = ["bench", "--data", coco, "--model", "conftest:DiscRuntime", "--clicks", 2, "--json", tmp_path / "o.json"]
    result = CliRunner().invoke(app, [*map(str, command), "--markdown"])
    assert result.exit_code == 0, result.output
    header, _, row = result.output.splitlines()
    assert header.startswith("| method | data | objects | interaction | NoC@85 |")
    assert row.startswith(f"| disc | {coco} | 6 | click | ")


def test_a_right_proposal_of_a_sequence_costs_nothing() -> None:
    ious = {"proposed": [0.95], "corrected": [0.5, 0.92], "unproposed": [0.0, 0.4, 0.91]}
    run = {"data": "x", "most_interactions": 20, "sequences": 1, "ious": ious}
    noc, miou = estimate(run, ["noc90", "miou1"])
    assert noc.mean == pytest.approx((0 + 1 + 2) / 3)
    assert miou.mean == pytest.approx((0.95 + 0.92 + 0.4) / 3)
