"""The command line as a person meets it, on real files; a few times as a real process."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from saywhere.annotate.sample_images import SAMPLES
from saywhere.cli import main
from saywhere.cli.bench import bench
from saywhere.cli.doctor import EXTRAS, doctor
from saywhere.cli.models import models
from saywhere.cli.train import seconds, train
from saywhere.errors import EXTRA_OF, SaywhereError, needing
from saywhere.models.checkpoint import save_model
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.weights import shipped

SMALL = {"widths": [8, 8, 16, 16], "key": 8}


def saywhere(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in this process, which has imported torch already."""
    out, error, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(error):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["saywhere", *map(str, arguments)])
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), error.getvalue())


def process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "saywhere.cli", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def refused(result: subprocess.CompletedProcess[str], folder: Path, *words: str) -> None:
    """One line that says what was given and what to do, code 2, and nothing left behind."""
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("saywhere: ")
    for word in words:
        assert word in lines[0]
    assert not list(folder.glob("*mask*"))


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    """A folder with a photograph, and small weights that were never trained."""
    Image.fromarray(photo).save(tmp_path / "photo.png")
    save_model(tmp_path / "small.safetensors", Saywhere(**SMALL), "saywhere", SMALL, {"step": 0, "data": []})
    return tmp_path


@pytest.fixture
def several(folder: Path) -> str:
    """Small weights with candidates and boxes, whose masks and scores differ though they were never trained."""
    import torch

    options = {**SMALL, "candidates": 3, "box": True}
    torch.manual_seed(0)
    model = Saywhere(**options)
    assert model.candidate_scores is not None
    torch.nn.init.normal_(model.candidate_scores.which)
    torch.nn.init.normal_(model.candidate_scores.last.weight)
    save_model(folder / "several.safetensors", model, "saywhere", options, {"step": 0, "data": []})
    return "several.safetensors"


