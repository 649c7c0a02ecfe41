"""How fast the annotator's page is: from a click to the painted mask, 4,000 images, one of 50 megapixels.

    python benchmarks/annotate_speed.py

Run it on a quiet machine. It drives Chromium against a server with the shipped weights and two threads. Images are
enlarged from the package's sample image ``astronaut.jpg``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from saywhere.annotate.sample_images import SAMPLES
from saywhere.core.arrays import ImageArray

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


class Server:
    """``saywhere annotate`` on a folder, with the shipped weights."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "saywhere.cli", "annotate", str(folder), "--no-browser", "--port", "0"]
        environment = {**os.environ, "COLUMNS": "200"}
        self.process = subprocess.Popen([*command], env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        match = None
        while match is None:
            match = re.search(r"open (http://\S+)", self.process.stderr.readline())
        self.url = match[1]

    def memory(self) -> float:
        """Peak memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


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
    """Milliseconds of first clicks on an object, and of further ones."""
    page.evaluate(WATCH)
    box = page.locator("#canvas").bounding_box()
    rng = np.random.default_rng(0)
    scale = min((box["width"] - 56) / size[0], (box["height"] - 56) / size[1])
    first = []
    for step in range(count):
        dx, dy = (rng.uniform(-0.35, 0.35, 2) * size * scale).tolist()
        if step % 4 == 0:
            page.keyboard.press("o")
            page.wait_for_timeout(150)
        page.mouse.click(box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy, button="left")
        while page.evaluate("window.times.length") <= step:
            page.wait_for_timeout(20)
        first.append(step % 4 == 0)
    times = page.evaluate("window.times")
    return [t for t, f in zip(times, first, strict=True) if f], [t for t, f in zip(times, first, strict=True) if not f]


def enlarged(width: int, height: int) -> ImageArray:
    """The source image in BGR at another size."""
    return cv2.resize(cv2.imread(str(SOURCE)), (width, height), interpolation=cv2.INTER_CUBIC)


def measure_clicks(browser: Browser, folder: Path) -> None:
    cv2.imwrite(str(folder / "one.jpg"), enlarged(1280, 960))
    with Server(folder) as server:
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
    with Server(folder) as server:
        page, opened = open_page(browser, server.url)
        print(f"4,000 images, from address to painted: {opened:.0f} ms")
        scrolled = page.evaluate(SCROLL)
        assert scrolled["reached"] > 230_000, "scrolled to the end"
        report("4,000 images, frame while scrolling", scrolled["gaps"])
        print(f"rows in the page at once: at most {scrolled['rows']}")
        page.close()


def measure_large(browser: Browser, folder: Path) -> None:
    cv2.imwrite(str(folder / "large.jpg"), enlarged(8660, 5774))
    with Server(folder) as server:
        page, opened = open_page(browser, server.url)
        print(f"50 megapixels, from address to painted: {opened:.0f} ms")
        first, further = clicks(page, 24, (8660, 5774))
        report("50 megapixels, first click, painted", first)
        report("50 megapixels, further click, painted", further)
        print(f"50 megapixels, memory of the server: {server.memory():.0f} MB")
        page.close()


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for measure in (measure_clicks, measure_list, measure_large):
            with tempfile.TemporaryDirectory() as folder:
                measure(browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
