"""The annotator's page with ``--in-browser``, in a real browser with the real network and real clicks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotator import Server
from page import Page, expect, needs_chromium, sync_api
from PIL import Image

import saywhere
from saywhere.annotate.sample_images import SAMPLES
from saywhere.browser.onnxruntime_web import fetched_archive
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_image
from saywhere.core.metrics import iou
from saywhere.core.rle import RunLengths
from saywhere.errors import SaywhereError

pytestmark = needs_chromium
ASKS = re.compile(r"/api/.*/(proposal|instances|relevance|probability|prefetch)\b")  # what the server's network answers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    try:
        fetched_archive()
    except SaywhereError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("in-browser") / "photos"
    folder.mkdir()
    for name in ("chelsea.jpg", "coffee.jpg"):  # as PNG: browsers decode JPEG a little differently
        Image.fromarray(read_image(SAMPLES / name)).save(folder / f"{Path(name).stem}.png")
    made = Server(folder, "--in-browser", "--label", "cat", model=None)
    yield made
    made.stop()


class Opened(Page):
    """A page that records what it asks the server for."""

    def __init__(self, browser: sync_api.Browser, server: Server, without: str | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.asked: list[str] = []
        super().__init__(browser, server, None)
        self.page.on("request", self._record)
        if without is not None:
            self.page.route(without, lambda route: route.abort())
        self.page.goto(f"{server.url}#image=1")
        self.page.reload()
        self.shown(1)
        height, width = read_image(server.folder / "chelsea.png").shape[:2]
        self.size = (width, height)

    def _record(self, request: Any) -> None:
        if ASKS.search(request.url):
            self.asked.append(request.url)
        if request.method == "POST" and request.url.endswith("/events"):
            self.sent.append(request.post_data_json)

    def computes(self, where: str) -> None:
        self.page.wait_for_selector(f"html[data-computes={where}]")

    def mask(self, image: int = 1) -> Any:
        state: Any = self.state(image)
        (one,) = state["objects"]
        return RunLengths.from_counts(state["masks"][str(one["mask"])]["counts"], ImageSize(*self.size[::-1])).mask()


def test_masks_are_the_servers_and_nothing_is_asked(browser: sync_api.Browser, server: Server) -> None:
    page = Opened(browser, server)
    page.computes("wasm")
    assert page.page.evaluate("self.crossOriginIsolated"), "threads need it"
    expect(page.page.locator("#computed")).to_contain_text("WebAssembly")
    own = saywhere.load().set_image(server.folder / "chelsea.png")
    expected, found = [own.click(230, 140)], []
    page.click(230, 140)
    page.seq(1)
    found.append(page.mask())
    page.click(60, 60, "right")
    page.seq(2)
    expected.append(own.click(60, 60, positive=False))
    found.append(page.mask())
    page.page.keyboard.press("q")
    page.seq(3)
    (one,) = page.state(1)["objects"]
    expected.append(own.choose(one["interactions"][-1]["index"]))
    found.append(page.mask())
    assert [iou(ours, theirs.array) > 0.97 for ours, theirs in zip(found, expected, strict=True)] == [True] * 3
    assert one["score"] == pytest.approx(expected[-1].score, abs=0.02)
    page.page.keyboard.press("z")
    page.seq(4)
    assert (page.mask() == found[1]).all(), "undone"
    kinds = [(each["action"]["kind"], (each.get("computed") or {}).get("backend")) for each in page.sent]
    assert kinds == [("click", "wasm"), ("click", "wasm"), ("candidate", "wasm"), ("undo", None)]
    assert page.asked == []
    page.page.keyboard.press("Delete")
    page.seq(5)
    page.close()


def test_without_the_network_the_server_computes_and_the_page_says_so(
    browser: sync_api.Browser, server: Server
) -> None:
    page = Opened(browser, server, without="**/encoder.onnx")
    page.computes("server")
    expect(page.page.locator("#computed")).to_have_text("Masks are computed by the server.")
    seq = page.state(1)["seq"]
    page.click(230, 140)
    page.seq(seq + 1)
    assert page.sent[-1]["computed"] is None
    own = saywhere.load().set_image(server.folder / "chelsea.png")
    assert iou(page.mask(), own.click(230, 140).array) > 0.97
    page.close()