class TestSegment:
    def test_mask_overlay_and_json(self, folder: Path) -> None:
        result = process(
            "segment", "photo.png", "--weights", "small.safetensors", "--click", "300,200", "--drag", "310,210,12.5",
            "--not", "20,20", "--out", "out/mask.png", "--overlay", "out/overlay.jpg", "--json", cwd=folder,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout)
        mask = np.asarray(Image.open(folder / "out" / "mask.png"))
        assert mask.shape == (480, 640)
        assert set(np.unique(mask)) <= {0, 255}
        packed = {"size": found["segmentation"]["size"], "counts": found["segmentation"]["counts"].encode()}
        assert np.array_equal(coco_mask.decode(packed) > 0, mask > 0)
        assert found["area"] == (mask > 0).sum()
        assert 0.0 <= found["score"] <= 1.0
        assert Image.open(folder / "out" / "overlay.jpg").size == (640, 480)

    def test_a_cutout_and_a_blurred_background(self, tmp_path: Path) -> None:
        shutil.copy(SAMPLES / "chelsea.jpg", tmp_path / "cat.jpg")
        command = ["segment", "cat.jpg", "--click", "230,140"]
        saywhere(*command, "--out", "mask.png", cwd=tmp_path)
        result = saywhere(*command, "--cutout", "cut.png", cwd=tmp_path)
        assert "→ cut.png" in result.stdout
        saywhere(*command, "--cutout", "blurred.tif", "--blur", "12", cwd=tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["blurred.tif", "cat.jpg", "cut.png", "mask.png"]
        photo, mask, cut, blurred = (
            np.asarray(Image.open(tmp_path / name)) for name in ("cat.jpg", "mask.png", "cut.png", "blurred.tif")
        )
        assert ((cut[:, :, 3] > 127) == (mask > 0)).all()
        opaque = cut[:, :, 3] == 255
        assert 0.3 < opaque.mean() < 0.9
        assert (cut[opaque][:, :3] == photo[opaque]).all(), "red is red"
        assert blurred.shape == photo.shape
        assert (blurred[opaque] == photo[opaque]).all()
        assert (blurred[cut[:, :, 3] == 0] != photo[cut[:, :, 3] == 0]).any(axis=1).mean() > 0.5

    def test_without_an_output_the_mask_lies_beside(self, folder: Path) -> None:
        result = saywhere("segment", "photo.png", "--weights", "small.safetensors", "--click", "300,200", cwd=folder)
        assert result.returncode == 0, result.stderr
        assert "photo-mask.png" in result.stdout
        assert (folder / "photo-mask.png").exists()

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], ["no prompt", "--click"]),
            (["--click", "9000,5"], ["9000", "640x480"]),
            (["--click", "nan,5"], ["finite"]),
            (["--click", "5"], ["--click", "X,Y"]),
            (["--click", "five,six"], ["five,six", "X,Y"]),
            (["--drag", "5,6"], ["X,Y,RADIUS"]),
            (["--drag", "5,6,-1"], ["radius"]),
            (["--click", "5,5", "--weights", "none.safetensors"], ["none.safetensors", "no such file"]),
            (["--click", "5,5", "--weights", "photo.png"], ["photo.png", "not a safetensors file"]),
            (["--click", "5,5", "--weights", "somebody/weights"], ["somebody/weights", "hub"]),
            (["--click", "5,5", "--out", "mask.photo"], [".photo", ".png"]),
            (["--box", "5,5,9,9"], ["'small'", "no boxes"]),
            (["--click", "5,5", "--candidate", "1"], ["candidate 1", "there are 1"]),
            (["--click", "5,5", "--cutout", "o.jpg"], ["o.jpg", "no transparency", ".png"]),
            (["--click", "5,5", "--cutout", "o.jpg", "--blur", "9"], ["o.jpg", "not every detail", ".png"]),
            (["--click", "5,5", "--cutout", "./photo.png"], ["photo.png", "also the image"]),
            (["--click", "5,5", "--cutout", "o.png", "--out", "x/../o.png"], ["o.png", "also --out"]),
            (["--click", "5,5", "--cutout", "o.png", "--blur", "0"], ["blur 0", "above 0"]),
            (["--click", "5,5", "--cutout", "o.png", "--out", "m.png", "--blur", "900"], ["blur 900", "640x480"]),
            (["--click", "5,5", "--blur", "9"], ["--blur 9", "--cutout"]),
        ],
    )
    def test_bad_input_is_one_line_and_code_two(self, folder: Path, arguments: list[str], words: list[str]) -> None:
        if "--weights" not in arguments:
            arguments = [*arguments, "--weights", "small.safetensors"]
        refused(saywhere("segment", "photo.png", *arguments, cwd=folder), folder, *words)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--box", "5,5,9"], ["--box", "X0,Y0,X1,Y1"]),
            (["--box", "5,5,9,nine"], ["--box", "X0,Y0,X1,Y1"]),
            (["--box", "5,5,9,nan"], ["finite"]),
            (["--box", "5,5,5,9"], ["empty"]),
            (["--box", "9,5,5,9"], ["reversed"]),
            (["--box", "700,5,800,9"], ["outside", "640x480"]),
            (["--box", "5,5,90,90", "--candidate", "3"], ["candidate 3", "there are 3"]),
            (["--box", "5,5,90,90", "--candidate", "-1"], ["candidate -1", "there are 3"]),
        ],
    )
    def test_a_bad_box_or_candidate_is_one_line(
        self, folder: Path, several: str, arguments: list[str], words: list[str]
    ) -> None:
        refused(saywhere("segment", "photo.png", "--weights", several, *arguments, cwd=folder), folder, *words)

    def test_a_box_and_another_candidate(self, folder: Path, several: str) -> None:
        command = ["segment", "photo.png", "--weights", several, "--box", "200,100,400,300", "--click", "300,200"]
        listed = json.loads(saywhere(*command, "--json", cwd=folder).stdout)
        assert len(listed["candidates"]) == 3
        shares = [each["area_share"] for each in listed["candidates"]]
        assert shares == sorted(shares)
        assert all(0.0 < each["predicted_iou"] < 1.0 for each in listed["candidates"])
        other = (listed["candidate"] + 1) % 3
        taken = json.loads(saywhere(*command, "--json", "--candidate", str(other), cwd=folder).stdout)
        assert (taken["candidate"], taken["candidates"]) == (other, listed["candidates"])
        assert taken["segmentation"] != listed["segmentation"]
        result = saywhere(*command, "--overlay", "o.png", "--candidate", str(other), cwd=folder)
        assert f"candidate {other}" in result.stdout
        assert result.stdout.count("predicted IoU") == 3
        assert result.stdout.count("(written)") == 1
        drawn = np.asarray(Image.open(folder / "o.png"))
        assert (drawn[100, 200:400] == drawn[100, 250]).all()  # the box's upper edge

    def test_a_process_ends_with_code_two(self, folder: Path) -> None:
        refused(process("segment", "photo.png", "--click", "9000,5", cwd=folder), folder, "9000", "640x480")

    def test_bad_photographs(self, folder: Path) -> None:
        (folder / "empty.jpg").touch()
        (folder / "cut.png").write_bytes((folder / "photo.png").read_bytes()[:200])
        for name in ("empty.jpg", "cut.png", "missing.jpg"):
            refused(
                saywhere("segment", name, "--click", "5,5", "--weights", "small.safetensors", cwd=folder), folder, name
            )

    def test_weights_cut_short_and_of_another_architecture(self, folder: Path) -> None:
        content = (folder / "small.safetensors").read_bytes()
        (folder / "cut.safetensors").write_bytes(content[:5000])
        save_model(folder / "other.safetensors", Saywhere(**SMALL), "saywhere", {**SMALL, "key": 9}, {})
        for name, words in (("cut", "cut short"), ("other", "another architecture")):
            result = saywhere("segment", "photo.png", "--click", "5,5", "--weights", f"{name}.safetensors", cwd=folder)
            refused(result, folder, words)

    def test_a_folder_that_cannot_be_written(self, folder: Path) -> None:
        (folder / "file").touch()
        result = saywhere(
            "segment",
            "photo.png",
            "--click",
            "5,5",
            "--weights",
            "small.safetensors",
            "--out",
            "file/m.png",
            cwd=folder,
        )
        refused(result, folder, "cannot be written")


