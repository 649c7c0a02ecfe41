"""The functions for CVAT, loaded and driven by cvat-cli's and cvat-sdk's own code; only the server is a stand-in."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saywhere
from conftest import disc

cvataa = pytest.importorskip("cvat_sdk.auto_annotation")
common = pytest.importorskip("cvat_cli._internal.common")
commands = pytest.importorskip("cvat_cli._internal.commands_all")
models = pytest.importorskip("cvat_sdk.models")
masks = pytest.importorskip("cvat_sdk.masks")
agent = pytest.importorskip("cvat_cli._internal.agent")
interaction = pytest.importorskip("cvat_cli._internal.agent_driver_interaction")
driver = pytest.importorskip("cvat_sdk.auto_annotation.driver")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "integrations" / "cvat"
CAT = ROOT / "src/saywhere/annotate/samples/chelsea.jpg"
DISC = disc(480, 640, 300, 200, 40)


def loader(name: str, **parameters: str) -> Any:
    """As ``--function-file`` and ``-p`` of cvat-cli."""
    return common.FunctionLoader(None, FOLDER / f"{name}.py", parameters)


def labels(*names: str, kind: str = "any") -> list[Any]:
    """The labels of a task on the server."""
    return [models.Label(id=100 + i, name=name, type=kind, attributes=[], sublabels=[]) for i, name in enumerate(names)]


def annotate(monkeypatch: pytest.MonkeyPatch, function: Any, task_labels: list[Any], **options: Any) -> list[Any]:
    """Run ``annotate_task`` on one image; the shapes that it uploads."""
    media = SimpleNamespace(load_image=lambda: Image.open(CAT))
    sample = SimpleNamespace(frame_index=3, frame_name="chelsea.jpg", media=media)
    dataset = SimpleNamespace(labels=task_labels, samples=[sample])
    monkeypatch.setattr(driver, "TaskDataset", lambda client, task, load_annotations: dataset)
    uploads: list[Any] = []

    def upload(action: str, task: int, patched_labeled_data_request: Any) -> None:
        uploads.extend(patched_labeled_data_request.shapes)

    api = SimpleNamespace(partial_update_annotations=upload)
    client = SimpleNamespace(logger=logging.getLogger("cvat"), tasks=SimpleNamespace(api=api))
    cvataa.annotate_task(client, 137, function, **options)
    return uploads


def test_weights_of_no_use_get_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^error: .*nowhere"):
        loader("interactor", model="nowhere.safetensors").load()


def test_the_commands_of_the_documents_are_cvat_clis() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    common.configure_common_arguments(parser)
    commands.COMMANDS.configure_parser(parser)
    page = (ROOT / "docs" / "integrations.md").read_text().replace("\\\n", " ")
    lines = [shlex.split(line)[1:] for line in page.splitlines() if line.startswith("cvat-cli ")]
    assert len(lines) == 3
    for line in lines:
        assert (ROOT / line[line.index("--function-file") + 1]).is_file()
        parser.parse_args(line)


class TestDetector:
    def test_masks_of_all_objects_of_the_labels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        function = loader("detector", labels="pet=cat, wheel").load()
        shapes = annotate(monkeypatch, function, labels("wheel", "pet", kind="mask"))
        wanted = saywhere.load().set_image(CAT)
        instances = wanted.instances("cat")
        assert len(instances) > 0
        found = [shape for shape in shapes if shape.label_id == 101]
        assert len(found) == len(instances)
        for shape, instance in zip(found, instances, strict=True):
            assert (shape.type.value, shape.frame, shape.source) == ("mask", 3, "auto")
            assert shape.score == pytest.approx(instance.score, abs=1e-4)
            height, width = instance.mask.array.shape
            decoded = masks.decode_mask(shape.points, image_width=width, image_height=height)
            assert np.array_equal(decoded, instance.mask.array)

    def test_polygons_where_cvat_asks_for_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        function = loader("detector", labels="cat").load()
        shapes = annotate(monkeypatch, function, labels("cat", kind="polygon"), conv_mask_to_poly=True)
        assert {shape.type.value for shape in shapes} == {"polygon"}
        assert all(len(shape.points) >= 6 and len(shape.points) % 2 == 0 for shape in shapes)

    def test_a_threshold_leaves_objects_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        function = loader("detector", labels="cat").load()
        assert annotate(monkeypatch, function, labels("cat"), conf_threshold=1.0) == []

    def test_a_label_that_the_task_lacks_is_cvats_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        function = loader("detector", labels="cat,dog").load()
        with pytest.raises(cvataa.BadFunctionError, match="'dog' is not in dataset"):
            annotate(monkeypatch, function, labels("cat"))

    def test_what_the_server_gets_of_it(self) -> None:
        spec = loader("detector", labels="cat,dog").load().spec
        fields = agent.get_function_driver_class(spec).get_remote_function_fields(spec)
        assert [each["name"] for each in fields["labels_v2"]] == ["cat", "dog"]

    @pytest.mark.parametrize(
        ("given", "line"),
        [
            ("", "labels: none"),
            ("cat,cat", "'cat' is empty or there twice"),
            ("xqzv", "label 'xqzv': .*give NAME=PHRASE"),
            ("=cat", "empty"),
        ],
    )
    def test_labels_of_no_use_get_one_line(self, given: str, line: str) -> None:
        with pytest.raises(SystemExit, match=f"^error: .*{line}") as caught:
            loader("detector", labels=given).load()
        assert "\n" not in str(caught.value)


class LocalDriver(interaction.AgentInteractionFunctionDriver):  # type: ignore[misc]
    """The agent's driver with an image of its own instead of one from the server. Counts how often it is read."""

    image: Image.Image
    reads = 0

    def _get_sample_from_ar_params(self, ar_params: dict[str, Any]) -> tuple[Any, list[Any]]:
        self.reads += 1
        return SimpleNamespace(media=SimpleNamespace(load_image=lambda: self.image)), []


