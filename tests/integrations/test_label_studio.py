"""The backend for Label Studio, asked as Label Studio does; its SDK checks the results where it is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from integrations.label_studio.app import make_app
from integrations.label_studio.backend import Backend
from integrations.label_studio.images import ImageSource
from integrations.label_studio.learner import Learner
from PIL import Image

import saywhere
from conftest import disc
from saywhere.core.geometry import ImageSize
from saywhere.data.formats.annotated_image import ObjectAnnotation
from saywhere.data.formats.label_studio_regions import brush_rle, read_region

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "src/saywhere/annotate/samples"
LABELS = '<Label value="cat"/><Label value="disc"/>'
CONFIG = f"""<View>
  <Image name="image" value="$image"/>
  {{output}}
  <KeyPointLabels name="point" toName="image" smart="true">{LABELS}</KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true">{LABELS}</RectangleLabels>
  <TextArea name="phrase" toName="image" editable="true"/>
</View>"""
BRUSH = CONFIG.format(output=f'<BrushLabels name="mask" toName="image">{LABELS}</BrushLabels>')
POLYGON = CONFIG.format(output=f'<PolygonLabels name="mask" toName="image">{LABELS}</PolygonLabels>')
DISC = disc(480, 640, 300, 200, 40)


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    (tmp_path / "images").mkdir()
    Image.fromarray(photo).save(tmp_path / "images" / "disc.png")
    return tmp_path


@pytest.fixture
def learner(folder: Path) -> Iterator[Learner]:
    made = make_learner(folder)
    yield made
    made.close()


@pytest.fixture
def client(folder: Path, learner: Learner) -> TestClient:
    return make_client(folder, learner)


def make_learner(folder: Path) -> Learner:
    segmenter = saywhere.load()
    return Learner(segmenter.runtime, segmenter.settings, folder / "states")


def make_client(folder: Path, learner: Learner, **options: Any) -> TestClient:
    backend = Backend(saywhere.load(), ImageSource(folder / "images"), learner, **options)
    return TestClient(make_app(backend))


def point(x: float, y: float, positive: bool = True, label: str = "disc") -> dict[str, Any]:
    """A key point at pixels of the photograph, as Label Studio sends it."""
    value = {"x": 100 * x / 640, "y": 100 * y / 480, "width": 0.3, "keypointlabels": [label]}
    return {"type": "keypointlabels", "from_name": "point", "value": value, "is_positive": int(positive)}


def rectangle(x: float, y: float, width: float, height: float, rotation: float = 0) -> dict[str, Any]:
    value = {"x": 100 * x / 640, "y": 100 * y / 480, "width": 100 * width / 640, "height": 100 * height / 480}
    value |= {"rotation": rotation, "rectanglelabels": ["disc"]}
    return {"type": "rectanglelabels", "from_name": "box", "value": value}


def text(phrase: str) -> dict[str, Any]:
    return {"type": "textarea", "from_name": "phrase", "value": {"text": [phrase]}}


def ask(
    client: TestClient, *results: dict[str, Any], config: str = BRUSH, image: str = "/data/upload/3/1a2b3c4d-disc.png"
) -> Any:
    """The answer to a request as Label Studio's server makes it."""
    task = {"id": 7, "data": {"image": image}}
    params = {"login": None, "password": None, "context": {"result": list(results)} if results else None}
    request = {"tasks": [task], "label_config": config, "project": "1.1690", "params": params}
    return client.post("/predict", json=request)


