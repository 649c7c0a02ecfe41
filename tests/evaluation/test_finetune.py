"""Fine-tuning on a small set of one's own: the split, the comparison, restarts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from annotator import act, click
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from conftest import polygon_of
from saywhere import SaywhereError
from saywhere.cli.finetune import as_coco
from saywhere.cli.main import app
from saywhere.data import formats
from saywhere.data.datasets.coco import read_coco
from saywhere.evaluation.compare import Difference
from saywhere.evaluation.finetune import content_digest, finetune, is_improved
from saywhere.models import build
from saywhere.models.checkpoint import save_model
from saywhere.storage.tensors import read_tensor_file

FAST = ("crop.sizes=[64]", "batch=2", "workers=0", "clicks.max_rounds=1")


def write_set(folder: Path, count: int, objects: int = 1, rare: str | None = None) -> Path:
    """A COCO file with images of noise, each with bright rectangles of the label card; the first of ``rare``."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir(parents=True)
    images, annotations = [], []
    for i in range(count):
        pixels = rng.integers(0, 90, (72, 96, 3), dtype=np.uint8)
        images.append({"id": i + 1, "file_name": f"photos/{i}.png", "height": 72, "width": 96})
        for j in range(objects):
            x, y = 4 + 44 * j + int(rng.integers(8)), int(rng.integers(30))
            pixels[y : y + 30, x : x + 36] = rng.integers(150, 255, 3)
            number = len(annotations) + 1
            annotations.append(
                {
                    "id": number,
                    "image_id": i + 1,
                    "category_id": 2 if rare and i == 0 else 1,
                    "segmentation": polygon_of(x, y, 36, 30),
                    "iscrowd": 0,
                }
            )
        Image.fromarray(pixels).save(folder / f"photos/{i}.png")
    categories = [{"id": 1, "name": "card"}, *([{"id": 2, "name": rare}] if rare else [])]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "mine.json").write_text(json.dumps(content))
    return folder / "mine.json"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("mine"), 40)


