"""A robot annotates photographs in the annotator's page with real clicks and keys, and its export is checked.

    python benchmarks/annotate_robot.py --data photos-7k:val --objects 60 --json runs/annotate-robot.json
    python benchmarks/annotate_robot.py --source runs/before/src     # the same with another checkout's server and page

For each object it presses its label's key (or the label in the list), clicks at the object's centre, and clicks again
in the largest wrong region until the mask's IoU is ``--iou``, at most ``--clicks`` times; after the last object of an
image it presses N. It presses O for a new object only with ``--new-object-key``. The folder holds further images that
are never opened.

Seconds are modelled with the keystroke-level model (Card, Moran and Newell 1980): a key takes 0.28 s, a click 1.1 s of
pointing and 0.2 s of the button, an object 1.35 s of thought, and so does each look at an answer; the time from a click
to its painted answer is measured and added.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from annotate_load import Server
from playwright.sync_api import Page, sync_playwright

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.metrics import iou
from saywhere.core.prompt import Click
from saywhere.core.rle import RunLengths
from saywhere.core.robot import first_click, next_click
from saywhere.data.datasets import load_dataset
from saywhere.data.datasets.parts import lies_inside_another
from saywhere.data.datasets.sample import Sample

KEY, POINT, BUTTON, THOUGHT = 0.28, 1.1, 0.2, 1.35
MARGIN, MAX_SCALE = 56, 8.0  # how the page shows a whole image
MATCH, DUPLICATE = 0.5, 0.8
UNOPENED = 5


@dataclass
class Result:
    """What became of one object."""

    image: str
    label: str
    clicks: int
    keys: int
    iou: float
    reached: bool
    seconds: float


@dataclass
class Comparison:
    """The exported file against the truth."""

    exported: int = 0
    right: int = 0
    wrong_labels: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    without_truth: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    images_without_objects: list[str] = field(default_factory=list)


def choose_objects(samples: list[Sample], count: int) -> tuple[dict[Path, list[Sample]], list[Path]]:
    """Labelled objects that lie in no other one, from images evenly spread over the dataset, two to four in each.

    Returns:
        The objects by image, ``count`` in all, and further images.
    """
    by_image: dict[Path, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.label:
            by_image[sample.image_path].append(sample)
    several = {}
    for path, objects in by_image.items():
        inside = lies_inside_another([one.region() for one in objects])
        kept = [one for one, is_part in zip(objects, inside, strict=True) if not is_part][:4]
        if len(kept) >= 2:
            several[path] = kept
    order = list(several)
    order = [order[i] for i in np.linspace(0, len(order) - 1, len(order)).astype(int)[:: max(len(order) // count, 1)]]
    chosen: dict[Path, list[Sample]] = {}
    left = count
    for path in order:
        if left <= 0:
            break
        chosen[path] = several[path][:left]
        left -= len(chosen[path])
    return chosen, [path for path in by_image if path not in chosen][:UNOPENED]


class Project:
    """What a server has stored."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"X-Saywhere-Client": "annotate-robot"}, timeout=120)

    def state(self, image: int) -> tuple[dict[str, Any], dict[int, BoolArray]]:
        """An image's state, and the masks of its objects."""
        answer = self.http.get(f"/api/images/{image}").raise_for_status().json()
        state, masks = answer["state"], {}
        for one in state["objects"]:
            if one["mask"] is not None:
                coded = state["masks"][str(one["mask"])]
                size = ImageSize(*coded["size"])
                masks[one["id"]] = RunLengths.from_counts(coded["counts"], size).mask()
        return state, masks


class Robot:
    """Clicks and presses keys in the page."""

    def __init__(self, page: Page, project: Project, options: argparse.Namespace, labels: list[str]) -> None:
        self.page, self.project, self.options, self.labels = page, project, options, labels

    def annotate(self, number: int, objects: list[Sample]) -> list[Result]:
        """All objects of the image that is open; then the next image."""
        self.page.wait_for_selector(f'canvas[data-image="{number}"]')
        self.page.wait_for_selector("canvas[data-seq]:not([data-seq=''])")
        results = [self._object(number, one, is_first=index == 0) for index, one in enumerate(objects)]
        self.page.keyboard.press("n")
        self.page.wait_for_selector(f'canvas:not([data-image="{number}"])')
        return results

    def _object(self, number: int, sample: Sample, is_first: bool) -> Result:
        target = sample.target()
        seconds, keys, clicks = THOUGHT, 0, 0
        if self.options.new_object_key and not is_first:
            self.page.keyboard.press("o")
            seconds, keys = seconds + KEY, keys + 1
        seconds += self._choose_label(str(sample.label))
        keys += 1
        before = self.project.state(number)[1]
        mask, click = np.zeros_like(target), first_click(target)
        reached = 0.0
        while click is not None and clicks < self.options.clicks:
            seconds += POINT + BUTTON + THOUGHT + self._click(click, target.shape)
            clicks += 1
            masks = self.project.state(number)[1]
            changed = [one for key, one in masks.items() if key not in before or not np.array_equal(one, before[key])]
            mask = max(changed, key=lambda one: iou(one, target), default=mask)
            reached = iou(mask, target)
            if reached >= self.options.iou:
                break
            click = next_click(target, mask)
        return Result(
            sample.image_path.name, str(sample.label), clicks, keys, reached, reached >= self.options.iou, seconds
        )

    def _choose_label(self, label: str) -> float:
        """Choose a label by its key, or in the list where it has none; returns modelled seconds."""
        position = self.labels.index(label)
        if position < 10:
            self.page.keyboard.press(str((position + 1) % 10))
            seconds = KEY
        else:
            self.page.locator("#labels").get_by_text(label, exact=True).first.click()
            seconds = POINT + BUTTON
        self.page.wait_for_timeout(150)
        return seconds

    def _click(self, click: Click, shape: tuple[int, ...]) -> float:
        """Click on the canvas; returns the seconds until the answer is painted."""
        canvas = self.page.locator("#canvas")
        box = canvas.bounding_box()
        assert box is not None
        height, width = shape
        scale = min((box["width"] - MARGIN) / width, (box["height"] - MARGIN) / height, MAX_SCALE)
        x = box["x"] + (box["width"] - width * scale) / 2 + (click.x + 0.5) * scale
        y = box["y"] + (box["height"] - height * scale) / 2 + (click.y + 0.5) * scale
        seq = canvas.get_attribute("data-seq")
        started = time.perf_counter()
        self.page.mouse.click(x, y, button="left" if click.positive else "right")
        try:
            self.page.wait_for_selector(f"canvas[data-seq]:not([data-seq='{seq}']):not([data-seq=''])", timeout=5000)
        except Exception:  # a click that selects another object changes nothing that is stored
            return 0.0
        return time.perf_counter() - started


