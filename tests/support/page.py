"""The annotator's page in a real browser, as its tests use it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from annotator import Server
from throttle import throttle

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
# The first has no window to draw and takes half the time of the others.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: apt-get install chromium-headless-shell, or name it by CHROMIUM"
)
# A busy machine is not the page's fault.
PATIENCE = int(os.environ.get("SAYWHERE_PATIENCE", "90")) * 1000
sync_api.expect.set_options(timeout=PATIENCE)
expect = sync_api.expect

# Whether a page has the lock of the image that it shows; one that has lost it shows the banner.
HOLDS_A_LOCK = """() => document.getElementById('banner')?.hidden === true
    && sessionStorage['saywhere-client'] in JSON.parse(localStorage['saywhere-tabs'] ?? '{}')"""


@contextmanager
def launched() -> Iterator[sync_api.Browser]:
    """A browser, for the fixture ``browser`` of all tests."""
    with sync_api.sync_playwright() as play:
        # As root, and in containers, Chromium's own sandbox cannot be set up.
        made = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield throttle(made)
        made.close()


class Page:
    """A page with the annotator open, and where things are on it."""

    def __init__(self, browser: sync_api.Browser, server: Server, image: int | None = None, **context: object) -> None:
        context.setdefault("viewport", {"width": 1360, "height": 850})
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(PATIENCE)
        self.server, self.size = server, (640, 480)
        self.faults: list[str] = []
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.goto(server.url + (f"#image={image}" if image else ""))
        if image:
            self.shown(image)

    def shown(self, image: int) -> None:
        """Wait until an image is painted."""
        self.page.wait_for_selector(f'canvas[data-image="{image}"]')
        self.page.wait_for_selector("canvas[data-seq]:not([data-seq=''])")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of an image of ``size`` is on the page, as long as all of it is shown."""
        box, (width, height) = self._canvas(), self.size
        scale = min((box["width"] - 56) / width, (box["height"] - 56) / height, 8)
        left, top = box["x"] + (box["width"] - width * scale) / 2, box["y"] + (box["height"] - height * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def _canvas(self) -> dict[str, float]:
        """Where the canvas is, once the image on it is scaled to its present size."""
        script = """() => { const c = document.getElementById('canvas');
            const { x, y, width, height } = c.getBoundingClientRect();
            const scaled = c.width === Math.round(c.clientWidth * devicePixelRatio)
                && c.height === Math.round(c.clientHeight * devicePixelRatio);
            return scaled && { x, y, width, height }; }"""
        return self.page.wait_for_function(script).json_value()

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that takes more than one look at the page."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not holds():
            assert time.monotonic() < deadline, f"it did not hold within {PATIENCE / 1000} s"
            self.page.wait_for_timeout(20)

    def toast(self, text: str) -> None:
        """Wait until the page has said something. It is not shown for long, but it stays in the element."""
        expect(self.page.locator("#toast")).to_contain_text(text)

    def click(self, x: float, y: float, button: str = "left") -> None:
        self.page.mouse.click(*self.at(x, y), button=button)

    def drag(self, *points: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=4)
        self.page.mouse.up()

    def seq(self, number: int) -> None:
        """Wait until the image is painted as it is after an event."""
        self.page.wait_for_selector(f'canvas[data-seq="{number}"]')

    def state(self, image: int) -> dict[str, object]:
        """The state that the server has stored."""
        return self.server.client("observer-page").get(f"/api/images/{image}").json()["state"]

    def state_of(self, image: int) -> dict[str, object]:
        """The state that the server has stored of an image whose file need not be readable."""
        return self.server.client("observer-page").get(f"/api/images/{image}/state").json()

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """The colour that is painted at a pixel of the image."""
        script = """([x, y]) => { const c = document.getElementById('canvas'), b = c.getBoundingClientRect();
            const s = c.width / b.width;
            return [...c.getContext('2d').getImageData((x - b.x) * s, (y - b.y) * s, 1, 1).data.slice(0, 3)]; }"""
        return tuple(self.page.evaluate(script, list(self.at(x, y))))

    def close(self) -> None:
        """Close the page, which releases its lock first: a context that is closed sends nothing more."""
        if self.page.evaluate(HOLDS_A_LOCK):
            with self.page.expect_response(lambda response: response.request.method == "DELETE"):
                self.page.evaluate("() => { dispatchEvent(new Event('pagehide')); }")
        self.context.close()
        assert self.faults == []
