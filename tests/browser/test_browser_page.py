"""The page that annotates by itself, in a real browser, beside the library."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page import PATIENCE, expect, needs_chromium
from PIL import Image

import saywhere
from saywhere.annotate.sample_images import SAMPLES
from saywhere.browser.onnxruntime_web import fetched_archive
from saywhere.browser.write import write_page
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_image
from saywhere.core.metrics import iou
from saywhere.core.prompt import Click
from saywhere.core.rle import RunLengths
from saywhere.errors import SaywhereError

pytestmark = needs_chromium
Mask = np.ndarray[Any, np.dtype[np.bool_]]
CASES: dict[str, list[tuple[Any, ...]]] = {
    "chelsea.jpg": [
        ("click", 230, 140, True), ("click", 60, 60, False), ("click", 250, 260, True), ("click", 400, 150, True),
        ("click", 30, 200, False), ("undo",), ("redo",),
    ],
    "coffee.jpg": [("click", 300, 200, True), ("choose", 0), ("click", 330, 150, True)],
    "rocket.jpg": [("box", 290, 100, 380, 360), ("click", 320, 200, True)],
    "astronaut.jpg": [("click", 220, 120, True, 50)],
}  # fmt: skip


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Site:
    """A folder that is served as any static server would, without headers of isolation."""

    def __init__(self, folder: Path) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def archive() -> Path:
    try:
        return fetched_archive()
    except SaywhereError as error:
        pytest.skip(str(error))


class Opened:
    """The page of a folder, open and ready."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.site = Site(folder)
        self.context = browser.new_context(viewport={"width": 1200, "height": 800}, accept_downloads=True)
        self.context.set_default_timeout(PATIENCE)
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.goto(self.site.url)
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_selector("body[data-ready=yes]:not([data-busy=yes])")

    def shows(self, name: str) -> None:
        self.page.wait_for_selector(f"#images [aria-current=true]:has-text('{name}')")
        self.ready()

    def close(self) -> None:
        self.context.close()
        self.site.stop()
        assert self.faults == []