def regions(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["results"]
    assert 0 <= prediction["score"] <= 1
    return prediction["result"]


def mask_of(region: dict[str, Any]) -> np.ndarray:
    size = ImageSize(region["original_height"], region["original_width"])
    found = read_region(region, size)
    assert isinstance(found, ObjectAnnotation)
    return found.region.mask()


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def refusal(answer: Any) -> str:
    assert answer.status_code == 422
    line = answer.json()["error"]
    assert "\n" not in line
    return str(line)


class TestProtocol:
    def test_health(self, client: TestClient) -> None:
        for path in ("/", "/health"):
            assert client.get(path).json()["status"] == "UP"

    def test_setup_gives_the_version_that_predictions_have(self, client: TestClient) -> None:
        request = {"project": "1.1690", "schema": BRUSH, "hostname": "http://localhost:8080", "access_token": "x"}
        version = client.post("/setup", json=request).json()["model_version"]
        assert ask(client, point(300, 200)).json()["results"][0]["model_version"] == version

    @pytest.mark.parametrize(
        ("schema", "line"),
        [
            ("<View>", "not XML"),
            ("<View/>", "no Image"),
            ('<View><Image name="i" value="cat.jpg"/></View>', "a field of the tasks"),
            ('<View><Image name="i" value="$i"/></View>', "no BrushLabels or PolygonLabels or RectangleLabels"),
            ('<!DOCTYPE a [<!ENTITY b "c">]><View/>', "DOCTYPE"),
        ],
    )
    def test_setup_refuses_a_config_without_a_place_for_masks(self, client: TestClient, schema: str, line: str) -> None:
        assert line in refusal(client.post("/setup", json={"project": "1", "schema": schema}))

    @pytest.mark.parametrize("content", [b"", b"[]", b"{", b'"text"'])
    def test_what_is_no_request_gets_one_line(self, client: TestClient, content: bytes) -> None:
        for path in ("/setup", "/predict", "/webhook"):
            refusal(client.post(path, content=content, headers={"Content-Type": "application/json"}))

    def test_a_password_is_asked_for(self, folder: Path, learner: Learner) -> None:
        backend = Backend(saywhere.load(), ImageSource(folder / "images"), learner)
        client = TestClient(make_app(backend, "annotator:a long one"))
        assert client.get("/health").status_code == 401
        assert client.get("/health", auth=("annotator", "another")).status_code == 401
        assert client.get("/health", auth=("annotator", "a long one")).status_code == 200

    def test_unknown_events_are_ignored(self, client: TestClient) -> None:
        assert client.post("/webhook", json={"action": "PROJECT_UPDATED"}).status_code == 200
        assert client.post("/webhook", json={"action": "START_TRAINING", "project": {}}).status_code == 201


class TestPrompts:
    def test_a_positive_key_point_gives_the_segmenters_mask(self, client: TestClient, photo: np.ndarray) -> None:
        (region,) = regions(ask(client, point(300.5, 200.5)))
        mask = saywhere.load().set_image(photo).click(300, 200)
        assert np.array_equal(mask_of(region), mask.array)
        assert region["score"] == pytest.approx(mask.score, abs=1e-4)
        assert (region["from_name"], region["to_name"], region["type"]) == ("mask", "image", "brushlabels")
        assert region["value"]["brushlabels"] == ["disc"]

    def test_negative_key_points_count(self, client: TestClient, photo: np.ndarray) -> None:
        (region,) = regions(ask(client, point(300.5, 200.5), point(320.5, 200.5, positive=False)))
        segmenter = saywhere.load().set_image(photo)
        first = segmenter.click(300, 200).array
        second = segmenter.click(320, 200, positive=False).array
        assert not np.array_equal(first, second)
        assert np.array_equal(mask_of(region), second)

    def test_a_rectangle_becomes_a_polygon(self, client: TestClient) -> None:
        (region,) = regions(ask(client, rectangle(258, 158, 84, 84), config=POLYGON))
        assert region["type"] == "polygonlabels"
        assert region["value"]["closed"] is True
        assert iou(mask_of(region), DISC) > 0.9

    def test_a_rotated_rectangle_is_taken_by_the_box_around_it(self, client: TestClient) -> None:
        # A quarter turn about its first corner: what extends to the right then extends downwards.
        turned = regions(ask(client, rectangle(342, 158, 84, 84, rotation=90)))
        straight = regions(ask(client, rectangle(258, 158, 84, 84)))
        assert iou(mask_of(turned[0]), mask_of(straight[0])) > 0.99

    def test_a_text_gives_all_objects_that_it_names(self, client: TestClient, folder: Path) -> None:
        (folder / "images" / "chelsea.jpg").write_bytes((SAMPLE / "chelsea.jpg").read_bytes())
        found = regions(ask(client, text("cat"), image="chelsea.jpg"))
        segmenter = saywhere.load().set_image(SAMPLE / "chelsea.jpg")
        wanted = segmenter.instances("cat")
        assert [region["value"]["brushlabels"] for region in found] == [["cat"]] * len(wanted)
        assert len(wanted) > 0
        assert all(np.array_equal(mask_of(a), b.mask.array) for a, b in zip(found, wanted, strict=True))

    def test_a_text_with_a_key_point_is_one_prompt(self, client: TestClient, folder: Path) -> None:
        (folder / "images" / "chelsea.jpg").write_bytes((SAMPLE / "chelsea.jpg").read_bytes())
        size = Image.open(SAMPLE / "chelsea.jpg").size
        x, y = size[0] // 2, size[1] // 2
        (region,) = regions(
            ask(client, text("cat"), point((x + 0.5) * 640 / size[0], (y + 0.5) * 480 / size[1], label="cat"),
                image="chelsea.jpg")
        )  # fmt: skip
        segmenter = saywhere.load().set_image(SAMPLE / "chelsea.jpg")
        segmenter.say("cat")
        assert np.array_equal(mask_of(region), segmenter.click(x, y).array)

    def test_without_a_prompt_objects_of_all_labels_are_looked_for(self, client: TestClient, folder: Path) -> None:
        (folder / "images" / "chelsea.jpg").write_bytes((SAMPLE / "chelsea.jpg").read_bytes())
        found = regions(ask(client, image="chelsea.jpg"))
        assert "cat" in {region["value"]["brushlabels"][0] for region in found}

    def test_without_a_prompt_a_missing_image_does_not_stop_the_others(self, client: TestClient) -> None:
        tasks = [{"id": 1, "data": {"image": "none.png"}}, {"id": 2, "data": {"image": "disc.png"}}]
        answer = client.post("/predict", json={"tasks": tasks, "label_config": BRUSH, "params": {}})
        assert len(answer.json()["results"]) == 2

    def test_an_alias_is_what_results_hold(self, client: TestClient) -> None:
        config = BRUSH.replace('<Label value="disc"/>', '<Label value="disc" alias="b"/>', 1).replace(
            '<Label value="disc"/>', '<Label value="disc" alias="p"/>', 1
        )
        (region,) = regions(ask(client, point(300, 200, label="p"), config=config))
        assert region["value"]["brushlabels"] == ["b"]

    def test_a_config_of_rectangles_alone_gets_boxes(self, client: TestClient) -> None:
        (region,) = regions(ask(client, point(300, 200), config=CONFIG.format(output="")))
        value = region["value"]
        assert value["x"] == pytest.approx(100 * 260 / 640, abs=1)
        assert value["width"] == pytest.approx(100 * 81 / 640, abs=1.5)

    def test_the_shape_can_be_chosen(self, folder: Path, learner: Learner) -> None:
        both = BRUSH.replace(
            "<KeyPoint", f'<PolygonLabels name="p" toName="image">{LABELS}</PolygonLabels><KeyPoint', 1
        )
        for shape, kind in ((None, "brushlabels"), ("polygon", "polygonlabels")):
            client = make_client(folder, learner, shape=shape)
            assert regions(ask(client, point(300, 200), config=both))[0]["type"] == kind

    @pytest.mark.parametrize(
        ("results", "line"),
        [
            ([{"type": "choices", "value": {}}], "give key points, a rectangle or a text"),
            ([point(300, 200, label="dog")], "label 'dog': BrushLabels 'mask' has 'cat', 'disc'"),
            ([text("xqzv")], "no label is chosen"),
            ([text("xqzv"), point(300, 200)], "xqzv"),
            ([point(900, 200)], "outside the photograph"),
            ([{"type": "keypointlabels", "value": {"x": "a", "y": None}}], "expected numbers"),
            ([rectangle(10, 10, 0, 0)], "empty"),
        ],
    )
    def test_a_prompt_of_no_use_gets_one_line(
        self, client: TestClient, results: list[dict[str, Any]], line: str
    ) -> None:
        assert line in refusal(ask(client, *results))


class TestSdk:
    """What the SDK itself says of configurations and results."""

    def test_brushes_are_those_of_its_converter(self, client: TestClient) -> None:
        brush = pytest.importorskip("label_studio_sdk.converter.brush")
        (region,) = regions(ask(client, point(300, 200)))
        values = brush.decode_rle(region["value"]["rle"]).reshape(480, 640, 4)
        assert np.array_equal(values[..., 3] > 0, mask_of(region))
        assert set(np.unique(values)) == {0, 255}

    def test_any_mask_comes_back_from_its_converter(self) -> None:
        brush = pytest.importorskip("label_studio_sdk.converter.brush")
        rng = np.random.default_rng(0)
        masks = [rng.random((31, 47)) > share for share in (0.02, 0.5, 0.98)]
        masks += [np.zeros((300, 300), bool), np.ones((300, 300), bool), DISC]
        for mask in masks:
            assert np.array_equal(brush.decode_rle(brush_rle(mask)).reshape(*mask.shape, 4)[..., 3] > 0, mask)

    def test_its_own_brushes_are_read(self) -> None:
        brush = pytest.importorskip("label_studio_sdk.converter.brush")
        rle = brush.mask2rle(DISC.astype(np.uint8) * 255)
        region = {"type": "brushlabels", "value": {"format": "rle", "rle": list(rle), "brushlabels": ["disc"]}}
        assert np.array_equal(mask_of(region | {"original_width": 640, "original_height": 480}), DISC)

    @pytest.mark.parametrize("config", [BRUSH, POLYGON, CONFIG.format(output="")])
    def test_predictions_are_valid_for_the_config(self, client: TestClient, config: str) -> None:
        interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface(config)
        interface.validate()
        (prediction,) = ask(client, point(300, 200), config=config).json()["results"]
        # Its check of brushes takes their bytes for pairs of a value and a count, and refuses its own converter's.
        value = prediction["result"][0]["value"]
        value.update({"rle": [1, 1]} if "rle" in value else {})
        assert interface.validate_prediction(prediction, return_errors=True) == []
        prediction["result"][0]["from_name"] = "none"
        assert interface.validate_prediction(prediction, return_errors=True), "the check itself works"

    def test_the_configs_of_the_documents_are_valid(self, client: TestClient) -> None:
        interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
        page = (ROOT / "docs" / "integrations.md").read_text()
        configs = re.findall(r"```xml\n(.*?)```", page, re.DOTALL)
        assert configs
        for config in configs:
            interface(config).validate()
            assert client.post("/setup", json={"project": "1", "schema": config}).status_code == 200


def submit(client: TestClient, action: str, masks: dict[str, np.ndarray], annotation: int = 5) -> None:
    """A webhook's request, as Label Studio sends it when an annotation is submitted or updated."""
    results = [
        {
            "id": key, "type": "brushlabels", "from_name": "mask", "to_name": "image", "original_width": 640,
            "original_height": 480, "value": {"format": "rle", "rle": brush_rle(mask), "brushlabels": ["disc"]},
        }
        for key, mask in masks.items()
    ]  # fmt: skip
    payload = {
        "action": action, "annotation": {"id": annotation, "result": results, "was_cancelled": False},
        "task": {"id": 7, "data": {"image": "disc.png"}}, "project": {"id": 1, "label_config": BRUSH},
    }  # fmt: skip
    assert client.post("/webhook", json=payload).status_code == 201


def numbers(learner: Learner) -> tuple[int, ...]:
    sequence = learner._sequence("disc")
    assert sequence is not None
    return sequence.memory.numbers


class TestLearning:
    def test_a_submitted_mask_is_learned_and_found_again(self, client: TestClient, learner: Learner) -> None:
        assert learner.adapted("disc") is None
        submit(client, "ANNOTATION_CREATED", {"a": DISC})
        assert learner.adapted("disc") is not None
        assert learner.adapted("cat") is None
        found = regions(ask(client))
        assert any(iou(mask_of(region), DISC) > 0.9 for region in found if region["value"]["brushlabels"] == ["disc"])

    def test_an_update_replaces_only_what_changed(self, client: TestClient, learner: Learner) -> None:
        other = disc(480, 640, 100, 100, 30)
        submit(client, "ANNOTATION_CREATED", {"a": DISC, "b": other})
        assert numbers(learner) == (0, 1)
        submit(client, "ANNOTATION_UPDATED", {"a": DISC, "b": other})
        assert numbers(learner) == (0, 1), "the same annotation twice"
        submit(client, "ANNOTATION_UPDATED", {"a": DISC, "b": disc(480, 640, 100, 100, 20)})
        assert numbers(learner) == (0, 2)

    def test_a_deleted_annotation_is_forgotten_after_a_restart_too(self, folder: Path) -> None:
        learner = make_learner(folder)
        submit(make_client(folder, learner), "ANNOTATION_CREATED", {"a": DISC})
        submit(make_client(folder, learner), "ANNOTATION_CREATED", {"a": DISC}, annotation=6)
        learner.close()
        again = make_learner(folder)
        assert numbers(again) == (0, 1)
        deletion = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 5}], "project": {"id": 1}}
        make_client(folder, again).post("/webhook", json=deletion)
        assert numbers(again) == (1,)
        again.close()

    def test_damaged_regions_are_a_line_in_the_log(
        self, client: TestClient, learner: Learner, caplog: pytest.LogCaptureFixture
    ) -> None:
        submit(client, "ANNOTATION_CREATED", {"a": np.ones((3, 3), bool)})
        assert "region 1: rle of 36 values; expected 1,228,800" in caplog.text
        assert learner.adapted("disc") is None

    def test_it_can_be_switched_off(self, folder: Path) -> None:
        segmenter = saywhere.load()
        learner = Learner(segmenter.runtime, segmenter.settings, folder / "states", enabled=False)
        client = make_client(folder, learner)
        submit(client, "ANNOTATION_CREATED", {"a": DISC})
        client.post("/webhook", json={"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 5}]})
        assert not (folder / "states").exists()