class TestBench:
    def test_the_figures_and_what_could_change_them(self, folder: Path, coco: Path) -> None:
        result = saywhere(
            "bench", "--model", "small.safetensors", "--data", coco, "--clicks", 3, "--limit", 2, "--drag",
            "--json", "out.json", cwd=folder,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        figures = json.loads((folder / "out.json").read_text())
        needed = [
            "objects",
            "noc85",
            "noc90",
            "nof90",
            "miou1",
            "miou3",
            "miou5",
            "encode_ms_p50",
            "click_ms_p50",
            "click_ms_p95",
        ]
        assert not [name for name in needed if name not in figures]
        assert figures["objects"] == 2
        assert figures["interaction"] == "drag"
        assert figures["most_interactions"] == 3
        assert 1 <= figures["noc90"] <= 3
        assert figures["encode_ms_p50"] > 0
        assert all(1 <= len(ious) <= 3 for ious in figures["ious"].values())

    def test_bad_input(self, folder: Path, coco: Path) -> None:
        for data, words in (("nothing.json", "nothing.json"), ("imagenet", "grabcut")):
            result = saywhere("bench", "--model", "small.safetensors", "--data", data, "--json", "o.json", cwd=folder)
            refused(result, folder, words)
            assert not (folder / "o.json").exists()
        content = json.loads(coco.read_text())
        content["images"][0]["width"] = 100
        coco.write_text(json.dumps(content))
        result = saywhere("bench", "--model", "small.safetensors", "--data", coco, "--json", "o.json", cwd=folder)
        refused(result, folder, "1", "100x90", "120x90")


class TestTrain:
    def test_from_recipe_to_mask(self, folder: Path, coco: Path) -> None:
        (folder / "recipe.yaml").write_text(
            f"model: {{name: saywhere, options: {json.dumps(SMALL)}}}\ndata: [{{path: {coco}}}]\n"
            f"crop: {{size: 64}}\nbatch: 2\nworkers: 0\nsteps: 2\nvalidation: {{data: {coco}, limit: 1}}\n"
        )
        result = saywhere("train", "recipe.yaml", "--out", "run", cwd=folder)
        assert result.returncode == 0, result.stderr
        assert "noc90" in (folder / "run" / "log.jsonl").read_text()
        result = saywhere(
            "segment", "photo.png", "--click", "5,5", "--weights", "run/weights.safetensors", "--json", cwd=folder
        )
        assert result.returncode == 0, result.stderr

    def test_bad_input(self, folder: Path) -> None:
        recipe = folder / "recipe.yaml"
        refused(saywhere("train", "none.yaml", cwd=folder), folder, "none.yaml")
        recipe.write_text("model: {name: saywhere}\ndata: [{path: gone.json}]\nspeed: 3\n")
        refused(saywhere("train", "recipe.yaml", cwd=folder), folder, "speed")
        recipe.write_text("model: {name: saywhere}\ndata: [{path: gone.json}]\n")
        refused(saywhere("train", "recipe.yaml", cwd=folder), folder, "gone.json")
        refused(saywhere("train", "recipe.yaml", "--time-limit", "soon", cwd=folder), folder, "soon", "25m")
        assert not (folder / "runs").exists()


def test_times_are_read() -> None:
    assert (seconds("90s"), seconds("25m"), seconds("1.5h")) == (90.0, 1500.0, 5400.0)
    with pytest.raises(SaywhereError):
        seconds("25")


def test_models_and_doctor_tell(folder: Path) -> None:
    listed = saywhere("models", cwd=folder)
    assert listed.returncode == 0, listed.stderr
    assert "saywhere" in listed.stdout
    for name in shipped():
        assert name in listed.stdout
    told = saywhere("doctor", cwd=folder)
    assert told.returncode == 0, told.stderr
    for word in ("torch", "device", "because", "SAYWHERE_DATA", "photos-7k:train"):
        assert word in told.stdout


def test_models_are_listed_without_the_extra_of_the_papers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("segmentation_models_pytorch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    models()
    listed = capsys.readouterr().out
    assert "saywhere[torch]" in listed
    for name in shipped():
        assert f"{name} " in listed


def test_training_without_its_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "saywhere.training.loop", raising=False)
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(SaywhereError, match=r"lightning_fabric.*saywhere\[torch\]"):
        train(tmp_path / "recipe.yaml")


def test_a_report_without_its_extra_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SaywhereError, match=r"matplotlib.*saywhere\[bench\]"):
        bench(["gone.json"], tmp_path / "figures.json", report=tmp_path / "page")


