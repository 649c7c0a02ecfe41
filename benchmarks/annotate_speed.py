"""How fast the annotator's page is: from a click to the painted mask, 4,000 images, images of 24 and 50 megapixels.

    python benchmarks/annotate_speed.py
    python benchmarks/annotate_speed.py 24       # only the image of 24 megapixels

Run it on a quiet machine. It drives Chromium against a server with the shipped weights and two threads. Images are
enlarged from the package's sample image ``astronaut.jpg``.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from annotate_load import Server
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

import saywhere
from saywhere.annotate.sample_images import SAMPLES
from saywhere.core.arrays import ImageArray
from saywhere.runtime.base import Runtime

SOURCE = SAMPLES / "astronaut.jpg"

# Runs in the page: from the press's end to the frame after the one in which the answer was drawn.
WATCH = """() => {
  const canvas = document.getElementById('canvas');
  let pressed = 0;
  window.times = [];
  canvas.addEventListener('pointerup', () => { pressed = performance.now(); }, true);
  new MutationObserver(() => {
    if (canvas.dataset.seq && pressed) {
      const began = pressed;
      pressed = 0;
      requestAnimationFrame(() => window.times.push(performance.now() - began));
    }
  }).observe(canvas, { attributeFilter: ['data-seq'] });
}"""
SCROLL = """async () => {
  const list = document.getElementById('list'), gaps = [];
  let last = performance.now(), rows = 0;
  for (let step = 0; step < 240; step++) {
    list.scrollTop += 1000;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    rows = Math.max(rows, document.querySelectorAll('.row').length);
  }
  return { gaps, rows, reached: list.scrollTop };
}"""


TIMES = "SAYWHERE_SPEED_TIMES"  # names the file to which timed() writes


def timed() -> Runtime:
    """For ``--model annotate_speed:timed``: the shipped weights; each call's end and milliseconds go to a file."""
    runtime, path, depth = saywhere.load().runtime, Path(os.environ[TIMES]), [0]

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            depth[0] += 1
            started = time.time()
            try:
                return method(*args, **options)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    with path.open("a") as file:
                        file.write(f"{time.time()} {1000 * (time.time() - started)}\n")

        return call

    for name in ("encode", "decode", "decode_candidates"):
        setattr(runtime, name, wrap(getattr(runtime, name)))
    return runtime


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server on a folder that writes how long the network takes to ``times.txt`` there."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ.update({TIMES: str(folder / "times.txt"), "PYTHONPATH": os.pathsep.join(filter(None, paths))})
    server = Server(folder, ["--model", "annotate_speed:timed"])
    try:
        yield server
    finally:
        server.stop()


