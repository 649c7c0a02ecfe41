"""What the robot user does: places of first clicks, boxes, choices of candidates, and phrases."""

from __future__ import annotations

import json
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
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import Mask
from saywhere.core.prompt import Click
from saywhere.core.robot import ClickPlace
from saywhere.data.datasets import Sample, load_dataset
from saywhere.evaluation.benchmark import Task, bench
from saywhere.evaluation.evaluate import Interaction, interact, prompt_of, segment_object
from saywhere.evaluation.journal import read_records
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.evaluation.report import prompts_of
from saywhere.evaluation.robot_user import STEP_GAIN, GroundTruth, RobotUser, first_action, first_click
from saywhere.evaluation.summary import figures, phrase_figures
from saywhere.parallel.resumable import journal_path
from saywhere.runtime.base import Capabilities
from saywhere.runtime.timed import TimedRuntime

EASY = Interaction("1", "card", 1, 3.0, 4.0, True, None, 0.7, 0.4, 30.0, 20.0, 8.0, "", False)
OBJECT = GroundTruth("a", None, None, disc(60, 80, 40, 30, 20), None)


def command(data: Path, out: Path, *options: str, model: str = "conftest:DiscRuntime") -> Any:
    given = ["--model", model, "--data", str(data), "--json", str(out), "--clicks", "3", *options]
    return CliRunner().invoke(app, ["bench", *given])


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