@pytest.fixture(scope="module")
def folder(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the small network, which every test opens anew."""
    folder = tmp_path_factory.mktemp("small") / "page"
    write_page(folder, runtime=archive)
    return folder


@pytest.fixture
def small(browser: Any, folder: Path) -> Iterator[Opened]:
    opened = Opened(browser, folder)
    yield opened
    opened.close()


def of_library(name: str, actions: list[tuple[Any, ...]], model: str = "small") -> list[Mask]:
    """The mask after each action."""
    segmenter = saywhere.load(model).set_image(SAMPLES / name)
    masks = []
    for kind, *values in actions:
        mask = segmenter.add(Click(*values)) if kind == "click" else getattr(segmenter, kind)(*values)
        masks.append(mask.array)
    return masks


def in_page(opened: Opened, name: str, actions: list[tuple[Any, ...]]) -> list[Mask]:
    """The same from the page's own worker, which is given all actions that are in force each time."""
    prompts: list[list[dict[str, Any]]] = [[]]
    undone: list[dict[str, Any]] = []
    for kind, *values in actions:
        if kind == "click":
            x, y, positive, radius = (*values, None)[:4]
            one = {"kind": "click", "x": x, "y": y, "positive": positive, "radius": radius}
        elif kind == "undo":
            undone.append(prompts[-1][-1])
            prompts.append(prompts[-1][:-1])
            continue
        else:
            one = {"kind": kind, "box": values, "index": values[0] if values else None}
        prompts.append([*prompts[-1], undone.pop() if kind == "redo" else one])
    script = """async ([data, prompts]) => {
        const { Client } = await import('./inference/client.js'), client = window.client ??= new Client();
        window.loaded ??= client.call('load', { backend: 'wasm', base: location.href });
        await window.loaded;
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        const bitmap = await createImageBitmap(new Blob([bytes]));
        await client.call('open', { bitmap }, [bitmap]);
        const masks = [];
        for (const actions of prompts) masks.push((await client.call('segment', { actions })).counts);
        return masks;
    }"""
    pixels = io.BytesIO()
    Image.fromarray(read_image(SAMPLES / name)).save(pixels, "png")  # browsers decode JPEG a little differently
    counts = opened.page.evaluate(script, [base64.b64encode(pixels.getvalue()).decode(), prompts[1:]])
    return [RunLengths.from_counts(each, size_of(name)).mask() for each in counts]


def size_of(name: str) -> ImageSize:
    return ImageSize(*read_image(SAMPLES / name).shape[:2])


@pytest.mark.parametrize(("model", "names"), [("small", list(CASES)), ("large", ["rocket.jpg"])])
def test_masks_are_those_of_the_library(
    browser: Any, archive: Path, tmp_path: Path, model: str, names: list[str]
) -> None:
    """The crops, candidates, boxes, drags, undo and what happens after the network, with the library's own weights."""
    if model == "large":
        pytest.importorskip("saywhere_large")
    write_page(tmp_path / "page", model, precision="fp32", runtime=archive)
    opened = Opened(browser, tmp_path / "page")
    for name, actions in ((name, CASES[name]) for name in names):
        found = in_page(opened, name, actions)
        ious = [iou(ours, theirs) for ours, theirs in zip(found, of_library(name, actions, model), strict=True)]
        assert min(ious) > 0.98, (name, ious)
    opened.close()


def place(opened: Opened, x: float, y: float, size: ImageSize) -> tuple[float, float]:
    """Where a pixel of an image is on the page, as long as all of it is shown."""
    box = opened.page.locator("#canvas").bounding_box()
    scale = min((box["width"] - 24) / size.width, (box["height"] - 24) / size.height)
    left = box["x"] + (box["width"] - size.width * scale) / 2
    top = box["y"] + (box["height"] - size.height * scale) / 2
    return left + (x + 0.5) * scale, top + (y + 0.5) * scale


def exported(opened: Opened) -> dict[str, Any]:
    with opened.page.expect_download() as info:
        opened.page.click("#export")
    return json.loads(Path(info.value.path()).read_text())


def test_annotating_with_the_mouse(small: Opened) -> None:
    """Two objects with labels in one image, undo, the export, and nothing that leaves the computer."""
    page, size = small.page, size_of("chelsea.jpg")
    assert page.evaluate("self.crossOriginIsolated"), "threads need it"
    page.set_input_files("#files", [SAMPLES / "chelsea.jpg"])
    small.shows("chelsea.jpg")
    page.fill("#label", "cat")
    page.keyboard.press("Enter")
    page.mouse.click(*place(small, 230, 140, size))
    small.ready()
    page.mouse.click(*place(small, 60, 60, size), button="right")
    small.ready()
    page.mouse.click(*place(small, 400, 150, size))
    small.ready()
    page.locator("#canvas").press("z")
    small.ready()
    page.click("#finish")
    page.fill("#label", "nose")
    page.keyboard.press("Enter")
    page.mouse.click(*place(small, 250, 260, size))
    small.ready()
    coco = exported(small)
    assert coco["images"] == [{"id": 1, "file_name": "chelsea.jpg", "width": size.width, "height": size.height}]
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert [names[each["category_id"]] for each in coco["annotations"]] == ["cat", "nose"]
    cat = coco["annotations"][0]
    region = RunLengths.from_counts(cat["segmentation"]["counts"], size)
    assert (cat["area"], tuple(cat["bbox"])) == (region.area, region.box)
    expected = of_library("chelsea.jpg", [("click", 230, 140, True), ("click", 60, 60, False)])[-1]
    assert iou(region.mask(), expected) > 0.98
    assert all(url.startswith((small.site.url, "blob:", "data:")) for url in small.requests)


def test_an_object_goes_on_after_another_image_was_shown(small: Opened) -> None:
    """Another candidate by its key, another image and back: the worker repeats the steps that it has forgotten."""
    page, size = small.page, size_of("coffee.jpg")
    page.set_input_files("#files", [SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg"])
    page.click("#images li:last-child button")
    small.shows("coffee.jpg")
    page.mouse.click(*place(small, 300, 200, size))
    small.ready()
    page.keyboard.press("c")
    small.ready()
    page.keyboard.press("a")
    small.shows("chelsea.jpg")
    page.keyboard.press("d")
    small.shows("coffee.jpg")
    page.click("#objects li:first-child button")
    page.mouse.click(*place(small, 330, 150, size))
    small.ready()
    coco = exported(small)
    number = next(image["id"] for image in coco["images"] if image["file_name"] == "coffee.jpg")
    (found,) = (each for each in coco["annotations"] if each["image_id"] == number)
    segmenter = saywhere.load().set_image(SAMPLES / "coffee.jpg")
    segmenter.click(300, 200)
    segmenter.choose((segmenter.candidate + 1) % len(segmenter.candidates))
    expected = segmenter.click(330, 150).array
    assert iou(RunLengths.from_counts(found["segmentation"]["counts"], size).mask(), expected) > 0.98


def test_a_file_that_is_no_image_is_named_and_nothing_is_lost(small: Opened, tmp_path: Path) -> None:
    page = small.page
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    page.set_input_files("#files", [SAMPLES / "coffee.jpg", tmp_path / "broken.jpg"])
    small.shows("coffee.jpg")
    page.mouse.click(*place(small, 300, 200, size_of("coffee.jpg")))
    small.ready()
    page.click("#images li:last-child button")
    page.locator("#status").filter(has_text="broken.jpg").wait_for()
    coco = exported(small)
    assert [image["file_name"] for image in coco["images"]] == ["coffee.jpg"]
    assert len(coco["annotations"]) == 1


def test_the_page_is_in_the_language_that_the_browser_prefers(small: Opened, browser: Any) -> None:
    context = browser.new_context(locale="de-AT")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(small.site.url)
    page.wait_for_selector("html[lang=de]")
    expect(page.locator("#undo")).to_have_text("Rückgängig")
    page.locator(".language").select_option("zh")
    page.wait_for_selector("html[lang=zh]")
    expect(page.locator("#empty")).to_have_text(re.compile("照片不会离开这台计算机。$"))
    context.close()


def test_the_page_works_without_the_server(small: Opened) -> None:
    """The service worker has all that was used."""
    page = small.page
    page.on("dialog", lambda dialog: dialog.accept())
    small.site.stop()
    page.reload()
    small.ready()
    page.set_input_files("#files", [SAMPLES / "coffee.jpg"])
    small.shows("coffee.jpg")
    page.mouse.click(*place(small, 300, 200, size_of("coffee.jpg")))
    page.wait_for_selector("#objects li")
