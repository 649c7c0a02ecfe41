"""Models of other projects in ``bench``, ``prelabel`` and ``annotate``, by their names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from annotator import Server, act, click, make_folder, mask_of
from external_models import EXPORTS
from isegm_checkout import write_checkout
from typer.testing import CliRunner

from conftest import disc
from saywhere.cli.main import app
from saywhere.core.metrics import iou


@pytest.fixture(scope="module")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> str:
    encoder, decoder = EXPORTS["sam2, samexporter"](tmp_path_factory.mktemp("sam2"))
    return f"sam:{encoder},{decoder}"


def test_bench_measures_them_beside_each_other(coco: Path, sam2: str, tmp_path: Path) -> None:
    checkpoint, checkout = write_checkout(tmp_path, "ritm")
    ritm = f"ritm:{checkpoint}@{checkout}"
    command = ["bench", "--data", str(coco), "--limit", "2", "--clicks", "4", "--json", str(tmp_path / "out.json")]
    done = CliRunner().invoke(app, [*command, "--model", sam2, "--model", ritm], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    runs = [json.loads((tmp_path / f"out-{i}.json").read_text()) for i in (1, 2)]
    assert [run["model"] for run in runs] == ["sam2:encoder", "ritm:ritm"]
    assert [(run["size"], run["zoom"], run["previous_mask_from"]) for run in runs] == [(1024, False, 2), (480, True, 2)]
    assert [run["runtime"] for run in runs] == ["onnxruntime", "torch"]
    assert all(run["miou1"] > 0.6 for run in runs), runs


def test_prelabel_takes_boxes(coco: Path, sam2: str, tmp_path: Path) -> None:
    request = json.loads(coco.read_text())
    for annotation in request["annotations"]:
        edges = np.reshape(annotation.pop("segmentation")[0], (-1, 2))
        annotation["bbox"] = [*edges.min(0).tolist(), *(edges.max(0) - edges.min(0)).tolist()]
    source = coco.with_name("boxes.json")
    source.write_text(json.dumps(request))
    command = ["prelabel", str(source), "--out", str(tmp_path / "masks.json"), "--model", sam2]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "masks.json").read_text())["annotations"]
    assert len(found) == 6
    assert all(1500 < annotation["area"] < 2500 for annotation in found)  # of 2000


def test_annotate_answers_clicks_boxes_and_phrases(sam2: str, tmp_path: Path) -> None:
    server = Server(make_folder(tmp_path / "images"), model=sam2)
    try:
        client = server.client()
        project = client.get("/api/project").json()
        assert (project["phrases"], project["boxes"], project["candidates"]) == (True, True, 3)
        answer = act(client, 1, click(300, 200)).json()
        red = disc(480, 640, 300, 200, 60)
        assert iou(mask_of(answer, 1), red) > 0.8
        act(client, 1, {"kind": "phrase", "text": "ball", "object": 1}).raise_for_status()
        boxed = act(client, 2, {"kind": "box", "box": [110, 130, 250, 270]}).json()
        assert iou(mask_of(boxed, 1), disc(480, 640, 180, 200, 60)) > 0.8
    finally:
        server.stop()


def test_a_name_that_is_none_ends_with_one_line(coco: Path, tmp_path: Path) -> None:
    command = ["bench", "--data", str(coco), "--json", str(tmp_path / "out.json"), "--model", "sam:encoder.onnx"]
    done = CliRunner().invoke(app, command)
    assert "one file instead of two; give sam:ENCODER.onnx,DECODER.onnx" in f"{done.output}{done.exception}"
    assert not (tmp_path / "out.json").exists()