def compare(exported: dict[str, Any], objects: dict[str, list[Sample]]) -> Comparison:
    """Exported COCO against the truth of the objects that were annotated, by file name."""
    names = {one["id"]: one["name"] for one in exported["categories"]}
    result, by_image = Comparison(exported=len(exported["annotations"])), defaultdict(list)
    for one in exported["annotations"]:
        by_image[one["image_id"]].append(one)
    for image in exported["images"]:
        name, found = Path(image["file_name"]).name, by_image[image["id"]]
        if not found:
            result.images_without_objects.append(name)
        size = ImageSize(image["height"], image["width"])
        masks = [RunLengths.from_counts(one["segmentation"]["counts"], size).mask() for one in found]
        for i, first in enumerate(masks):
            result.duplicates += [name for second in masks[:i] if iou(first, second) > DUPLICATE]
        truth = {index: one.target() for index, one in enumerate(objects.get(name, []))}
        for one, mask in zip(found, masks, strict=True):
            best = max(truth, key=lambda index: iou(mask, truth[index]), default=None)
            text = f"{name}: {names[one['category_id']]}"
            if best is None or iou(mask, truth[best]) < MATCH:
                result.without_truth.append(text)
                continue
            truth.pop(best)
            label = str(objects[name][best].label)
            if names[one["category_id"]] == label:
                result.right += 1
            else:
                result.wrong_labels.append(f"{text} instead of {label}")
        result.missing += [f"{name}: {objects[name][index].label}" for index in truth]
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="photos-7k:val")
    parser.add_argument("--objects", type=int, default=60)
    parser.add_argument("--clicks", type=int, default=6, help="for an object, at most")
    parser.add_argument("--iou", type=float, default=0.85)
    parser.add_argument("--new-object-key", action="store_true", help="press O before every further object")
    parser.add_argument(
        "--source", type=Path, help="the src folder of another checkout, whose server and page are used"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chosen, unopened = choose_objects(load_dataset(options.data), options.objects)
    labels = list(dict.fromkeys(str(one.label) for objects in chosen.values() for one in objects))
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as place, sync_playwright() as play:
        folder, by_name = Path(place) / "images", {}
        folder.mkdir()
        for index, path in enumerate([*chosen, *unopened]):
            name = f"{index:03}{path.suffix}"
            shutil.copy(path, folder / name)
            by_name[name] = chosen.get(path, [])
        server = Server(folder, [word for label in labels for word in ("--label", label)], options.source)
        project = Project(server.url)
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_page(viewport={"width": 1360, "height": 850}, locale="en-GB")
            page.goto(server.url)
            robot = Robot(page, project, options, labels)
            for number, objects in enumerate(chosen.values(), start=1):
                results += robot.annotate(number, objects)
            exported = project.http.get("/api/export?format=coco").raise_for_status().json()
        finally:
            browser.close()
            project.http.close()
            server.stop()
    comparison = compare(exported, by_name)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        rows = {"objects": [asdict(one) for one in results], "export": asdict(comparison)}
        options.json.write_text(json.dumps(rows, indent=1))
    report(results, comparison, options.iou)
    return 0


def report(results: list[Result], comparison: Comparison, threshold: float) -> None:
    interactions = [one.clicks + one.keys for one in results]
    print(f"{len(results)} objects in {len({one.image for one in results})} images")
    print(
        f"IoU >= {threshold}: {sum(one.reached for one in results)}; "
        f"mean IoU {np.mean([one.iou for one in results]):.3f}"
    )
    print(
        f"interactions an object: {np.mean(interactions):.2f} ({np.mean([one.clicks for one in results]):.2f} clicks)"
    )
    print(f"modelled seconds an object: {np.mean([one.seconds for one in results]):.1f}")
    print(f"exported objects: {comparison.exported}, right {comparison.right}")
    for name in ("wrong_labels", "duplicates", "without_truth", "missing", "images_without_objects"):
        found = getattr(comparison, name)
        print(f"{name.replace('_', ' ')}: {len(found)}  {'; '.join(found[:5])}")


if __name__ == "__main__":
    sys.exit(main())
