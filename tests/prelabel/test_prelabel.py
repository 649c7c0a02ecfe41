"""From boxes, points and phrases to a COCO file: what is found, what is refused, and runs that are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import picture
from killing import HOLD_AT, kill_when
from PIL import Image
from typer.testing import CliRunner

from conftest import ColourRuntime
from saywhere import Click, SaywhereError
from saywhere.cli.main import app
from saywhere.core import metrics
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Prompt
from saywhere.data.datasets import load_dataset
from saywhere.prelabel import prelabel, read_request, run
from saywhere.prelabel.request import box_prompt
from saywhere.runtime.base import Capabilities

COLOUR, DISC = "conftest:ColourRuntime", "conftest:DiscRuntime"


class SpeakingRunner(ColourRuntime):
    """Finds what is bright when something is said."""

    name = "speaking"
    capabilities = Capabilities(phrases=True)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        assert prompt.phrase == "card"
        return np.where(features[:, :, 0] > 150, 8.0, -8.0).astype(np.float32)


class BoxRunner(ColourRuntime):
    """Finds what is bright in the box; ``prompts`` are those that it was given."""

    name = "box"
    capabilities = Capabilities(boxes=True)
    prompts: list[Prompt] = []  # noqa: RUF012

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        self.prompts.append(prompt)
        inside = np.zeros(features.shape[:2], np.bool_)
        if prompt.box is not None:
            x0, y0, x1, y1 = (round(edge) for edge in prompt.box)
            inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
        return np.where(inside & (features[:, :, 0] > 150), 8.0, -8.0).astype(np.float32)


@pytest.fixture
def boxes(coco: Path) -> Path:
    """The data set with a box, and nothing else, for each object."""
    content = json.loads(coco.read_text())
    for annotation in content["annotations"]:
        x, y, *_ = annotation.pop("segmentation")[0]
        annotation["bbox"] = [x, y, 50, 40]
    path = coco.with_name("boxes.json")
    path.write_text(json.dumps(content))
    return path


def change(path: Path, number: int, **fields: Any) -> None:
    """Other fields in one annotation of a file; those that are None are left out."""
    content = json.loads(path.read_text())
    annotation = content["annotations"][number] | fields
    content["annotations"][number] = {key: value for key, value in annotation.items() if value is not None}
    path.write_text(json.dumps(content))


class TestBox:
    def test_a_click_within_and_four_outside(self) -> None:
        prompt = box_prompt((20.0, 10.0, 120.0, 50.0), ImageSize(100, 200))
        assert prompt.clicks == (
            Click(69.5, 29.5),
            Click(18.0, 29.5, False),
            Click(121.0, 29.5, False),
            Click(69.5, 8.0, False),
            Click(69.5, 51.0, False),
        )

    def test_sides_at_the_photographs_edge_are_left_out(self) -> None:
        assert box_prompt((0.0, 0.0, 200.0, 100.0), ImageSize(100, 200)).clicks == (Click(99.5, 49.5),)


class TestFound:
    def test_boxes_become_masks_that_are_a_data_set(self, boxes: Path, coco: Path) -> None:
        out = boxes.with_name("labels.json")
        assert prelabel(read_request(boxes), out, COLOUR).objects == 6
        content = json.loads(out.read_text())
        assert (content["info"]["model"], content["info"]["weights"]) == ("colour", "0")
        for annotation in content["annotations"]:
            assert annotation["score"] > 0.9
            assert annotation["prompt"]["bbox"] == [*annotation["bbox"][:2], 50, 40]
        targets = {sample.name: sample.target() for sample in load_dataset(str(coco))}
        for sample in load_dataset(str(out)):
            assert sample.label == "card"
            assert metrics.iou(sample.target(), targets[sample.name]) > 0.98

    def test_a_network_that_knows_boxes_gets_boxes(self, boxes: Path, coco: Path) -> None:
        out = boxes.with_name("labels.json")
        BoxRunner.prompts.clear()
        assert prelabel(read_request(boxes), out, "test_prelabel:BoxRunner").objects == 6
        assert all(prompt.box and not prompt.clicks for prompt in BoxRunner.prompts)
        targets = {sample.name: sample.target() for sample in load_dataset(str(coco))}
        for sample in load_dataset(str(out)):
            assert metrics.iou(sample.target(), targets[sample.name]) > 0.98
        assert json.loads(out.read_text())["annotations"][0]["prompt"] == {"bbox": [24, 18, 50, 40]}

    def test_boxes_beside_points_where_that_is_asked_for(self, boxes: Path) -> None:
        change(boxes, 0, points=[[40, 30], [2, 2, 0]])
        change(boxes, 1, keypoints=[50, 40, 2])
        size = ImageSize(90, 120)
        (of_points,), (of_keypoints,) = (image.objects for image in read_request(boxes).prompts[:2])
        assert of_points.complete(size, boxes=True) == Prompt((Click(40, 30), Click(2, 2, False)))
        assert of_keypoints.complete(size, boxes=True) == Prompt(box=(28, 21, 78, 61)), "the box comes before keypoints"
        request = read_request(boxes, boxes_with_points=True)
        assert [image.objects[0].complete(size, boxes=True) for image in request.prompts[:3]] == [
            Prompt((Click(40, 30), Click(2, 2, False)), box=(24, 18, 74, 58)),
            Prompt((Click(50, 40),), box=(28, 21, 78, 61)),
            Prompt(box=(32, 24, 82, 64)),
        ]
        out = boxes.with_name("labels.json")
        BoxRunner.prompts.clear()
        options = ["--boxes-with-points", "--model", "test_prelabel:BoxRunner", "--out", str(out)]
        assert CliRunner().invoke(app, ["prelabel", str(boxes), *options]).exit_code == 0
        both = [prompt for prompt in BoxRunner.prompts if prompt.clicks]
        assert both
        assert all(prompt.box for prompt in both)
        assert json.loads(out.read_text())["annotations"][0]["bbox"] == [24, 18, 50, 40]

    def test_the_box_comes_first(self) -> None:
        class Listener:
            given: list[object] = []  # noqa: RUF012

            def box(self, *edges: float) -> str:
                self.given.append(edges)
                return "the mask of the box"

            def add(self, click: Click) -> str:
                self.given.append(click)
                return "the mask"

        assert run.answer(Listener(), Prompt((Click(1, 2),), box=(0, 0, 5, 5))) == "the mask"
        assert Listener.given == [(0, 0, 5, 5), Click(1, 2)]
        assert run.answer(Listener(), Prompt(box=(0, 0, 5, 5))) == "the mask of the box"

    def test_an_answer_is_cut_to_its_box(self, boxes: Path) -> None:
        out = boxes.with_name("labels.json")
        # Half of the rectangle: the colour goes on beyond the box.
        change(boxes, 0, bbox=[24, 18, 25, 40])
        prelabel(read_request(boxes), out, COLOUR)
        assert json.loads(out.read_text())["annotations"][0]["bbox"] == [24, 18, 25, 40]

    @pytest.mark.parametrize(
        "fields",
        [
            {"point": [40, 30]},
            {"points": [[40, 30], [2, 2, 0]], "bbox": [0, 0, 9, 9]},
            {"keypoints": [40, 30, 2, 1, 1, 1, 0, 0, 0]},
            {"keypoints": [40, 30, 1, 0, 0, 0]},
        ],
    )
    def test_points_and_keypoints(self, boxes: Path, fields: dict[str, Any]) -> None:
        change(boxes, 0, **{"bbox": None, **fields})
        prelabel(read_request(boxes), boxes.with_name("labels.json"), COLOUR)
        found = json.loads(boxes.with_name("labels.json").read_text())["annotations"][0]
        assert found["bbox"] == [24, 18, 50, 40]

    def test_a_folder_with_points(self, coco: Path) -> None:
        folder = coco.parent / "set"
        points = coco.parent / "points.csv"
        points.write_text(
            "file,x,y,label,radius,object,category\n"
            "1.png,40,30,1,12.5,a,card\n1.png,2,2,0,,a,card\n1.png,2,2,,,b,table\n3.png,50,40,1,,,card\n"
        )
        request = read_request(folder, points)
        assert (request.objects, request.unprompted, request.faults) == (3, 4, [])
        assert request.prompts[0].objects[0].prompt.clicks == (Click(40, 30, True, 12.5), Click(2, 2, False))
        out = folder / "labels.json"
        prelabel(request, out, COLOUR)
        content = json.loads(out.read_text())
        assert [category["name"] for category in content["categories"]] == ["card", "table"]
        assert [image["file_name"] for image in content["images"]] == ["1.png", "3.png"]
        assert [annotation["category_id"] for annotation in content["annotations"]] == [1, 2, 1]
        assert content["annotations"][0]["bbox"] == [24, 18, 50, 40]
        assert [sample.label for sample in load_dataset(str(out))] == ["card", "table", "card"]

    def test_the_phrase_follows_the_clicks(self) -> None:
        class Listener:
            said: list[object] = []  # noqa: RUF012

            def add(self, click: Click) -> None:
                self.said.append(click)

            def say(self, phrase: str) -> str:
                self.said.append(phrase)
                return "the mask"

        listener = Listener()
        assert run.answer(listener, Prompt((Click(1, 2),), "tie")) == "the mask"
        assert listener.said == [Click(1, 2), "tie"]

    def test_a_phrase_alone_is_enough_for_weights_that_understand_it(self, coco: Path) -> None:
        out = coco.with_name("labels.json")
        assert (
            prelabel(read_request(coco.parent / "set", phrase="card"), out, "test_prelabel:SpeakingRunner").objects == 6
        )
        found = json.loads(out.read_text())["annotations"]
        assert [annotation["prompt"] for annotation in found] == [{"phrase": "card"}] * 6
        assert found[0]["bbox"] == [24, 18, 50, 40]


class TestEveryObject:
    """A folder and a phrase alone: all objects, none where there is none."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir()
        discs = [(120, 120, 50), (320, 330, 60), (520, 140, 55)]
        for name, there in (("a", discs), ("b", []), ("c", discs[:1])):
            Image.fromarray(picture(there)).save(folder / f"{name}.png")
        return folder

    def test_all_of_each_image_named_after_the_phrase(self, folder: Path) -> None:
        out = folder.with_name("out.json")
        result = prelabel(read_request(folder, phrase="red  ball"), out, "annotator:fast")
        content = json.loads(out.read_text())
        assert result.objects == len(content["annotations"]) == 4
        assert [one["name"] for one in content["categories"]] == ["red ball"]
        assert [one["id"] for one in content["annotations"]] == [1, 2, 3, 4]
        names = {image["id"]: image["file_name"] for image in content["images"]}
        assert [names[one["image_id"]] for one in content["annotations"]] == ["a.png"] * 3 + ["c.png"]
        assert all(0.45 <= one["score"] <= 1 and one["area"] > 5000 for one in content["annotations"])

    def test_only_images_that_changed_are_searched_again(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out, request = folder.with_name("out.json"), read_request(folder, phrase="ball")
        prelabel(request, out, "annotator:fast")
        first, read = out.read_bytes(), []
        original = run.read_image_and_digest
        monkeypatch.setattr(run, "read_image_and_digest", lambda path: (read.append(path.name), original(path))[1])
        prelabel(request, out, "annotator:fast")
        assert (read, out.read_bytes()) == ([], first), "an image without any is not searched again either"
        Image.fromarray(picture([(300, 300, 40)])).save(folder / "b.png")
        assert prelabel(request, out, "annotator:fast").objects == 5
        assert read == ["b.png"]


class TestRefused:
    def test_every_fault_is_named_before_anything_is_done(self, boxes: Path) -> None:
        (boxes.parent / "set" / "1.png").unlink()
        (boxes.parent / "set" / "2.png").write_bytes(b"no picture")
        change(boxes, 2, bbox=[130, 10, 20, 20])
        change(boxes, 3, bbox=[10, 10, 0, 20])
        change(boxes, 4, bbox=None, points=[[500, 3, 1]])
        change(boxes, 5, bbox=None)
        result = CliRunner().invoke(app, ["prelabel", str(boxes), "--out", str(boxes.with_name("out.json"))])
        assert isinstance(result.exception, SaywhereError)
        assert "6 faults" in str(result.exception)
        words = (
            "1.png",
            "2.png",
            "annotation 3: bbox",
            "annotation 4: bbox",
            "annotation 5: point",
            "annotation 6: has no prompt",
        )
        for word in words:
            assert word in result.output
        assert not list(boxes.parent.glob("out.*"))

    def test_ids_that_are_missing_or_taken(self, boxes: Path) -> None:
        change(boxes, 0, id=None)
        change(boxes, 1, id="")
        change(boxes, 2, id=4)
        faults = read_request(boxes).faults
        assert sum("an id of its own is needed" in fault for fault in faults) == 2
        assert sum("annotation 4: another has the same id" in fault for fault in faults) == 1
        assert len(faults) == 3

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("1.png,40", "line 2: has not as many fields"),
            ("1.png,40,30,1,9", "line 2: has not as many fields"),
            ("1.png,forty,30,1", "line 2: x 'forty'"),
            ("1.png,nan,30,1", "line 2: point"),
            ("1.png,400,30,1", "line 2: point \\(400, 30\\): outside"),
            ("1.png,40,30,yes", "line 2: label 'yes'"),
            ("1.png,40,30,0", "line 2: all points are off"),
            ("gone.png,40,30,1", "gone.png.*no such file"),
            (",40,30,1", "line 2: no file"),
        ],
    )
    def test_lines_of_a_csv_file(self, coco: Path, line: str, words: str) -> None:
        (coco.parent / "points.csv").write_text(f"file,x,y,label\n{line}\n")
        request = read_request(coco.parent / "set", coco.parent / "points.csv")
        assert len(request.faults) == 1
        with pytest.raises(SaywhereError, match=words):
            prelabel(request, coco.parent / "out.json", COLOUR)

    def test_whole_files(self, coco: Path, boxes: Path) -> None:
        folder, points = coco.parent / "set", coco.parent / "points.csv"
        points.write_text("file,x,z\n")
        (coco.parent / "list.json").write_text("[]")
        (coco.parent / "torn.json").write_text('{"images": [')
        content = json.loads(boxes.read_text())
        (coco.parent / "odd.json").write_text(json.dumps({**content, "images": [{"id": [1], "file_name": "a.png"}]}))
        for arguments, words in (
            ((folder,), "--points"),
            ((folder, points), "columns file, x, z"),
            ((folder, coco.parent / "none.csv"), "none.csv"),
            ((folder, folder / "1.png"), "cannot be read as CSV"),
            ((boxes, points), "go with a folder"),
            ((boxes.with_name("none.json"),), "cannot be read"),
            ((boxes.with_name("none"),), "give a folder"),
            ((coco.parent / "list.json",), "not COCO JSON"),
            ((coco.parent / "torn.json",), "cannot be read as COCO JSON"),
            ((coco.parent / "odd.json",), "wrong kind"),
        ):
            with pytest.raises(SaywhereError, match=words):
                read_request(*arguments)

    def test_boxes_beside_points_for_weights_that_know_none(self, boxes: Path) -> None:
        change(boxes, 0, points=[[40, 30]])
        with pytest.raises(SaywhereError, match="'colour' know no boxes"):
            prelabel(read_request(boxes, boxes_with_points=True), boxes.with_name("out.json"), COLOUR)
        assert not list(boxes.parent.glob("out.*"))
        change(boxes, 0, points=None)
        assert prelabel(read_request(boxes, boxes_with_points=True), boxes.with_name("out.json"), COLOUR).objects == 6
        with pytest.raises(SaywhereError, match="has no boxes"):
            read_request(boxes.parent / "set", phrase="card", boxes_with_points=True)
        change(boxes, 0, points=[[40, 30]], bbox=[10, 10, 0, 20])
        assert "annotation 1: bbox" in read_request(boxes, boxes_with_points=True).faults[0]
        assert not read_request(boxes).faults, "as before: points come first"

    def test_a_phrase_that_the_weights_do_not_understand(self, boxes: Path) -> None:
        with pytest.raises(SaywhereError, match="'colour' understand none"):
            prelabel(read_request(boxes, phrase="card"), boxes.with_name("out.json"), COLOUR)
        with pytest.raises(SaywhereError, match="xyzzyq"):
            prelabel(read_request(boxes, phrase="xyzzyq"), boxes.with_name("out.json"), "test_prelabel:SpeakingRunner")
        request = read_request(boxes.parent / "set", phrase="card")
        assert [prompt.prompt for image in request.prompts for prompt in image.objects] == [Prompt((), "card")] * 6
        assert not list(boxes.parent.glob("out.*"))


