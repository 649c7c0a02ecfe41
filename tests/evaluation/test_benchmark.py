"""Runs that are killed, shared, compared and shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from killing import HOLD_AT, kill_when

from conftest import ColourRuntime
from saywhere import SaywhereError, Segmenter
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.core.settings import Settings
from saywhere.data.datasets import load_dataset
from saywhere.evaluation import report as pages
from saywhere.evaluation.benchmark import Task, bench, measure, spread
from saywhere.evaluation.evaluate import Interaction, segment_object
from saywhere.evaluation.journal import Journal, read_records
from saywhere.evaluation.robot_user import RobotUser
from saywhere.evaluation.summary import classes, figures, times
from saywhere.parallel.resumable import journal_path
from saywhere.runtime.metadata import run_metadata
from saywhere.runtime.registry import find_method, verify_method
from saywhere.runtime.timed import TimedRuntime

OWN = "conftest:DiscRuntime"
EASY = Interaction("1", "card", 1, 3.0, 4.0, True, None, 0.7, 0.4, 30.0, 20.0, 8.0, "", False)


def task_on(coco: Path, **changes: object) -> Task:
    return replace(Task(OWN, str(coco), max_interactions=4), **changes)


def as_measured(out: Path) -> dict[str, list[tuple[object, ...]]]:
    """The interactions of a run without their times."""
    return {
        name: [(i.k, i.x, i.y, i.positive, i.radius, i.iou, i.boundary_iou, i.mask, i.last) for i in interactions]
        for name, interactions in read_records(journal_path(out)).items()
    }


class TestWork:
    def test_an_object_is_worked_through_until_nothing_is_wrong(self, coco: Path) -> None:
        timed = TimedRuntime(ColourRuntime())
        (sample, *_) = load_dataset(str(coco))
        interactions = list(segment_object(RobotUser(), Segmenter(timed), timed, sample))
        assert [i.k for i in interactions] == list(range(1, len(interactions) + 1))
        assert interactions[-1].last
        assert not any(i.last for i in interactions[:-1])
        assert interactions[0].iou > 0.9
        mask = RunLengths.from_counts(interactions[-1].mask, ImageSize(90, 120)).mask()
        assert np.array_equal(mask, sample.target()) or interactions[-1].k == 20
        assert interactions[0].ms >= interactions[0].encode_ms + interactions[0].decode_ms > 0

    def test_times_by_hand(self) -> None:
        second = replace(EASY, k=2, ms=10.0, encode_ms=0.0, decode_ms=6.0, last=True)
        result = times({"1": [EASY, second], "2": [replace(EASY, object="2", ms=50.0, encode_ms=40.0, last=True)]})
        assert result["first_mask_ms_p50"] == 40.0
        assert result["click_ms_p50"] == 10.0
        assert result["encode_ms_p50"] == 30.0  # the second click encodes no new crop
        assert result["decode_ms_p50"] == 8.0

    def test_figures_by_hand(self) -> None:
        records = {"1": [EASY, replace(EASY, k=2, iou=0.92, last=True)], "2": [replace(EASY, object="2", iou=0.95)]}
        result = figures(records, 20)
        assert (result["objects"], result["noc90"], result["nof90"], result["nof95"]) == (2, 1.5, 0, 1)
        assert result["miou1"] == pytest.approx(0.825)
        assert result["noc90_interval"][0] <= 1.5 <= result["noc90_interval"][1]

    def test_figures_by_class(self) -> None:
        records = {"1": [EASY], "2": [replace(EASY, object="2", label="cup", iou=0.9)]}
        result = classes(records, 20, {"card"})
        assert result["miou1"] == {"card": 0.7, "cup": 0.9}
        assert (result["miou1_seen"], result["miou1_unseen"]) == (0.7, 0.9)
        assert (result["objects"], result["seen"]) == ({"card": 1, "cup": 1}, ["card"])
        assert "seen" not in classes(records, 20)


class TestJournal:
    def test_what_was_appended_comes_back(self, tmp_path: Path) -> None:
        path = tmp_path / "run.jsonl"
        journal = Journal(path, {"data": "x"})
        journal.append(EASY)
        journal.append(replace(EASY, k=2, last=True))
        again = Journal(path, {"data": "x"})
        assert again.records == journal.records
        assert again.finished("1")
        assert not again.finished("2")

    @pytest.mark.parametrize("lost", [1, 7, 60])
    def test_a_torn_line_costs_one_interaction(self, tmp_path: Path, lost: int) -> None:
        path = tmp_path / "run.jsonl"
        journal = Journal(path, {})
        second = replace(EASY, k=2, last=True)
        journal.append(EASY)
        journal.append(second)
        path.write_bytes(path.read_bytes()[:-lost])
        again = Journal(path, {})
        kept = 2 if lost == 1 else 1  # without its line's end alone, an interaction is whole
        assert len(again.records["1"]) == kept
        again.append(second)
        assert read_records(path)["1"] == [EASY, second]

    def test_what_is_handed_in_twice_is_kept_once(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "run.jsonl", {})
        assert journal.append(EASY)
        before = journal.path.read_bytes()
        assert not journal.append(replace(EASY, ms=1.0))
        assert not journal.append(replace(EASY, k=3))  # one without the one before it
        assert journal.path.read_bytes() == before

    def test_another_run_is_not_gone_on_with(self, tmp_path: Path) -> None:
        Journal(tmp_path / "run.jsonl", {"data": "x", "size": 384})
        with pytest.raises(SaywhereError, match="differs in size"):
            Journal(tmp_path / "run.jsonl", {"data": "x", "size": 512})

    def test_a_full_disk_keeps_what_was_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        journal = Journal(tmp_path / "run.jsonl", {})
        journal.append(EASY)

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.write", full)
        with pytest.raises(SaywhereError, match=r"No space left.*run again"):
            journal.append(replace(EASY, k=2))
        assert read_records(tmp_path / "run.jsonl") == {"1": [EASY]}


class TestRun:
    def test_an_interrupted_run_goes_on_to_the_same_interactions(self, coco: Path, tmp_path: Path) -> None:
        whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
        bench(task_on(coco), whole)
        lines = journal_path(whole).read_bytes().splitlines(keepends=True)
        # Killed in the middle of an object's third line.
        journal_path(parts).write_bytes(b"".join(lines[:8]) + lines[8][:40])
        calls: list[tuple[int, int]] = []
        bench(task_on(coco), parts, progress=lambda done, total: calls.append((done, total)))
        assert as_measured(parts) == as_measured(whole)
        assert calls[0][0] > 0
        assert calls[-1] == (6, 6)

    def test_processes_give_the_same_to_the_last_digit(
        self, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(
            "PYTHONPATH",
            os.pathsep.join(map(str, [Path(__file__).parent, Path(__file__).parents[1]])),
            prepend=os.pathsep,
        )
        one, three = tmp_path / "one.json", tmp_path / "three.json"
        first, second = bench(task_on(coco), one), bench(task_on(coco), three, jobs=3)
        assert as_measured(one) == as_measured(three)
        assert first.keys() == second.keys()
        for name in ("noc80", "noc85", "noc90", "miou1", "miou3", "auc", "boundary_iou1", "ious"):
            assert first[name] == second[name]

    def test_faults_are_named_before_anything_is_measured(self, coco: Path, tmp_path: Path) -> None:
        (coco.parent / "set" / "3.png").unlink()
        (coco.parent / "set" / "4.png").write_bytes(b"")
        with pytest.raises(SaywhereError, match=r"3\.png.*4\.png.*saywhere data"):
            bench(task_on(coco), tmp_path / "out.json")
        assert not journal_path(tmp_path / "out.json").exists()

    def test_a_method_of_ones_own_must_answer(self) -> None:
        assert find_method(OWN, Settings())[0].name == "disc"
        for bad, words in (("conftest:nothing", "nothing"), ("no_such:x", "no_such"), ("pathlib:Path", "lacks digest")):
            with pytest.raises(SaywhereError, match=words):
                find_method(bad, Settings())

    def test_a_worker_with_another_method_is_refused(self) -> None:
        settings = Settings()
        expected = run_metadata(find_method(OWN, settings)[0], settings, 2)
        assert verify_method(OWN, settings, 2, expected)[0].name == "disc"
        with pytest.raises(SaywhereError, match=r"weights is 0, not 1.*same files"):
            verify_method(OWN, settings, 2, expected | {"weights": "1"})

    def test_labels_that_were_trained_on_come_from_the_weights_or_a_list(
        self, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("conftest.DiscRuntime.metadata", {"labels": ["card"]}, raising=False)
        by_weights = bench(task_on(coco), tmp_path / "out.json")["classes"]
        assert by_weights["objects"] == {"card": 6}
        assert (by_weights["noc90_seen"], by_weights["noc90_unseen"]) == (by_weights["noc90"]["card"], None)
        by_list = bench(task_on(coco), tmp_path / "out.json", seen=["cup"])["classes"]
        assert (by_list["noc90_seen"], by_list["noc90_unseen"]) == (None, by_weights["noc90"]["card"])

    def test_objects_are_spread_evenly(self) -> None:
        assert spread(10, 4) == [0, 2, 5, 7]
        assert spread(3, 9) == spread(3, None) == [0, 1, 2]


def test_the_report_is_one_file_with_everything(coco: Path, tmp_path: Path) -> None:
    tasks = [task_on(coco), task_on(coco, drag=True)]
    outs = [tmp_path / "a.json", tmp_path / "b.json"]
    measurements = [
        measure(task, out, command="saywhere bench --data x") for task, out in zip(tasks, outs, strict=True)
    ]
    page = pages.write_report(tmp_path / "report", measurements).read_text()
    assert page.count("<svg") == 2
    assert page.count("data:image/jpeg;base64,") == 2 * 2 * 6  # two runs, worst and median, six objects
    assert "saywhere bench --data x" in page
    assert f"{measurements[0].figures['noc90']:.2f}" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "zoom_margin 1.7" in page
    assert page.count("<details>") == 2
    assert "<td>card</td>" in page
    assert json.loads(outs[0].read_text())["noc90"] == measurements[0].figures["noc90"]


def test_killed_and_run_again_nothing_is_lost_and_nothing_counted_twice(coco: Path, tmp_path: Path) -> None:
    """A real process, killed with SIGKILL in the middle of its work, goes on to the figures of one that was not."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}

    def start(out: str, **more: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "saywhere.cli",
            "bench",
            "--model",
            OWN,
            "--data",
            str(coco),
            "--json",
            out,
        ]
        return subprocess.Popen(command, cwd=tmp_path, env=environment | more, stdout=subprocess.DEVNULL)

    assert start("whole.json").wait(600) == 0
    journal = tmp_path / "killed.jsonl"
    killed = start("killed.json", **{HOLD_AT: "12"})
    kill_when(killed, lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 4)
    before = read_records(journal)
    assert not (tmp_path / "killed.json").exists()
    assert start("killed.json").wait(600) == 0
    assert as_measured(tmp_path / "killed.json") == as_measured(tmp_path / "whole.json")
    after = read_records(journal)
    assert all(
        after[name][: len(interactions)] == interactions for name, interactions in before.items()
    )  # not even measured again
    assert json.loads((tmp_path / "killed.json").read_text())["objects"] == 6
