"""Import and export in a real browser: what is shown before and after, and the files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotator import Server, make_folder
from page import Page, expect, needs_chromium, sync_api

from conftest import disc
from saywhere.data.formats import ObjectAnnotation

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(make_folder(tmp_path_factory.mktemp("transfer") / "photos"))
    yield made
    made.stop()


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A COCO file of one object in the second image, and of one in an image that the project does not have."""
    region = ObjectAnnotation.from_mask(disc(480, 640, 180, 200, 60)).region.as_annotation()
    images = [
        {"id": i, "file_name": name, "height": 480, "width": 640} for i, name in enumerate(["b-two.png", "x.png"])
    ]
    content = {
        "images": images, "categories": [{"id": 1, "name": "red ball"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, **region} for i in (0, 1)],
    }  # fmt: skip
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    return path


def test_import_with_preview_refined_and_exported(
    browser: sync_api.Browser, server: Server, labels: Path, tmp_path: Path
) -> None:
    page = Page(browser, server, 2)
    before = page.pixel(180, 160)
    page.page.locator("#import").click()
    expect(page.page.locator("#import-add")).to_be_disabled()
    page.page.locator("#import-file").set_input_files(str(labels))
    page.page.wait_for_selector("#import-add:enabled")
    for text in ("1 new object", "New labels: red ball", "'x.png'"):
        expect(page.page.locator("#import-result")).to_contain_text(text)
    assert page.state(2)["objects"] == []
    page.page.locator("#import-add").click()
    page.page.wait_for_selector("#import-result >> text=1 object added in 1 image.")
    page.page.locator("#import-close").click()
    page.seq(1)
    assert page.pixel(180, 160) != before, "the mask is painted"
    expect(page.page.locator("#labels .label").first).to_contain_text("red ball")
    page.page.locator("#objects .object").first.click()
    page.click(460, 280)
    page.seq(2)
    page.page.wait_for_selector("#offer:visible")
    page.page.keyboard.press(".")  # it belongs to the selected object
    page.seq(4)
    (refined,) = page.state(2)["objects"]
    assert refined["area"] > 1.3 * disc(480, 640, 180, 200, 60).sum(), "what was imported, and what was clicked"
    page.page.keyboard.press("z")
    page.seq(5)
    page.page.keyboard.press("z")
    page.seq(6)
    assert page.state(2)["objects"] == [], "one undo takes the import back"
    page.page.keyboard.press("y")
    page.seq(7)

    page.page.locator("#export").click()
    page.page.wait_for_selector("#export-preview >> text=1 image started and not done, with 1 object")
    page.page.locator("#export-done").uncheck()
    page.page.wait_for_selector("#export-preview >> text=1 image with 1 object")
    page.page.locator("#export-images").check()
    page.page.locator("#export-split").check()
    page.page.locator("#export-simplify").fill("2")
    with page.page.expect_download() as started:
        page.page.locator("#export-formats [data-format=yolo]").click()
    assert started.value.suggested_filename == "annotations-v1-yolo.zip"
    with zipfile.ZipFile(started.value.path()) as file:
        assert {"images/train/b-two.png", "labels/train/b-two.txt", "data.yaml"} <= set(file.namelist())
        manifest = json.loads(file.read("saywhere-manifest.json"))
    assert manifest["options"]["simplify"] == 2
    for text in ("Version 1: 1 image with 1 object.", "Training 1", "2 images not annotated", "polygon differs from"):
        expect(page.page.locator("#export-result")).to_contain_text(text)
    with page.page.expect_download() as started:
        page.page.locator("#export-formats [data-format=coco-polygons]").click()
    page.page.wait_for_selector("#export-result >> text=Since version 1")
    page.close()


def test_a_file_that_cannot_be_read(browser: sync_api.Browser, server: Server, tmp_path: Path) -> None:
    page = Page(browser, server, 1)
    (tmp_path / "broken.json").write_text("{")
    page.page.locator("#import").click()
    page.page.locator("#import-file").set_input_files(str(tmp_path / "broken.json"))
    page.page.wait_for_selector("#import-result >> text=broken.json")
    expect(page.page.locator("#import-add")).to_be_disabled()
    page.close()
