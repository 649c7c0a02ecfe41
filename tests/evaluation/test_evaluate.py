"""What the robot user does: places of first clicks, and phrases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from conftest import DiscRuntime, disc
from saywhere import SaywhereError, Segmenter
from saywhere.cli.main import app
from saywhere.core import robot
from saywhere.core.robot import ClickPlace
from saywhere.data.datasets import Sample, load_dataset
from saywhere.evaluation.benchmark import Task, bench
from saywhere.evaluation.evaluate import GroundTruth, Interaction, RobotUser, first_click, segment_object
from saywhere.evaluation.journal import read_records
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.evaluation.summary import figures, phrase_figures
from saywhere.parallel.resumable import journal_path
from saywhere.runtime.base import Capabilities
from saywhere.runtime.timed import TimedRuntime

OBJECT = GroundTruth("a", None, None, disc(60, 80, 40, 30, 20), None)


def command(data: Path, out: Path, *options: str) -> Any:
    model = ["--model", "conftest:DiscRuntime"]
    return CliRunner().invoke(
        app, ["bench", "--data", str(data), *model, "--json", str(out), "--clicks", "3", *options]
    )


class TestFirstClick:
    def test_by_default_it_is_that_of_the_protocol(self) -> None:
        for drag in (False, True):
            assert first_click(RobotUser(drag=drag), OBJECT) == robot.first_click(OBJECT.target, None, drag)

    @pytest.mark.parametrize("place", ["tap", "uniform", "rim"])
    def test_the_place_is_the_same_in_every_run_but_not_for_every_object(self, place: ClickPlace) -> None:
        user = RobotUser(first_click=place)
        clicks = [first_click(user, replace(OBJECT, name=name)) for name in "abcdefgh"]
        assert clicks == [first_click(user, replace(OBJECT, name=name)) for name in "abcdefgh"]
        assert len(set(clicks)) > 4
        depth = robot.boundary_distance(OBJECT.target)
        depths = [depth[int(c.y), int(c.x)] / depth.max() for c in clicks]
        least, most = {"tap": (0.5, 1.0), "uniform": (0.01, 1.0), "rim": (0.01, 0.2)}[place]
        assert all(least <= d <= most for d in depths)

    @pytest.mark.parametrize("place", get_args(ClickPlace))
    def test_it_is_on_a_counted_pixel(self, place: ClickPlace) -> None:
        rim = OBJECT.target & (robot.boundary_distance(OBJECT.target) < 6)
        for name in "abcdefgh":
            click = first_click(RobotUser(first_click=place), replace(OBJECT, name=name, ignore=rim))
            assert (OBJECT.target & ~rim)[int(click.y), int(click.x)]
        with pytest.raises(SaywhereError, match="empty target"):
            first_click(RobotUser(first_click=place), replace(OBJECT, ignore=OBJECT.target))

    def test_a_drag_ends_at_the_nearest_boundary(self) -> None:
        click = first_click(RobotUser(first_click="rim", drag=True), OBJECT)
        assert click.radius == robot.boundary_distance(OBJECT.target)[int(click.y), int(click.x)]

    def test_a_benchmark_changes_the_first_click_alone(self, coco: Path, tmp_path: Path) -> None:
        task = Task("conftest:DiscRuntime", str(coco), max_interactions=3, first_click="rim")
        result = bench(task, tmp_path / "rim.json")
        assert result["clicks_like"] == "rim"
        samples = {sample.name: sample for sample in load_dataset(str(coco))}
        for name, interactions in read_records(journal_path(tmp_path / "rim.json")).items():
            assert interactions[0].click == first_click(task.user, GroundTruth.of(samples[name]))
            assert interactions[0].click != robot.first_click(samples[name].target())
            timed = TimedRuntime(DiscRuntime())
            rest = list(segment_object(task.user, Segmenter(timed), timed, samples[name], interactions[:1]))
            assert [i.click for i in rest] == [i.click for i in interactions[1:]]
        with pytest.raises(SaywhereError, match="differs in clicks_like"):
            bench(replace(task, first_click="centre"), tmp_path / "rim.json")

    def test_the_command_line(self, coco: Path, tmp_path: Path) -> None:
        result = command(coco, tmp_path / "out.json", "--clicks-like", "uniform")
        assert result.exit_code == 0, result.output
        assert "first like" in " ".join(result.output.split())
        for wrong in (["--sequence"], ["--phrase", "first"], ["--phrase", "shuffled-first"]):
            refused = command(coco, tmp_path / "out.json", "--clicks-like", "uniform", *wrong)
            assert isinstance(refused.exception, SaywhereError), wrong
            assert "--clicks-like" in str(refused.exception)


class KnownWords(DiscRuntime):
    """With a phrase, the mask is everything."""

    capabilities = Capabilities(phrases=True)

    def decode(self, features: np.ndarray, prompt: Any, previous: np.ndarray | None) -> np.ndarray:
        logits = super().decode(features, prompt, previous)
        return np.full_like(logits, 8.0) if prompt.phrase else logits


class TestPhrases:
    def samples(self, labels: str) -> list[Sample]:
        return [
            Sample(str(i), Path(f"{i}.png"), lambda: np.ones((2, 2), bool), label=label)
            for i, label in enumerate(labels.split())
        ]

    @pytest.mark.parametrize("mode", [PhraseMode.SHUFFLED, PhraseMode.SHUFFLED_FIRST])
    def test_shuffled_phrases_are_those_of_others(self, mode: PhraseMode) -> None:
        samples = self.samples("dog dog dog cat car tie hat cup")
        shuffled = with_phrases(samples, mode)
        phrases = [sample.phrase for sample in shuffled]
        assert sorted(map(str, phrases)) == sorted(str(sample.label) for sample in samples)
        assert all(sample.phrase != sample.label for sample in shuffled)
        assert phrases == [sample.phrase for sample in with_phrases(samples, mode)]
        half = with_phrases(self.samples("dog dog dog cat car tie"), mode)
        assert all(sample.phrase != sample.label for sample in half)
        with pytest.raises(SaywhereError, match="more than half of the objects are 'dog'"):
            with_phrases(self.samples("dog dog dog cat car"), mode)

    @pytest.mark.parametrize(
        ("mode", "at"), [("own", 1), ("later", 1), ("first", 0), ("shuffled", 1), ("shuffled-first", 0), ("wrong", 1)]
    )
    def test_when_a_phrase_comes(self, mode: str, at: int) -> None:
        assert PhraseMode(mode).at == at

    def test_later_is_own(self, coco: Path, tmp_path: Path) -> None:
        task = Task("test_evaluate:KnownWords", str(coco), max_interactions=3)
        own, later = (
            bench(replace(task, phrase=mode), tmp_path / f"{mode}.json") for mode in (PhraseMode.OWN, PhraseMode.LATER)
        )
        assert own["ious"] == later["ious"]

    def test_phrases_are_counted_and_the_figure_without_them_stands_beside(self) -> None:
        click = Interaction("1", "card", 1, 3.0, 4.0, True, None, 0.5, 0.4, 30.0, 20.0, 8.0, "a", False, score=0.5)
        said = replace(click, k=2, x=None, y=None, phrase="card", iou=0.87, mask="b")
        third = replace(click, k=3, iou=0.95, mask="c")
        useless = replace(said, mask="a", iou=0.5)
        records = {"1": [click, said, third], "2": [click, useless, third], "3": [click, useless]}
        assert figures(records, 20)["noc85"] == pytest.approx((2 + 3 + 20) / 3)
        result = phrase_figures(records, 20)
        assert result["noc85_clicks_only"] == pytest.approx((1 + 2 + 20) / 3)
        assert result["noc90_clicks_only"] == pytest.approx((2 + 2 + 20) / 3)
        assert result["phrases_without_effect"] == pytest.approx(2 / 3)
        assert phrase_figures({"1": [click, third]}, 20) == {}

    def test_an_unknown_phrase_that_comes_first_costs_an_interaction(
        self, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("saywhere.evaluation.phrases.own_phrase", lambda _: "zxqv")
        monkeypatch.setattr("conftest.ColourRuntime.capabilities", Capabilities(phrases=True))
        task = Task("conftest:ColourRuntime", str(coco), max_interactions=4, phrase=PhraseMode.FIRST)
        result = bench(task, tmp_path / "phrase.json")
        assert (result["noc90"], result["noc90_clicks_only"]) == (2.0, 1.0)  # one click finds the card
        assert result["noc90_clicks_only_interval"] == [1.0, 1.0]
        assert result["phrases_without_effect"] == 1.0