class TestGoingOn:
    def test_a_photograph_that_vanishes_costs_no_other(self, boxes: Path) -> None:
        out = boxes.with_name("labels.json")
        request = read_request(boxes)
        photo = boxes.parent / "set" / "3.png"
        content = photo.read_bytes()
        photo.unlink()
        outcome = prelabel(request, out, COLOUR)
        assert outcome.objects == 5
        assert len(outcome.faults) == 1
        assert "3.png" in outcome.faults[0]
        photo.write_bytes(content)
        assert prelabel(request, out, COLOUR).objects == 6
        assert [annotation["id"] for annotation in json.loads(out.read_text())["annotations"]] == [1, 2, 3, 4, 5, 6]

    def test_only_what_is_new_or_changed_is_done(self, boxes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = boxes.with_name("labels.json")
        prelabel(read_request(boxes), out, COLOUR)
        encoded: list[Path] = []
        original = run.read_image_and_digest
        monkeypatch.setattr(run, "read_image_and_digest", lambda path: (encoded.append(path), original(path))[1])
        change(boxes, 4, bbox=[42, 32, 20, 20])
        assert prelabel(read_request(boxes), out, COLOUR).objects == 6
        assert [path.name for path in encoded] == ["5.png"]
        assert json.loads(out.read_text())["annotations"][4]["bbox"] == [42, 32, 20, 20]

    def test_a_photograph_is_encoded_once_for_all_its_objects(self, boxes: Path) -> None:
        content = json.loads(boxes.read_text())
        for annotation in content["annotations"]:
            annotation["image_id"] = 1
        boxes.write_text(json.dumps(content))
        request = read_request(boxes)
        runtime = ColourRuntime()
        lines = list(run.segment_image(runtime, run.Settings(zoom=False), request.prompts[0]))
        assert len(lines) == 6
        assert len(runtime.encoded) == 1

    def test_killed_and_run_again_it_is_as_if_it_had_not_been(self, boxes: Path, tmp_path: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}

        def start(out: str, *more: str, **variables: str) -> subprocess.Popen[bytes]:
            command = [
                sys.executable,
                "-m",
                "saywhere.cli",
                "prelabel",
                str(boxes),
                "--model",
                DISC,
                "--out",
                out,
                *more,
            ]
            return subprocess.Popen(command, cwd=tmp_path, env=environment | variables, stdout=subprocess.DEVNULL)

        assert start("whole.json").wait(600) == 0
        journal = tmp_path / "killed.jsonl"
        killed = start("killed.json", **{HOLD_AT: "12"})
        kill_when(killed, lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 3)
        before = journal.read_bytes()
        assert not (tmp_path / "killed.json").exists()
        assert start("killed.json", "--jobs", "2").wait(600) == 0
        assert (tmp_path / "killed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
        assert journal.read_bytes().startswith(before)
        lines = [json.loads(line) for line in journal.read_bytes().splitlines() if line]
        assert len(lines) == 1 + 6
        assert np.unique([line["key"] for line in lines[1:]]).size == 6