def test_importing_takes_at_most_300_ms_of_the_processor_and_brings_no_torch(tmp_path: Path) -> None:
    code = "import sys, time; t = time.process_time(); import saywhere"
    code += "; print(time.process_time() - t, 'torch' in sys.modules, 'numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    took, *loaded = run.stdout.split()
    assert float(took) < 0.3
    assert loaded == ["False", "False"]


def test_every_public_name_can_be_imported_and_an_unknown_one_is_refused() -> None:
    import saywhere as package

    assert {*package.__all__, "__version__"} <= set(dir(package))
    assert all(getattr(package, name).__name__ == name for name in package.__all__)
    assert package.__version__ == metadata.version("saywhere")
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        package.Segmentor  # noqa: B018


@pytest.mark.parametrize(("package", "extra"), [("torch", "torch"), ("scipy.sparse", "bench"), ("ray", "ray")])
def test_a_missing_extra_is_one_line_wherever_it_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str, extra: str
) -> None:
    def fail(*given: object) -> None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("saywhere.cli.app.run", fail)
    with pytest.raises(SystemExit, match="2"):
        main.main()
    expected = f"saywhere: {package.partition('.')[0]} is missing; pip install 'saywhere[{extra}]'\n"
    assert capsys.readouterr().err == expected


def test_a_fault_of_the_package_is_not_called_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise ModuleNotFoundError("No module named 'saywhere.gone'", name="saywhere.gone")

    monkeypatch.setattr("saywhere.cli.app.run", fail)
    with pytest.raises(ModuleNotFoundError):
        main.main()
    with pytest.raises(ModuleNotFoundError), needing("torch", "train"):
        fail()


def test_extras_that_messages_name_exist_and_old_names_stay() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert {*EXTRA_OF.values(), *EXTRAS} <= set(project["optional-dependencies"])
    assert {"annotate", "demo", "papers", "train"} <= set(project["optional-dependencies"])


def test_doctor_names_the_extra_that_brings_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr("saywhere.cli.doctor.version", none)
    monkeypatch.setitem(sys.modules, "torch", None)
    doctor()
    lines = capsys.readouterr().out.splitlines()
    for extra in EXTRAS:
        assert any(f"pip install 'saywhere[{extra}]'" in line for line in lines)
    assert any(line.startswith("device") and "torch is not installed" in line for line in lines)
