"""saywhere bench --sequence: what counts as an interaction, curves, and the same figures however it is run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from conftest import disc
from saywhere import SaywhereError
from saywhere.cli.main import app
from saywhere.core.settings import Settings
from saywhere.data.datasets import Sample, load_dataset
from saywhere.evaluation import report as pages
from saywhere.evaluation.evaluate import Interaction
from saywhere.evaluation.journal import read_records
from saywhere.evaluation.sequences import (
    Run,
    SequenceTask,
    annotated_before,
    bench_sequences,
    chosen_samples,
    curve,
    effort,
    figures,
)
from saywhere.interactive.sequence import SequenceOptions
from saywhere.models.saywhere import Saywhere
from saywhere.parallel.resumable import Execution, journal_path
from saywhere.runtime.timed import TimedRuntime
from saywhere.runtime.torch import TorchRuntime

OWN = "test_bench_sequences:tiny"
QUICK = SequenceOptions(levels=(0,), filter=0.02, side=64, batch=2, steps=1, rate=0.05, interval=2)
DONE = Interaction("a@0", "card", 1, 3.0, 4.0, True, None, 0.92, 0.4, 30.0, 20.0, 8.0, "", True)


def tiny() -> TorchRuntime:
    torch.manual_seed(0)
    return TorchRuntime(Saywhere(widths=(8, 8, 16, 16), key=8).eval(), "tiny", "t", "cpu")


def task_on(data: Path, **changes: object) -> SequenceTask:
    settings = Settings(size=96, zoom=False)
    return replace(
        SequenceTask(OWN, str(data), settings, QUICK, seeds=2, target_iou=0.5, max_interactions=3, threads=1), **changes
    )


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    """Five photographs, the second with two objects; three labels, one of which has a single object."""
    folder = tmp_path / "set"
    folder.mkdir()
    images, annotations = [], []
    places = {1: [(30, 40, 1)], 2: [(30, 30, 1), (96, 60, 1)], 3: [(60, 40, 2)], 4: [(90, 40, 1)], 5: [(40, 50, 3)]}
    for number, objects in places.items():
        pixels = np.full((96, 128, 3), (20, 40, 160), np.uint8)
        for x, y, category in objects:
            pixels[disc(96, 128, x, y, 20)] = (220, 30 * category, 20)
            box = [[x - 17, y - 12, x + 17, y - 12, x + 17, y + 12, x - 17, y + 12]]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": category, "segmentation": box}
            )
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"set/{number}.png", "width": 128, "height": 96})
    categories = [{"id": i, "name": name} for i, name in enumerate(("red", "brick", "clay"), 1)]
    path = tmp_path / "discs.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def as_measured(out: Path) -> dict[str, list[tuple[object, ...]]]:
    """The interactions of a run without their times."""
    return {
        name: [(i.k, i.x, i.y, i.positive, i.iou, i.mask, i.last) for i in interactions]
        for name, interactions in read_records(journal_path(out)).items()
    }


def test_a_limit_counts_the_objects_of_the_chosen_labels(discs: Path) -> None:
    chosen = chosen_samples(task_on(discs, labels=("red",), limit=2))
    assert [(sample.label, sample.image_path.name) for sample in chosen] == [("red", "1.png"), ("red", "2.png")]
    # "clay" is the label of one object, which two of four objects, evenly spread, leave out.
    assert {sample.label for sample in chosen_samples(task_on(discs, labels=("red", "clay"), limit=2))} == {"red"}
    with pytest.raises(SaywhereError, match="no such label"):
        chosen_samples(task_on(discs, labels=("blue",)))


class TestFigures:
    def test_a_proposal_that_is_right_costs_nothing(self) -> None:
        free = [replace(DONE, k=0, iou=0.8, last=False), replace(DONE, k=1, iou=0.92)]
        own = [replace(DONE, k=1, iou=0.8, last=False), replace(DONE, k=2, iou=0.92)]
        assert (effort(free, 0.75, 20), effort(own, 0.75, 20)) == (0, 1)
        assert (effort(free, 0.9, 20), effort(own, 0.9, 20)) == (1, 2)
        assert effort(free, 0.95, 20) == effort(own, 0.95, 20) == 20

    def test_by_hand(self) -> None:
        first, second = (Sample(name, Path("x"), lambda: np.ones((1, 1), np.bool_), label="card") for name in "ab")
        runs = [Run("card", seed, (first, second)) for seed in (0, 1)]
        records = {
            "a@0": [DONE],
            "a@1": [replace(DONE, object="a@1", iou=0.5), replace(DONE, object="a@1", k=2)],
            "b@0": [replace(DONE, object="b@0", k=0)],
            "b@1": [replace(DONE, object="b@1", iou=0.5)],
        }
        result = figures(records, runs, SequenceTask(None, "x", seeds=2))
        assert result["noc90"] == (1 + 2 + 0 + 20) / 4
        assert result["noc90_by_seed"] == [0.5, 11.0]
        assert result["noc90_by_label"] == {"card": 23 / 4}
        assert result["noc90_curve"] == [(0, 1, 1.5, 2), (1, 2, 10.0, 2)]
        assert (result["objects"], result["nof90"], result["proposed_right"]) == (2, 0.5, 0.5)
        assert result["miou0"] == pytest.approx(0.92 / 4)
        assert result["miou1"] == pytest.approx((0.92 + 0.5 + 0.92 + 0.5) / 4)
        assert annotated_before(records, runs) == {"a@0": 0, "a@1": 0, "b@0": 1, "b@1": 1}

    def test_a_curve_says_over_what_its_means_are(self) -> None:
        places = {str(i): i for i in range(7)}
        assert curve(places, {name: float(place) for name, place in places.items()}) == [
            (0, 1, 0.0, 1), (1, 2, 1.0, 1), (2, 5, 3.0, 3), (5, 7, 5.5, 2)]  # fmt: skip

    def test_time_of_adapted_runners_is_counted_together(self) -> None:
        timed = TimedRuntime(tiny())
        adapted = timed.with_purification(timed.purification_parameters())
        adapted.encode(np.zeros((40, 40, 3), np.uint8))
        encode_ms, decode_ms = timed.take()
        assert encode_ms > 0.0
        assert decode_ms == 0.0
        assert adapted.capabilities.purification_strides == (4, 8, 16, 32)


class TestRuns:
    def test_proposals_choose_the_object_and_count_from_0(self, discs: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.json"
        result = bench_sequences(task_on(discs), out)
        assert (result["objects"], result["sequences"], result["seeds"]) == (6, 6, 2)
        targets = {sample.name: sample.target() for sample in load_dataset(str(discs))}
        records = read_records(journal_path(out))
        assert set(records) == {f"{name}@{seed}" for name in targets for seed in (0, 1)}
        free = {name for name, interactions in records.items() if interactions[0].k == 0}
        assert result["proposed_right"] == pytest.approx(len(free) / 6)  # of the objects that are not the first
        assert free  # an alike disc is found even by a network that was never trained
        for name, interactions in records.items():
            first = interactions[0]
            assert first.x is not None
            assert first.y is not None
            assert targets[name.split("@")[0]][int(first.y), int(first.x)]
            assert [i.k for i in interactions] == list(range(first.k, first.k + len(interactions)))
            assert interactions[-1].last
        assert not free & {"1@0", "1@1", "4@0", "6@0"}  # the first of a label has no proposal

    def test_the_same_in_processes_and_after_an_interruption(
        self, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(
            "PYTHONPATH",
            os.pathsep.join(map(str, [Path(__file__).parent, Path(__file__).parents[1]])),
            prepend=os.pathsep,
        )
        whole, parts, shared = (tmp_path / f"{name}.json" for name in ("whole", "parts", "shared"))
        first = bench_sequences(task_on(discs), whole)
        lines = journal_path(whole).read_bytes().splitlines(keepends=True)
        journal_path(parts).write_bytes(b"".join(lines[:5]) + lines[5][:30])
        second = bench_sequences(task_on(discs), parts)
        third = bench_sequences(task_on(discs), shared, Execution(jobs=2))
        assert as_measured(parts) == as_measured(shared) == as_measured(whole)
        assert first["ious"] == second["ious"] == third["ious"]

    def test_one_label_seeds_and_switches(self, discs: Path, tmp_path: Path) -> None:
        one = bench_sequences(task_on(discs, one_label=True, seeds=1), tmp_path / "one.json")
        assert one["sequences"] == 1
        off = replace(QUICK, propose=False, learn=False)
        base = bench_sequences(task_on(discs, options=off), tmp_path / "base.json")
        assert base["proposed_right"] == 0.0
        by_seed = [[ious for name, ious in base["ious"].items() if name.endswith(end)] for end in ("@0", "@1")]
        assert by_seed[0] == by_seed[1]  # without learning there is nothing to draw
        red = bench_sequences(task_on(discs, labels=("red",)), tmp_path / "red.json")
        assert red["objects"] == 4
        page = pages.write_curves(tmp_path / "report", [one | {"command": "saywhere bench --sequence"}])
        assert "<svg" in page.read_text()
        assert "saywhere bench --sequence" in page.read_text()

    def test_what_cannot_be_measured_is_said(self, discs: Path, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="no such label"):
            bench_sequences(task_on(discs, labels=("blue",)), tmp_path / "out.json")
        with pytest.raises(SaywhereError, match="no purification layer"):
            bench_sequences(task_on(discs, method="conftest:ColourRuntime"), tmp_path / "out.json")

    def test_the_command_line(self, discs: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.json"
        command = ["bench", "--data", str(discs), "--model", OWN, "--json", str(out)]
        sequence = ["--sequence", "--label", "brick", "--size", "96", "--no-zoom", "--clicks", "2", "--threads", "1"]
        result = CliRunner().invoke(app, [*command, *sequence, "--no-opo", "--published", "--target-iou", "85"])
        assert result.exit_code == 0, result.output
        assert "object 1 to 1" in result.output
        figures = json.loads(out.read_text())
        assert (figures["objects"], figures["learn"], figures["propose"], figures["target_iou"]) == (
            1,
            False,
            True,
            0.85,
        )
        assert (figures["rate"], figures["batch"], figures["levels"]) == (5e-3, 8, [3])
        assert "noc85" in figures
        assert "noc90" not in figures
        for wrong, words in ((["--label", "brick"], "only with --sequence"), (["--sequence", "--drag"], "by clicks")):
            refused = CliRunner().invoke(app, [*command, *wrong])
            assert isinstance(refused.exception, SaywhereError)
            assert words in str(refused.exception)