def click_times(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Milliseconds that the server, and within it the network, took for each click so far."""
    calls = np.loadtxt(folder / "times.txt", ndmin=2)
    with sqlite3.connect(folder / ".saywhere" / "annotations.sqlite") as database:
        query = "select at, spent_ms from saywhere_event where kind = 'click' order by seq"
        rows = np.array(database.execute(query).fetchall(), np.float64)
    ended, spent = rows[:, 0] / 1000, rows[:, 1]
    network = [calls[(calls[:, 0] > at - ms / 1000 - 0.05) & (calls[:, 0] < at), 1].sum()
               for at, ms in zip(ended, spent, strict=True)]  # fmt: skip
    return spent, np.array(network)


def report(name: str, times: list[float]) -> None:
    median, p95 = np.percentile(times, [50, 95])
    print(f"{name:46} {median:7.1f} ms median, {p95:7.1f} ms p95, {len(times)} times")


def open_page(browser: Browser, url: str) -> tuple[Page, float]:
    """A page with its first image painted, and the milliseconds that took."""
    page = browser.new_page(viewport={"width": 1360, "height": 850})
    page.set_default_timeout(180_000)
    started = time.perf_counter()
    page.goto(url)
    page.wait_for_selector("canvas[data-image]")
    page.wait_for_selector("canvas[data-seq]:not([data-seq=''])")
    return page, 1000 * (time.perf_counter() - started)


def clicks(page: Page, count: int, size: tuple[int, int]) -> tuple[list[float], list[float]]:
    """Milliseconds of first clicks on an object, and of further ones.

    Three of four clicks are off the object, which always correct the selected one; a click on it could select another.
    """
    page.evaluate(WATCH)
    box = page.locator("#canvas").bounding_box()
    rng = np.random.default_rng(0)
    scale = min((box["width"] - 56) / size[0], (box["height"] - 56) / size[1])
    for step in range(count):
        dx, dy = (rng.uniform(-0.35, 0.35, 2) * size * scale).tolist()
        first = step % 4 == 0
        if first:
            page.keyboard.press("o")
            page.wait_for_timeout(150)
        place = box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy
        page.mouse.click(*place, button="left" if first else "right")
        while page.evaluate("window.times.length") <= step:
            page.wait_for_timeout(20)
    times = page.evaluate("window.times")
    return times[::4], [time for step, time in enumerate(times) if step % 4]


def enlarged(width: int, height: int) -> ImageArray:
    """The source image in BGR at another size."""
    return cv2.resize(cv2.imread(str(SOURCE)), (width, height), interpolation=cv2.INTER_CUBIC)


def measure_clicks(browser: Browser, folder: Path) -> None:
    cv2.imwrite(str(folder / "one.jpg"), enlarged(1280, 960))
    with serving(folder) as server:
        page, _ = open_page(browser, server.url)
        clicks(page, 8, (1280, 960))
        page.reload()
        page.wait_for_selector("canvas[data-seq]:not([data-seq=''])")
        first, further = clicks(page, 60, (1280, 960))
        report("1280x960, first click on an object, painted", first)
        report("1280x960, further click, painted", further)
        page.close()


def measure_list(browser: Browser, folder: Path) -> None:
    cv2.imwrite(str(folder / "0000.jpg"), enlarged(1280, 960))
    for i in range(1, 4000):
        shutil.copy(folder / "0000.jpg", folder / f"{i:04}.jpg")
    with serving(folder) as server:
        page, opened = open_page(browser, server.url)
        print(f"4,000 images, from address to painted: {opened:.0f} ms")
        scrolled = page.evaluate(SCROLL)
        assert scrolled["reached"] > 230_000, "scrolled to the end"
        report("4,000 images, frame while scrolling", scrolled["gaps"])
        print(f"rows in the page at once: at most {scrolled['rows']}")
        page.close()


def measure_large(browser: Browser, folder: Path, width: int, height: int) -> None:
    """Clicks on a large image; of each the share of the network, and of the server's other work."""
    cv2.imwrite(str(folder / "large.jpg"), enlarged(width, height))
    name = f"{width * height / 1e6:.0f} megapixels"
    with serving(folder) as server:
        page, opened = open_page(browser, server.url)
        print(f"{name}, from address to painted: {opened:.0f} ms")
        first, further = clicks(page, 24, (width, height))
        report(f"{name}, first click, painted", first)
        report(f"{name}, further click, painted", further)
        spent, network = click_times(folder)
        assert len(spent) == 24, "every click reached the network"
        for kind, of_kind in (("first", slice(0, None, 4)), ("further", [i for i in range(24) if i % 4])):
            report(f"{name}, {kind} click, of this the network", network[of_kind].tolist())
            report(f"{name}, {kind} click, of this the server's rest", (spent - network)[of_kind].tolist())
        print(f"{name}, memory of the server: {server.memory():.0f} MB")
        page.close()


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    measures = {
        "clicks": measure_clicks,
        "list": measure_list,
        "24": partial(measure_large, width=6000, height=4000),
        "50": partial(measure_large, width=8660, height=5774),
    }
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name in sys.argv[1:] or measures:
            with tempfile.TemporaryDirectory() as folder:
                measures[name](browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