def test_weights_that_learned_something_and_what_they_are_worth(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = data.read_bytes()
    result = finetune(data, out, minutes=0.03, limit=6, changes=FAST)
    assert (result.trained, result.held_out) == (30, 10)
    parts = {part: json.loads((out / f"{part}.json").read_text()) for part in ("train", "val")}
    ids = {part: {each["id"] for each in content["annotations"]} for part, content in parts.items()}
    assert not ids["train"] & ids["val"]
    assert len(ids["train"] | ids["val"]) == 40
    new, old = read_tensor_file(out / "finetuned.safetensors"), read_tensor_file(Path(read_result(out)["weights"]))
    assert new.metadata["options"] == old.metadata["options"]
    assert new.metadata.get("size") == old.metadata.get("size"), "measured and used at another size"
    assert set(new.metadata["phrases"]) == {*old.metadata["phrases"], "card"}, "words are forgotten"
    kept = read_tensor_file(result.weights).digest
    assert kept == (new if result.improved else old).digest
    changed = {name for name in new.tensors if not np.array_equal(new.tensors[name], old.tensors[name])}
    assert changed
    assert not any(name.startswith("encoder.") for name in changed)
    assert {each.figure for each in result.differences} == {"noc90", "noc85", "miou1", "miou3"}
    assert all(each.objects == 6 for each in result.differences)
    assert data.read_bytes() == before
    with pytest.raises(SaywhereError, match="finished fine-tuning"):
        finetune(data, out, minutes=0.03, limit=6, changes=FAST)


def difference(figure: str, value: float) -> Difference:
    return Difference(figure, "all", 8, 3.0, 3.0 + value, value, value - 0.5, value + 0.5)


@pytest.mark.parametrize(
    ("noc", "iou", "improved"), [(-0.2, -0.1, True), (0.2, 0.1, False), (0.0, 0.1, True), (0.0, 0.0, False)]
)
def test_the_better_weights_are_kept(noc: float, iou: float, improved: bool) -> None:
    assert is_improved([difference("noc90", noc), difference("miou1", iou)]) is improved


def test_labels_that_cannot_be_held_out_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saywhere.evaluation.finetune.bench", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        finetune(write_set(tmp_path / "set", 40, rare="qwxz"), tmp_path / "out")
    notes = json.loads((tmp_path / "out" / "request.json").read_text())["notes"]
    assert any("held out, they have too few images: qwxz" in note for note in notes)
    assert any("not as phrases: qwxz" in note for note in notes)


def read_result(out: Path) -> dict[str, str]:
    return json.loads((out / "result.json").read_text())  # type: ignore[no-any-return]


def test_it_goes_on_where_it_was_stopped(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, calls = tmp_path / "out", []

    def stop(*arguments: object, **options: object) -> Path:
        calls.append(arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("saywhere.evaluation.finetune.train", stop)
        with pytest.raises(KeyboardInterrupt):
            finetune(data, out, minutes=0.02, limit=4, changes=FAST)
    split, figures = (out / "train.json").read_bytes(), (out / "before.json").stat().st_mtime_ns
    assert finetune(data, out, minutes=0.02, limit=4, changes=FAST).weights.is_file()
    assert (out / "train.json").read_bytes() == split
    assert figures <= (out / "before.json").stat().st_mtime_ns


@pytest.mark.parametrize(
    ("count", "objects", "words"), [(1, 1, "1 objects in 1 image"), (6, 1, "leave"), (2, 2, "leave")]
)
def test_too_little_data(tmp_path: Path, count: int, objects: int, words: str) -> None:
    with pytest.raises(SaywhereError, match=words):
        finetune(write_set(tmp_path / "set", count, objects), tmp_path / "out")
    assert not (tmp_path / "out" / "train.json").exists()


def test_other_networks_and_used_folders_are_refused(data: Path, tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "notes.txt").write_text("mine")
    with pytest.raises(SaywhereError, match="not empty"):
        finetune(data, used)
    options = {"backbone": "mobilenetv2_050", "channels": 16, "hidden": 8}
    save_model(tmp_path / "other.safetensors", build("dctnet", options), "dctnet", options, {})
    with pytest.raises(SaywhereError, match="of the network 'dctnet'; fine-tuning is for our own"):
        finetune(data, tmp_path / "out", weights=str(tmp_path / "other.safetensors"))
    assert not (tmp_path / "out").exists()


def test_another_request_in_the_same_folder_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saywhere.evaluation.finetune.bench", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        finetune(data, tmp_path / "out")
    with pytest.raises(SaywhereError, match="other data or weights"):
        finetune(data, tmp_path / "out", holdout=0.5)


@pytest.mark.parametrize("form", ["coco", "yolo", "voc", "labelme", "png"])
def test_every_format_is_read_with_its_images(data: Path, tmp_path: Path, form: str) -> None:
    source = tmp_path / ("mine.json" if form == "coco" else "mine")
    if form == "coco":
        source = data
    else:
        formats.convert(data, source, form, options=formats.WriteOptions(False, form != "png", [], False))
    file, images = as_coco(source, data.parent if form == "png" else None, tmp_path / "converted.json")
    samples = read_coco(file, images)
    assert len(samples) == 40
    assert all(sample.image_path.is_file() and sample.label == "card" for sample in samples)


def test_a_project_of_the_annotator_is_read(client: TestClient, tmp_path: Path) -> None:
    act(client, 1, click(300, 200)).raise_for_status()
    act(client, 1, {"kind": "mark", "value": "done"}).raise_for_status()
    act(client, 2, click(180, 200)).raise_for_status()
    file, images = as_coco(tmp_path / "photos", None, tmp_path / "converted.json")
    (sample,) = read_coco(file, images)
    assert sample.image_path.is_file()
    digest = content_digest(file)
    file.unlink()
    assert content_digest(as_coco(tmp_path / "photos", None, file)[0]) == digest, "a killed run cannot go on"


def test_the_command(data: Path, tmp_path: Path) -> None:
    yolo, status = tmp_path / "yolo", tmp_path / "status.json"
    formats.convert(data, yolo, "yolo")
    arguments = ["finetune", str(yolo), "--out", str(tmp_path / "out"), "--time-limit", "2s", "--limit", "4"]
    arguments += ["--status", str(status)]
    result = CliRunner().invoke(app, [*arguments, *(word for change in FAST for word in ("--set", change))])
    assert result.exit_code == 0, result.output
    assert "10 held-out objects, 30 to train on" in result.output
    assert json.loads(status.read_text()) == {"phase": "after", "done": 4, "total": 4}
    assert "kept the " in result.output
    assert "weights.safetensors" in result.output.replace("\n", "")
