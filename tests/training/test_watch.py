"""What is seen of a run: sample masks, the page, TensorBoard, the range test, the dry run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from recipes import recipe_for
from typer.testing import CliRunner

from saywhere import SaywhereError
from saywhere.cli.main import app
from saywhere.evaluation.run_report import read_log, write_run_report
from saywhere.training.dry_run import dry_run
from saywhere.training.find_lr import smooth, suggest
from saywhere.training.loop import train
from saywhere.training.watch import RunWatch


def test_sample_masks_and_the_page(coco: Path, tmp_path: Path) -> None:
    recipe = recipe_for(coco, steps=2, sample_masks=2, validation={"data": str(coco), "limit": 1})
    run = tmp_path / "run"
    train(recipe, run)
    (picture,) = (run / "samples").glob("*.jpg")
    assert picture.name == "00000002.jpg"
    assert Image.open(picture).size == (384, 192)
    page = write_run_report(run).read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "step 2" in page
    assert re.search(r"2 steps in [\d.]+ minutes, finished", page)
    assert "ema_decay: 0.9" in page, "the recipe"
    assert 'src="http' not in page, "needs no other file"


def test_a_page_of_a_run_that_goes_on_in_stages(tmp_path: Path) -> None:
    stage = tmp_path / "clicks"
    stage.mkdir()
    lines = [json.dumps({"step": step, "seconds": 60.0, "loss": 1 / step, "time": {"data": 0.5}}) for step in (50, 100)]
    (stage / "log.jsonl").write_text("\n".join([*lines, '{"step": 150, "sec']))
    assert [line["step"] for line in read_log(stage / "log.jsonl")] == [50, 100]
    page = write_run_report(tmp_path).read_text()
    assert "Stage clicks" in page
    assert "100 steps in 1.0 minutes, not finished" in page
    assert "<svg" in page


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SaywhereError, match="has no log"):
            write_run_report(folder)


def test_tensorboard(coco: Path, tmp_path: Path) -> None:
    recipe = recipe_for(coco, tensorboard=True)
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        with pytest.raises(SaywhereError, match=r"pip install 'saywhere\[tensorboard\]'"):
            RunWatch(recipe, tmp_path)
        return
    watch = RunWatch(recipe, tmp_path)
    watch.figures(3, {"loss": 0.5, "time": {"data": 1.0}})
    watch.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("loss")] == [(3, 0.5)]


def test_the_suggested_rate_is_where_the_loss_falls_fastest() -> None:
    rates = [float(rate) for rate in np.geomspace(1e-6, 1.0, 61)]
    losses = [1.0 - 0.5 / (1.0 + np.exp(-4.0 * (np.log10(rate) + 3.0))) for rate in rates]  # steepest at 1e-3
    assert suggest(rates, losses) == pytest.approx(1e-3, rel=0.3)
    assert smooth([1.0, 0.0])[1] < 0.5, "corrected for its beginning"
    with pytest.raises(SaywhereError, match="falls at no learning rate"):
        suggest(rates, [1.0 + rate for rate in rates])
    with pytest.raises(SaywhereError, match="diverged after 3 steps"):
        suggest(rates[:3], [1.0, 2.0, 9.0])


def test_dry_run_counts_and_writes_nothing(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    stages = {"first": {"steps": 7}, "second": {"steps": 9, "model": {"freeze": ["encoder"]}}}
    first, second = dry_run(recipe_for(coco, stages=stages))
    assert (first.name, first.steps, second.steps, first.objects, first.batch) == ("first", 7, 9, 6, 2)
    assert first.parameters == second.parameters
    assert second.trained < first.trained < first.parameters
    assert first.operations > 10**6
    assert first.memory > 10**7
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_the_commands(coco: Path, tmp_path: Path) -> None:
    recipe = recipe_for(coco, steps=2).model_dump(exclude_defaults=True, mode="json")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    arguments = ["train", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "mine: 2 steps of 2 from 6 objects;" in result.output
    assert "nothing was written" in result.output
    assert not (tmp_path / "out").exists()
    result = CliRunner().invoke(app, [*arguments, "--find-lr"])
    assert result.exit_code == 0, result.output
    curve = json.loads((tmp_path / "out" / "find-lr.json").read_text())
    assert len(curve["rates"]) == len(curve["losses"]) > 10
    assert f"--set optimiser.lr={curve['suggestion']:g}" in result.output
    assert (tmp_path / "out" / "find-lr.svg").is_file()
    assert not list((tmp_path / "out").glob("*.safetensors"))