@pytest.fixture(scope="module")
def local_driver() -> Iterator[LocalDriver]:
    """Computes in the agent's own worker process."""
    function = loader("interactor")
    with agent.RecoverableExecutor(agent._worker_init, (function, agent._default_tracking_state_id_generator)) as pool:
        spec = pool.result(pool.submit(agent._worker_job_get_function_spec))
        made = LocalDriver(None, pool, spec)
        pixels = np.zeros((480, 640, 3), np.uint8)
        pixels[...] = (20, 40, 160)
        pixels[DISC] = (220, 30, 20)
        made.image = Image.fromarray(pixels)
        yield made


def interact(made: LocalDriver, **prompt: Any) -> list[np.ndarray]:
    request = {"type": "interact", "task": 1, "frame": 0, "pos_points": [], "neg_points": [], "obj_bbox": []} | prompt
    shapes = made.calculate_result_for_ar(request, lambda **_: None)["shapes"]
    for shape in shapes:
        assert shape["type"] == "mask"
        (confidence,) = shape["attributes"]
        assert 0 <= float(confidence.value) <= 1
    return [masks.decode_mask(shape["points"], image_width=640, image_height=480) for shape in shapes]


class TestInteractor:
    def test_points(self, local_driver: LocalDriver) -> None:
        segmenter = saywhere.load().set_image(local_driver.image)
        wanted = segmenter.click(300, 200).array
        assert np.array_equal(interact(local_driver, pos_points=[[300.5, 200.5]])[0], wanted)
        wanted = segmenter.click(320, 200, positive=False).array
        found = interact(local_driver, pos_points=[[300.5, 200.5]], neg_points=[[320.5, 200.5]])
        assert np.array_equal(found[0], wanted)

    def test_a_box(self, local_driver: LocalDriver) -> None:
        (found,) = interact(local_driver, obj_bbox=[[258, 158], [343, 243]])
        assert (found & DISC).sum() / (found | DISC).sum() > 0.9

    def test_an_image_is_encoded_once(self, local_driver: LocalDriver) -> None:
        interact(local_driver, pos_points=[[300, 200]])
        before = local_driver.reads
        interact(local_driver, pos_points=[[310, 200]])
        assert local_driver.reads == before

    def test_no_prompt_gets_one_line(self, local_driver: LocalDriver) -> None:
        with pytest.raises(saywhere.SaywhereError, match="no point on the object and no box"):
            interact(local_driver, neg_points=[[1, 1]])

    def test_the_server_may_ask_for_what_the_function_takes(self, local_driver: LocalDriver) -> None:
        fields = local_driver.get_remote_function_fields(loader("interactor").load().spec)
        assert fields == {"min_pos_points": 0, "min_neg_points": 0, "startswith_box_optional": True}
        local_driver.validate_function_compatibility({"startswith_box": False, **fields})
