"""saywhere reproduce: a paper's tables from definitions, killed and resumed, with values that journals confirm."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from conftest import polygon_of
from saywhere import SaywhereError
from saywhere.cli.main import app
from saywhere.core import metrics
from saywhere.data.datasets import load_dataset
from saywhere.evaluation.journal import read_records
from saywhere.evaluation.reproduce.definition import (
    Definition,
    SeenLabels,
    chosen_tables,
    paper_names,
    parse_definition,
    read_definition,
)
from saywhere.evaluation.reproduce.evaluations import check_definition, evaluation_of
from saywhere.evaluation.reproduce.groups import object_names
from saywhere.evaluation.reproduce.networks import make_training
from saywhere.evaluation.reproduce.radius import errors_of
from saywhere.evaluation.reproduce.relevance import mask_failure
from saywhere.evaluation.reproduce.run import Options, make_plan, reproduce
from saywhere.evaluation.reproduce.values import compare_values, contrast_values, summarise, value_of
from saywhere.training.stages import list_stages

TOY = {
    "paper": "A toy",
    "recipe": "multistage-small",
    "steps": 2,
    "networks": {
        "full": {},
        "none": {"changes": ["stages.early.model.options.fusion=none"], "last_stage": "early"},
        "early": {"last_stage": "early"},
    },
    "tables": {
        "1": {
            "title": "Fusion",
            "place": "a toy's table 1",
            "settings": {"size": 64, "zoom": False},
            "task": {"max_interactions": 1},
            "columns": [
                {"name": "toy", "data": "photos-7k:val", "figure": "miou1", "scale": 100},
                {"name": "not here", "data": "berkeley", "figure": "miou1"},
            ],
            "rows": [
                {"name": "no click", "network": "none", "published": [79.0, None]},
                {"name": "early", "network": "early", "published": [84.5, None], "against": "no click"},
            ],
        }
    },
}  # fmt: skip
SMALL = ("model.pretrained=null", "crop.size=64", "crop.cached_images=0", "batch=2", "workers=0", "precision='32'")


def write_toy(root: Path, images: int = 4) -> None:
    """photos-7k and duts with a few images of one bright rectangle each, two labels."""
    rng = np.random.default_rng(0)
    for folder, name in (("photos-7k", "train"), ("photos-7k", "val"), ("duts", "train"), ("duts", "val")):
        (root / folder / "set").mkdir(parents=True, exist_ok=True)
        content: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": []}
        for i in range(1, images + 1):
            pixels = rng.integers(0, 60, (60, 80, 3), dtype=np.uint8)
            x, y, w, h = 10 + 4 * i, 5 + 3 * i, 30, 24
            pixels[y : y + h, x : x + w] = (230, 200, 20 * i)
            file = f"set/{name}-{i}.png"
            Image.fromarray(pixels).save(root / folder / file)
            content["images"].append({"id": i, "file_name": file, "width": 80, "height": 60})
            content["annotations"].append(
                {"id": i, "image_id": i, "category_id": 1 + i % 2, "segmentation": polygon_of(x, y, w, h)}
            )
        content["categories"] = [{"id": 1, "name": "cup"}, {"id": 2, "name": "dog"}]
        (root / folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def toy(root: Path) -> Definition:
    write_toy(root)
    return parse_definition(TOY, "toy")


class Stopped(Exception):
    """In the place of a kill, within one process."""


class TestRun:
    def test_it_goes_on_where_it_stopped_and_the_table_holds_what_the_journals_say(
        self, toy: Definition, tmp_path: Path
    ) -> None:
        out, options = tmp_path / "run", Options(changes=SMALL, threads=1)
        said = io.StringIO()

        def stop(item: str, done: int, total: int) -> None:
            if "early" in item and done == 2:
                raise Stopped

        with pytest.raises(Stopped):
            reproduce("toy", toy, out, options, Console(file=said, width=200), stop)
        assert "min left" in said.getvalue()
        assert not (out / "table.md").exists()
        weights = sorted((out / "networks").rglob("weights.safetensors"))
        times = {path: path.stat().st_mtime_ns for path in weights}
        assert [path.parent.parent.name for path in weights] == ["early", "none"]  # full is in no row
        (journal,) = (out / "evaluations").glob("early-*.jsonl")
        (finished,) = (out / "evaluations").glob("none-*.json")
        begun, kept = journal.read_bytes(), finished.stat().st_mtime_ns
        reproduce("toy", toy, out, options, Console(file=said, width=200))
        assert {path: path.stat().st_mtime_ns for path in weights} == times
        assert journal.read_bytes().startswith(begun)
        assert finished.stat().st_mtime_ns == kept
        self.check_by_hand(out)

    def check_by_hand(self, out: Path) -> None:
        ious = {}
        for network in ("none", "early"):
            (journal,) = (out / "evaluations").glob(f"{network}-*.jsonl")
            ious[network] = {name: of_object[0].iou for name, of_object in read_records(journal).items()}
        table = json.loads((out / "table.json").read_text())["tables"]["1"]
        cells = {cell["row"]: cell for cell in table["cells"]}
        names = sorted(ious["none"])
        assert len(names) == 4
        for row, network in (("no click", "none"), ("early", "early")):
            assert cells[row]["mean"] == pytest.approx(100 * sum(ious[network].values()) / 4, abs=1e-3)
        paired = [ious["early"][name] - ious["none"][name] for name in names]
        low, high = metrics.bootstrap_interval(paired)
        compared = cells["early"]["comparison"]
        assert compared["difference"] == pytest.approx(100 * sum(paired) / 4, abs=1e-3)
        assert (compared["low"], compared["high"]) == pytest.approx((100 * low, 100 * high), abs=1e-3)
        expected = "within chance" if low <= 0 <= high else "confirmed" if low > 0 else "refuted"
        assert (compared["expected"], compared["verdict"]) == ("higher", expected)
        text = (out / "table.md").read_text()
        assert "| 84.5 |" in text
        assert expected in text
        assert "data 'berkeley' is not here; put it into SAYWHERE_DATA/berkeley; source: https://" in text

    def test_a_folder_of_other_settings_is_refused(self, toy: Definition, tmp_path: Path) -> None:
        out = tmp_path / "run"
        out.mkdir()
        (out / "progress.jsonl").write_text('{"conditions": {"paper": "toy", "steps": 99}}\n')
        with pytest.raises(SaywhereError, match="differs in"):
            reproduce("toy", toy, out, Options(changes=SMALL))

    def test_nothing_is_written_when_no_table_can_be_made(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match=r"no table can be made; table 1: data .*photos-7k/val\.json"):
            reproduce("toy", parse_definition(TOY, "toy"), tmp_path / "run", Options(changes=SMALL))
        assert not (tmp_path / "run").exists()

    def test_a_wrong_change_is_an_error_and_skips_nothing(self, toy: Definition, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match=r"crop\.sise"):
            reproduce("toy", toy, tmp_path / "run", Options(changes=("crop.sise=64",)))

    def test_a_time_limit_is_shared_by_estimated_times(self, toy: Definition, tmp_path: Path) -> None:
        plan = make_plan("toy", toy, tmp_path / "run", Options(changes=SMALL, time_limit=60.0))
        limits = {name: training.time_limit for name, training in plan.trainings.items()}
        # 2 steps of a second for each of two networks; 4 objects of 0.1 s each count as a second.
        assert limits == pytest.approx({"none": 20.0, "early": 20.0})

    @pytest.mark.slow
    def test_killed_processes_leave_nothing_that_is_done_again(self, root: Path, tmp_path: Path) -> None:
        write_toy(root)
        out = tmp_path / "run"
        changes = [part for change in SMALL for part in ("--set", change)]
        command = [
            sys.executable, "-m", "saywhere.cli", "reproduce", "multistage", "--small", "--table", "1", "--steps", "6",
            "--limit", "2", "--threads", "1", "--out", str(out), *changes, "--set", "checkpoint_minutes=0.000000001",
        ]  # fmt: skip

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)

        def kill_when(there: Path) -> None:
            process = start()
            while process.poll() is None and not there.exists():
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

        kill_when(out / "networks" / "early" / "early" / "checkpoint.safetensors")
        first = out / "networks" / "none" / "early" / "weights.safetensors"
        trained = first.stat().st_mtime_ns
        kill_when(out / "evaluations")
        assert start().wait(300) == 0
        assert first.stat().st_mtime_ns == trained
        table = json.loads((out / "table.json").read_text())["tables"]["1"]
        assert {cell["row"] for cell in table["cells"]} == {
            "resnet-baseline (no click)",
            "resnet-early",
            "resnet-multi",
        }
        assert any("berkeley" in note for note in table["notes"])


class TestDefinitions:
    @pytest.mark.parametrize("name", ["phraseclick", "textclick", "dctnet", "sequential", "multistage", "saywhere"])
    def test_each_can_be_read_and_names_only_what_there_is(self, name: str) -> None:
        definition = read_definition(name)
        check_definition(definition)
        assert name in paper_names()

    def test_networks_of_one_definition_have_equal_steps_over_their_stages(
        self, toy: Definition, tmp_path: Path
    ) -> None:
        definition = read_definition("multistage")
        for name in definition.networks:
            training = make_training(definition, name, tmp_path, 300, None, ())
            stages = list_stages(training.recipe)
            last = [stage.name for stage in stages].index(training.last_stage) if training.last_stage else 2
            assert sum(stage.recipe.steps for stage in stages[: last + 1]) == 300

    def test_a_cell_takes_what_the_row_the_column_and_the_table_say_in_this_order(self) -> None:
        table = read_definition("dctnet").tables["1"]
        row = next(row for row in table.rows if row.network == "spatial")
        evaluation = evaluation_of(table, row, table.columns[-1], False, 1.0, None)
        assert (evaluation.data, evaluation.limit, evaluation.task) == ("photos-7k:val", 200, {"drag": True})
        assert evaluation_of(table, row, table.columns[-1], False, 0.5, None).limit == 100
        assert evaluation_of(table, row, table.columns[-1], False, 1.0, 3).limit == 3

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"against": "nobody"}, "which is no row"),
            ({"published": [1.0]}, "1 published values, 2 columns"),
            ({"network": "other"}, "unknown networks"),
            ({"figures": {"?": "miou1"}}, "unknown columns"),
        ],
    )
    def test_a_wrong_one_is_refused(self, change: dict[str, object], says: str) -> None:
        table = TOY["tables"]["1"]  # type: ignore[index]
        rows = [table["rows"][0], {**table["rows"][1], **change}]
        with pytest.raises(SaywhereError, match=says):
            parse_definition({**TOY, "tables": {"1": {**table, "rows": rows}}}, "toy")

    def test_unknown_papers_and_tables_are_named(self) -> None:
        with pytest.raises(SaywhereError, match="choose one of dctnet"):
            read_definition("nonet")
        with pytest.raises(SaywhereError, match="choose from 1, auto-drag"):
            chosen_tables(read_definition("dctnet"), ["7"])

    def test_held_out_labels_are_those_that_are_not_seen(self, root: Path, tmp_path: Path) -> None:
        write_toy(root)
        content = {**TOY, "recipe": "textclick-small"}
        content["networks"] = {**TOY["networks"], "few": {"seen": {"never": 2}}, "none": {}, "early": {}}  # type: ignore[dict-item]
        training = make_training(parse_definition(content, "toy"), "few", tmp_path, None, None, ())
        assert training.seen == ("dog",)
        assert training.recipe.phrases.held_out == ("cup",)

    def test_shorter_lists_lie_in_longer_ones(self) -> None:
        labels = [f"{i:03}" for i in range(100)]
        long, short = SeenLabels(never=4).chosen(labels), SeenLabels(never=4, every=8).chosen(labels)
        assert set(short) < set(long)
        assert not {label for label in long if int(label) % 4 == 0}
        assert (len(long), len(short)) == (75, 10)


class TestValues:
    RUN: ClassVar = {"most_interactions": 20, "ious": {"a": [0.95, 0.5, 0.92], "b": [0.2, 0.91], "c": [0.1, 0.3, 0.4]}}

    def test_a_click_and_its_phrase_count_as_two_interactions_with_one_mask(self) -> None:
        together, each = value_of(self.RUN, "noc90_together"), value_of(self.RUN, "noc90")
        assert together is not None
        assert each is not None
        assert together.by_object == {"a": 3.0, "b": 2.0, "c": 20.0}
        assert each.by_object == {"a": 1.0, "b": 2.0, "c": 20.0}

    def test_seeds_of_one_object_are_one_value(self) -> None:
        run = {
            "most_interactions": 20,
            "sequences": 1,
            "ious": {"a@0": [0.95], "a@1": [0.0, 0.1, 0.95], "b@0": [0.0, 1.0]},
        }
        value = value_of(run, "noc90")
        assert value is not None
        assert value.by_object == {"a": 1.0, "b": 1.0}

    def test_a_group_takes_its_objects_and_an_empty_one_has_no_value(self) -> None:
        value = value_of(self.RUN, "miou1", {"a", "b", "elsewhere"})
        assert value is not None
        assert value.mean == pytest.approx(0.575)
        assert value_of(self.RUN, "miou1", {"elsewhere"}) is None

    def test_numbers_without_objects_are_compared_as_they_are(self) -> None:
        a, b = (value_of({"parameters": count}, "parameters") for count in (59, 45))
        assert a is not None
        assert b is not None
        compared = compare_values(a, b, "lower")
        assert compared is not None
        assert (compared.difference, compared.verdict) == (-14.0, "confirmed")

    def test_other_objects_are_compared_as_two_samples(self) -> None:
        compared = compare_values(summarise({"a": 0.1, "b": 0.2}), summarise({"c": 0.8, "d": 0.9}), "higher")
        assert compared is not None
        assert 0.5 < compared.low <= compared.difference <= compared.high < 0.9
        assert compared.verdict == "confirmed"

    def test_a_contrast_compares_two_gains(self) -> None:
        text, none = summarise({"a": 0.6, "b": 0.9}), summarise({"a": 0.5, "b": 0.3})
        unseen = {"b": text.by_object["b"]}, {"b": none.by_object["b"]}
        seen = {"a": text.by_object["a"]}, {"a": none.by_object["a"]}
        more, less = (tuple(map(summarise, pair)) for pair in (unseen, seen))
        contrast = contrast_values(more, less)  # type: ignore[arg-type]
        assert contrast.difference == pytest.approx(0.6 - 0.1)
        assert contrast.verdict == "confirmed"


class TestMeasurements:
    def test_radius_errors_by_hand(self) -> None:
        errors = errors_of({"cup": [(30.0, 20.0), (8.0, 16.0), (32.0, 8.0)], "dog": [(40.0, 40.0)]})
        assert errors["radius_pixels1"] == {"cup": 10.0, "dog": 0.0}
        assert errors["radius_log_error_later"] == {"cup": 1.5}
        # The median of the first drags' true radii is 40.
        assert errors["constant_log_error1"] == {"cup": 1.0, "dog": 0.0}

    def test_a_mask_that_covers_the_whole_of_which_a_part_was_meant_has_covered_more(self) -> None:
        target, whole, elsewhere = (np.zeros((10, 10), bool) for _ in range(3))
        target[:3], whole[:], elsewhere[7:] = True, True, True
        assert mask_failure(whole, target, None) == (True, True)
        assert mask_failure(elsewhere, target, None) == (True, False)
        assert mask_failure(target, target, None) == (False, False)

    def test_groups_are_by_label_kind_and_number_of_instances(self, root: Path) -> None:
        write_toy(root)
        samples = load_dataset("photos-7k:val")
        assert object_names("1 instance", "photos-7k:val", None) == {sample.name for sample in samples}
        assert object_names("4 or more instances", "photos-7k:val", None) == set()
        assert object_names("whole", "photos-7k:val", None) == {sample.name for sample in samples}
        dogs = {sample.name for sample in samples if sample.label == "dog"}
        assert object_names("seen", "photos-7k:val", ["dog"]) == dogs
        assert object_names("unseen", "photos-7k:val", ["cup"]) == dogs
        with pytest.raises(SaywhereError, match="choose from seen, unseen, part"):
            object_names("blue", "photos-7k:val", None)

    @pytest.mark.slow
    def test_operations_of_siis_table_2(self) -> None:
        from saywhere.evaluation.reproduce.cost import measure_cost

        ours, deeplab = measure_cost("sequential", 384), measure_cost("deeplabv3plus", 384)
        assert ours["parameters"] == pytest.approx(45.743e6, rel=1e-4)
        assert deeplab["parameters"] == pytest.approx(59.345e6, rel=1e-4)
        assert ours["multiply_adds"] == pytest.approx(32.364e9, rel=0.005)
        assert deeplab["multiply_adds"] == pytest.approx(50.149e9, rel=0.005)


def test_the_command_asks_for_its_scale() -> None:
    result = CliRunner().invoke(app, ["reproduce", "dctnet"])
    assert isinstance(result.exception, SaywhereError)
    assert "add --small" in str(result.exception)