class BoxRuntime(DiscRuntime):
    """Fills the box, less a corner of it; clicks are as in :class:`DiscRuntime`."""

    name = "boxes"
    capabilities = Capabilities(boxes=True, phrases=True)

    def decode(self, features: np.ndarray, prompt: Any, previous: np.ndarray | None) -> np.ndarray:
        logits = super().decode(features, prompt, previous) if prompt.clicks else np.full(features.shape[:2], -8.0)
        x0, y0, x1, y1 = (round(edge) for edge in prompt.box or (0, 0, 0, 0))
        logits[y0:y1, x0:x1] = 8.0
        logits[y0 : (y0 + y1) // 2, x0 : (x0 + x1) // 2] = -8.0
        return logits.astype(np.float32)


class TestBox:
    task = Task("test_evaluate:BoxRuntime", "", max_interactions=3, box=True)

    def test_the_box_is_the_first_interaction(self, coco: Path, tmp_path: Path) -> None:
        result = bench(replace(self.task, data=str(coco)), tmp_path / "box.json")
        assert (result["box"], result["box_jitter"]) == (True, 0.0)
        samples = {sample.name: sample for sample in load_dataset(str(coco))}
        for name, interactions in read_records(journal_path(tmp_path / "box.json")).items():
            rows, columns = np.nonzero(samples[name].target())
            assert interactions[0].box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert interactions[0].click is None
            assert interactions[0].iou == pytest.approx(0.75, abs=0.02)
            assert [i.box for i in interactions[1:]] == [None] * 2
            assert interactions[1].click is not None
            assert prompt_of(interactions[:1]).box == interactions[0].box
        assert result["miou1"] == pytest.approx(0.75, abs=0.02)
        assert prompts_of(result) == "box, then click"

    def test_an_interrupted_run_goes_on_with_its_box(self, coco: Path, tmp_path: Path) -> None:
        whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
        first = bench(replace(self.task, data=str(coco)), whole)
        journal_path(parts).write_bytes(b"".join(journal_path(whole).read_bytes().splitlines(keepends=True)[:3]))
        assert bench(replace(self.task, data=str(coco)), parts)["ious"] == first["ious"]

    def test_only_counted_pixels_are_in_the_box(self) -> None:
        ignore = np.zeros_like(OBJECT.target)
        ignore[:, 50:] = True
        assert first_action(RobotUser(box=True), replace(OBJECT, ignore=ignore)) == (20, 10, 50, 51)

    def test_a_jittered_box_is_the_same_in_every_run(self) -> None:
        user = RobotUser(box=True, box_jitter=0.1)
        boxes = [first_action(user, replace(OBJECT, name=name)) for name in "abcd"]
        assert boxes == [first_action(user, replace(OBJECT, name=name)) for name in "abcd"]
        assert len(set(boxes)) == 4

    def test_a_phrase_comes_after_the_box(self, coco: Path, tmp_path: Path) -> None:
        task = replace(self.task, data=str(coco), phrase=PhraseMode.LATER)
        bench(task, tmp_path / "box.json")
        for interactions in read_records(journal_path(tmp_path / "box.json")).values():
            assert [(i.box is not None, i.phrase, i.click is not None) for i in interactions] == [
                (True, None, False), (False, "card", False), (False, None, True)]  # fmt: skip

    def test_the_command_line(self, coco: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.json"
        result = command(coco, out, "--box", "--box-jitter", "0.1", model="test_evaluate:BoxRuntime")
        assert result.exit_code == 0, result.output
        assert json.loads(out.read_text())["box_jitter"] == 0.1
        for wrong, words in (
            (["--box"], "'disc' takes no boxes"),
            (["--box-jitter", "0.1"], "only with --box"),
            (["--box", "--phrase", "first"], "--box and --phrase first"),
            (["--box", "--clicks-like", "rim"], "--clicks-like rim and --box"),
            (["--box", "--sequence"], "--sequence: leave --clicks-like, --box"),
            (["--step-candidates"], "'disc' gives one mask"),
            (["--step-candidates", "--sequence"], "--sequence: leave"),
        ):
            refused = command(coco, out, *wrong)
            assert isinstance(refused.exception, SaywhereError), wrong
            assert words in str(refused.exception)


def rectangle_mask(width: int, output: int) -> Mask:
    """The mask of the first columns of an image of 30 to 40 pixels."""
    logits = np.full((30, 40), -8.0, np.float32)
    logits[:, :width] = 8.0
    return Mask(Crop.from_box((0, 0, 40, 30), SIZE, 40), logits, SIZE, predicted_iou=0.9, candidate=output)


class SteppingSegmenter:
    """Always the same three candidates; after a choice the mask is two columns wider than the candidate."""

    def __init__(self, *widths: int) -> None:
        self.candidates = [rectangle_mask(width, 5 - i) for i, width in enumerate(widths)]
        self.candidate = 0
        self.actions: list[object] = []

    def set_image(self, image: object) -> None: ...

    def add(self, click: Click) -> Mask:
        self.actions.append(click)
        return self.candidates[self.candidate]

    def choose(self, index: int) -> Mask:
        self.actions.append(index)
        self.candidate = index
        return rectangle_mask(int(self.candidates[index].array.sum()) // 30 + 2, self.candidates[index].candidate)

    def say(self, phrase: str | None) -> Mask:
        raise AssertionError

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Mask:
        raise AssertionError


SIZE = ImageSize(30, 40)
HALF = GroundTruth("half", None, None, rectangle_mask(20, 0).array, None)


class TestSteps:
    def interactions(self, segmenter: SteppingSegmenter, **changes: Any) -> list[Interaction]:
        user = replace(RobotUser(4, step_candidates=True), **changes)
        return list(interact(user, segmenter, TimedRuntime(DiscRuntime()), HALF, first_click(user, HALF)))

    def test_the_robot_chooses_a_better_candidate_once_and_then_clicks(self) -> None:
        segmenter = SteppingSegmenter(5, 17, 30)
        interactions = self.interactions(segmenter)
        assert [i.choice for i in interactions] == [None, 1, None, None]
        assert [i.k for i in interactions] == [1, 2, 3, 4]
        assert [i.candidate for i in interactions] == [5, 4, 4, 4]
        assert [i.iou for i in interactions] == pytest.approx([5 / 20, 19 / 20, 17 / 20, 17 / 20])  # after the choice
        assert interactions[1].click is None
        assert interactions[1].action == 1
        assert segmenter.actions[1] == 1

    def test_between_two_choices_there_is_a_click(self) -> None:
        segmenter = SteppingSegmenter(5, 12, 30)
        segmenter.choose = lambda index: rectangle_mask(5, 0)  # type: ignore[method-assign]
        assert [i.choice for i in self.interactions(segmenter)] == [None, 2, None, 2]

    @pytest.mark.parametrize("widths", [(15, 16, 30), (20, 12, 30), (19, 20, 5)])
    def test_a_candidate_that_is_hardly_better_is_not_worth_it(self, widths: tuple[int, ...]) -> None:
        assert all(i.choice is None for i in self.interactions(SteppingSegmenter(*widths)))

    def test_the_gain_that_is_worth_it(self) -> None:
        assert STEP_GAIN == 0.05
        # 15 of 20 columns and 16 are 0.05 apart, 15 and 17 are 0.1.
        assert self.interactions(SteppingSegmenter(15, 17, 30))[1].choice == 1

    def test_only_where_it_may(self) -> None:
        assert all(i.choice is None for i in self.interactions(SteppingSegmenter(5, 17, 30), step_candidates=False))
        accepted = self.interactions(SteppingSegmenter(5, 17, 30), target_iou=0.2)
        assert [i.choice for i in accepted] == [None]

    def test_figures_and_prompts(self) -> None:
        records = {"half": self.interactions(SteppingSegmenter(5, 17, 30)), "same": [EASY]}
        result = figures(records, 20)
        assert result["choices"] == 0.5
        assert result["noc90"] == (2 + 20) / 2
        assert "choices" not in figures({"same": [EASY]}, 20)
        assert len(prompt_of(records["half"]).clicks) == 3
        assert prompts_of({"interaction": "click", "step_candidates": True}) == "click, choice of candidates"


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
