"""Record the README's moving picture of the annotator, with the sample images: docs/images/annotate.webp.

A click, a phrase, all instances of a phrase, and accepting, done by real mouse and key events in Chromium.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps
from playwright.sync_api import Page, ViewportSize, sync_playwright

from saywhere.annotate.sample_images import write_samples

SIZE: ViewportSize = {"width": 1180, "height": 700}
WIDTH, CAPTION = 820, 34
STEP, LETTER = 70, 150  # ms of a frame while the pointer moves, and after a letter
POINTER = [(0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12)]
CHELSEA, COFFEE, COLLAGE = 2, 3, 4  # numbers of the images, which are sorted by name
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def annotator(folder: Path) -> Iterator[str]:
    """The address of an annotator of the sample images, and of one in which two of them are twice."""
    write_samples(folder)
    cat, coffee = (
        Image.open(folder / f"{name}.jpg").convert("RGB").resize((450, 300)) for name in ("chelsea", "coffee")
    )
    collage = Image.new("RGB", (900, 600))
    for at, picture in {
        (0, 0): cat,
        (450, 0): coffee,
        (0, 300): ImageOps.mirror(coffee),
        (450, 300): ImageOps.mirror(cat),
    }.items():
        collage.paste(picture, at)
    collage.save(folder / "collage.jpg", quality=92)
    command = [sys.executable, "-m", "saywhere.cli", "annotate", str(folder), "--no-browser", "--port", "0"]
    command += ["--label", "cat", "--label", "cup", "--label", "spoon"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if match := re.search(r"open (http://\S+/)", line):
                    yield match[1]
                    break
        finally:
            process.terminate()


class Recorder:
    """Takes pictures of the page, with the pointer and a caption drawn on them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []
        self.pointer = (SIZE["width"] * 0.6, SIZE["height"] * 0.8)
        self.caption = ""

    def take(self, duration: int) -> None:
        """Add a picture that is shown for some milliseconds; what is as before only lasts longer."""
        picture = Image.open(BytesIO(self.page.screenshot())).convert("RGB")
        draw = ImageDraw.Draw(picture)
        x, y = self.pointer
        draw.polygon([(x + 1.3 * dx, y + 1.3 * dy) for dx, dy in POINTER], fill="black", outline="white", width=2)
        height = round(SIZE["height"] * WIDTH / SIZE["width"])
        frame = Image.new("RGB", (WIDTH, height + CAPTION), "#1d2330")
        frame.paste(picture.resize((WIDTH, height), Image.Resampling.LANCZOS), (0, CAPTION))
        font = ImageFont.load_default(size=19)
        ImageDraw.Draw(frame).text((14, CAPTION / 2), self.caption, fill="white", font=font, anchor="lm")
        if self.frames and frame.tobytes() == self.frames[-1].tobytes():
            self.durations[-1] += duration
        else:
            self.frames.append(frame)
            self.durations.append(duration)

    def move(self, x: float, y: float, steps: int = 7) -> None:
        """Move the pointer."""
        left, top = self.pointer
        for step in range(1, steps + 1):
            part = step / steps * (2 - step / steps)
            self.pointer = (left + (x - left) * part, top + (y - top) * part)
            self.page.mouse.move(*self.pointer)
            self.take(STEP)

    def click(self, selector: str) -> None:
        """Click on a control."""
        box = self.page.locator(selector).bounding_box()
        assert box is not None, selector
        self.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.click(*self.pointer)

    def on_image(self, x: float, y: float, button: str = "left") -> None:
        """Click on the image, at shares of its width and height."""
        seq = self.page.locator("#canvas").get_attribute("data-seq")
        width, height = self.page.evaluate("""async () => {
            const id = document.getElementById('canvas').dataset.image;
            const image = await (await fetch(`/api/images/${id}`)).json();
            return [image.width, image.height]; }""")
        box = self.page.locator("#canvas").bounding_box()
        assert box is not None
        scale = min((box["width"] - 56) / width, (box["height"] - 56) / height, 8)
        self.move(
            box["x"] + box["width"] / 2 + (x - 0.5) * width * scale,
            box["y"] + box["height"] / 2 + (y - 0.5) * height * scale,
        )
        self.page.mouse.click(*self.pointer, button="right" if button == "right" else "left")
        self.page.wait_for_selector(f'canvas:not([data-seq="{seq}"])')

    def type(self, text: str) -> None:
        """Type into the field that has the focus."""
        for letter in text:
            self.page.keyboard.type(letter)
            self.take(LETTER)


def record(page: Page, url: str) -> Recorder:
    """Annotate two sample images."""
    page.add_init_script("localStorage.setItem('saywhere-first-run', 'seen')")
    page.goto(f"{url}#image={CHELSEA}")
    page.wait_for_selector(f'canvas[data-image="{CHELSEA}"]')
    page.wait_for_timeout(1500)
    film = Recorder(page)
    film.caption = "Click on an object ..."
    film.take(700)
    film.on_image(0.5, 0.45)
    page.wait_for_timeout(300)
    film.take(900)
    film.caption = "... and where it is too much (right button)"
    film.on_image(0.95, 0.24, "right")
    page.wait_for_timeout(300)
    film.take(1300)
    film.caption = "N accepts it and opens the next image"
    film.take(700)
    page.keyboard.press("n")
    page.wait_for_selector(f'canvas[data-image="{COFFEE}"]')
    page.wait_for_timeout(1500)
    film.take(900)
    film.caption = "Say what it is: the map shows where the words apply"
    film.click("#phrase")
    film.type("spoon")
    page.wait_for_timeout(900)
    film.take(1400)
    page.keyboard.press("Enter")
    page.wait_for_selector('canvas:not([data-seq="0"])')
    page.wait_for_timeout(900)
    film.take(1600)
    page.keyboard.press("n")
    page.wait_for_selector(f'canvas[data-image="{COLLAGE}"]')
    page.wait_for_timeout(2500)
    film.caption = "All instances of a phrase at once ..."
    film.take(900)
    film.click("#phrase")
    film.type("cat")
    film.click("#all-instances")
    page.wait_for_selector("#instances:not([hidden])")
    page.wait_for_timeout(3500)
    film.take(2000)
    film.caption = "... to accept one, some or all of them"
    film.click("#instance-all")
    page.wait_for_selector("#instances", state="hidden")
    page.wait_for_timeout(900)
    film.take(2500)
    return film


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, annotator(Path(folder) / "images") as url, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        film = record(browser.new_page(viewport=SIZE, locale="en"), url)
        browser.close()
    path = Path("docs/images/annotate.webp")
    first, *others = film.frames
    first.save(path, save_all=True, append_images=others, duration=film.durations, loop=0, quality=70, method=4)
    print(f"{path}: {len(film.frames)} pictures, {sum(film.durations) / 1000:.1f} s, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
