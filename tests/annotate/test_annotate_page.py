"""The annotator's page in a real browser, against a real server in its own process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from annotator import Server, make_folder, picture
from page import PATIENCE, Page, expect, needs_chromium, sync_api
from PIL import Image
from pycocotools import mask as mask_codec
from served import free_port

from saywhere.annotate.sample_images import write_samples

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_folder(tmp_path_factory.mktemp("page") / "photos")
    for letter in "defgh":
        Image.fromarray(picture([(200, 150, 50), (450, 300, 70)])).save(folder / f"{letter}.png")
    made = Server(folder, "--label", "ball", "--label", "thing")
    yield made
    made.stop()


def test_click_drag_undo_redo_delete(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    before = page.pixel(280, 190)
    page.click(300, 200)
    page.seq(1)
    assert page.pixel(280, 190) != before, "the mask is painted"
    assert page.pixel(100, 400) == pytest.approx((20, 40, 160), abs=6), "and nothing else is"
    page.click(330, 200, "right")
    page.seq(2)
    page.drag((280, 190), (280, 220))
    page.seq(3)
    (found,) = page.state(1)["objects"]
    assert [c["positive"] for c in found["clicks"]] == [True, False, True]
    assert found["clicks"][0]["x"] == pytest.approx(300, abs=1)
    assert found["clicks"][2]["radius"] == pytest.approx(30, abs=1.5)
    page.page.keyboard.press("z")
    page.seq(4)
    page.page.keyboard.press("Control+z")
    page.seq(5)
    page.page.keyboard.press("Delete")
    page.seq(6)
    assert page.state(1)["objects"] == []
    page.page.locator("#undo").click()
    page.seq(7)
    page.page.keyboard.press("Control+y")
    page.seq(8)
    expect(page.page.locator("#redo")).to_be_disabled()
    page.close()


def test_phrase_with_its_map(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 4)
    page.page.keyboard.press("Escape")
    before = page.pixel(100, 400)
    page.page.keyboard.press("/")
    page.page.keyboard.type("ball")
    page.page.wait_for_selector("#hint >> text=where it applies")
    # Warm where it applies, clear where it does not.
    page.until(lambda: page.pixel(450, 300) != page.pixel(100, 400) == before)
    page.page.keyboard.press("Enter")
    page.seq(1)
    assert page.state(4)["objects"][0]["phrase"] == "ball"
    page.page.keyboard.press("/")
    page.page.keyboard.type("qqxzv")
    page.page.wait_for_selector("#hint.bad")
    page.page.keyboard.press("Escape")
    page.page.locator("#current-phrase button").click()
    page.seq(2)
    assert page.state(4)["objects"][0]["phrase"] is None
    page.close()


def test_proposals_labels_accept_and_next(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 2)
    page.page.wait_for_selector("canvas[data-proposal]")
    page.page.keyboard.press("Space")
    page.seq(1)
    page.page.keyboard.press("o")
    page.page.wait_for_selector("canvas[data-proposal]")
    page.page.keyboard.press("Space")
    page.seq(2)
    page.page.keyboard.press("F2")
    page.page.keyboard.press("2")
    page.seq(3)
    labels = {row["name"]: row["id"] for row in server.client().get("/api/project").json()["labels"]}
    found = page.state(2)["objects"]
    assert [o["label"] for o in found] == [labels["ball"], labels["thing"]]
    assert abs(found[0]["clicks"][0]["x"] - found[1]["clicks"][0]["x"]) > 100
    page.page.keyboard.press("n")
    page.shown(3)
    assert page.state(2)["state"] == "done"
    page.page.keyboard.press("a")
    page.shown(2)
    page.page.keyboard.press("z")
    page.seq(5)
    assert page.state(2)["state"] == "started"
    page.close()


def test_brush_eraser_and_threshold(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 3)
    page.page.keyboard.press("b")
    page.drag((100, 100), (300, 100), (300, 250))
    page.seq(1)
    painted = page.state(3)["objects"][0]["area"]
    page.page.keyboard.press("e")
    page.drag((200, 60), (200, 140))
    page.seq(2)
    assert 0 < page.state(3)["objects"][0]["area"] < painted
    page.page.keyboard.press("v")
    page.click(120, 100)
    page.seq(3)
    page.page.locator("#threshold").focus()
    page.page.keyboard.press("ArrowRight")
    page.seq(4)
    assert page.state(3)["objects"][0]["threshold"] == pytest.approx(0.51)
    page.close()


def test_side_panel_and_list(browser: sync_api.Browser, tmp_path: Path) -> None:
    server = Server(make_folder(tmp_path / "images"))
    page = Page(browser, server, 1)
    page.page.locator("#label-name").fill("cup")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#labels >> text=cup")
    page.click(300, 200)
    page.seq(1)
    painted = page.pixel(280, 190)
    page.page.keyboard.press("l")
    page.page.keyboard.press("h")
    page.until(lambda: page.pixel(280, 190) != painted)
    page.page.keyboard.press("h")
    page.until(lambda: page.pixel(280, 190) == painted)
    page.page.locator("#accept").click()
    page.shown(2)
    page.page.locator("#skip").click()
    page.shown(3)
    assert [page.state(image)["state"] for image in (1, 2, 3)] == ["done", "skipped", "new"]
    page.page.locator("#filter [data-filter=todo]").click()
    expect(page.page.locator(".row b")).to_have_text(["c-none.png"])
    page.page.locator("#filter [data-filter=all]").click()
    page.page.locator("#search").fill("two")
    expect(page.page.locator(".row b")).to_have_text(["b-two.png"])
    page.close()
    server.stop()


def test_by_keyboard_alone(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 5)
    for key in ("c", "ArrowLeft", "Shift+ArrowUp", "Enter"):
        page.page.keyboard.press(key)
    page.seq(1)
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("x")
    page.seq(2)
    first, second = page.state(5)["objects"][0]["clicks"]
    assert (first["positive"], second["positive"]) == (True, False)
    assert first["x"] < second["x"]
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("?")
    expect(page.page.locator("#help")).to_be_visible()
    page.page.keyboard.press("Escape")
    expect(page.page.locator("#help")).to_be_hidden()
    page.page.keyboard.press("d")
    page.shown(6)
    page.page.keyboard.press("s")
    page.page.keyboard.press("s")
    page.shown(7)
    assert page.state(6)["state"] == "skipped"
    page.close()


def test_fingers(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 7, has_touch=True)
    page.page.touchscreen.tap(*page.at(200, 150))
    page.seq(1)
    session = page.context.new_cdp_session(page.page)
    (ax, ay), (bx, by) = page.at(250, 240), page.at(390, 240)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    zoom = page.page.locator("#zoom").inner_text()
    touch("touchStart", (ax, ay))
    touch("touchStart", (ax, ay), (bx, by))
    touch("touchMove", (ax - 60, ay), (bx + 60, by))
    touch("touchEnd")
    expect(page.page.locator("#zoom")).not_to_have_text(zoom)
    assert page.state(7)["seq"] == 1, "a pinch is no click"
    page.close()


def test_two_browsers_on_one_image(browser: sync_api.Browser, server: Server) -> None:
    anna = Page(browser, server, 8)
    anna.page.locator("#person").fill("Anna")
    anna.page.keyboard.press("Tab")
    anna.click(200, 150)
    anna.seq(1)
    ben = Page(browser, server, 8)
    ben.page.wait_for_selector("#banner >> text=Anna is editing this image")
    ben.click(450, 300)
    assert ben.state(8)["seq"] == 1, "a page without the lock changes nothing"
    ben.page.locator("#banner button").click()
    ben.page.wait_for_selector("#banner", state="hidden")
    ben.click(450, 300)
    ben.seq(2)
    anna.click(100, 100)
    anna.page.wait_for_selector("#banner >> text=somebody is editing this image")
    anna.seq(2)
    assert anna.state(8)["seq"] == 2
    anna.close()
    ben.close()


def test_large_masks_are_drawn_from_a_part_of_their_pixels(browser: sync_api.Browser, server: Server) -> None:
    """What the page decodes at a step is every step-th pixel of the mask; its outline closes around what is inside."""
    rng = np.random.default_rng(0)
    inside = cv2.blur(rng.random((61, 83)), (9, 9)) > 0.5
    inside[:, 40:43] = True
    packed = mask_codec.encode(np.asfortranarray(inside.astype(np.uint8)))
    mask = {"size": list(inside.shape), "counts": packed["counts"].decode()}
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    part = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    for step in (1, 2, 5):
        region = page.evaluate(
            """async ([mask, step]) => {
                const { decodeMask, outline } = await import('/static/mask.js');
                const region = decodeMask(mask, step), path = outline(region);
                const context = new OffscreenCanvas(1, 1).getContext('2d'), filled = [];
                for (let y = 0; y < region.height; y++) for (let x = 0; x < region.width; x++) {
                    const at = [region.left + (x + 0.5) * step, region.top + (y + 0.5) * step];
                    filled.push(context.isPointInPath(path, ...at, 'evenodd') ? 1 : 0);
                }
                return { ...region, inside: Array.from(region.inside), filled };
            }""",
            [mask, step],
        )
        expected = part[::step, ::step].astype(int)
        assert (region["left"], region["top"]) == (columns[0], rows[0])
        assert (region["height"], region["width"]) == expected.shape
        assert region["inside"] == expected.ravel().tolist()
        assert region["filled"] == expected.ravel().tolist()
    page.close()


def test_statistics_and_export(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    with page.page.expect_download() as download:
        page.page.locator("#export").click()
        page.page.locator("#exporting [data-format=coco]").click()
    assert download.value.suggested_filename == "annotations-v1.json"
    assert '"annotations"' in Path(download.value.path()).read_text()
    page.page.goto(f"{server.url}stats")
    page.page.wait_for_selector("html[data-ready]")
    expect(page.page.locator(".plot")).to_have_count(6)
    page.close()


def test_cutouts_are_downloaded(browser: sync_api.Browser, tmp_path: Path) -> None:
    server = Server(make_folder(tmp_path / "images"))
    page = Page(browser, server, 2)
    page.page.locator("#export").click()
    expect(page.page.locator("#no-cutout")).to_be_visible()
    expect(page.page.locator("#cutout")).to_be_hidden()
    page.page.locator("#export-close").click()
    page.click(180, 200)
    page.seq(1)
    page.page.keyboard.press("o")
    page.click(460, 280)
    page.seq(2)
    page.page.locator("#export").click()

    def download(link: str) -> tuple[str, np.ndarray]:
        with page.page.expect_download() as started:
            page.page.locator(link).click()
        return started.value.suggested_filename, np.asarray(Image.open(started.value.path()))

    name, cut = download("#cutout")
    assert name == "b-two-cutout.png"
    assert (cut[280, 460].tolist(), cut[200, 180, 3], cut[20, 20, 3]) == ([220, 30, 20, 255], 0, 0), "the selected one"
    page.page.locator("#cutout-of").select_option("all")
    cut = download("#cutout")[1]
    assert (cut[280, 460, 3], cut[200, 180, 3], cut[20, 20, 3]) == (255, 255, 0)
    page.page.locator("#blur-radius").fill("25")
    name, blurred = download("#blurred")
    assert name == "b-two-blurred.png"
    original = picture([(180, 200, 60), (460, 280, 50)])
    assert blurred.shape == original.shape
    assert np.abs(blurred.astype(int) - original)[(cut[:, :, 3] == 0) | (cut[:, :, 3] == 255)].max() <= 1, "no halo"
    for radius in ("", "0", "9999"):
        page.page.locator("#blur-radius").fill(radius)
        expect(page.page.locator("#blurred:not([href])")).to_be_visible()
    page.close()
    server.stop()


def test_it_continues_where_it_was(browser: sync_api.Browser, tmp_path: Path) -> None:
    """Closing the tab, and killing the server with a click on its way: no step is lost."""
    folder = make_folder(tmp_path / "photos")
    port = str(free_port())
    server = Server(folder, "--port", port)
    page = Page(browser, server)
    page.shown(1)
    page.page.keyboard.press("d")
    page.shown(2)
    page.click(180, 200)
    page.seq(1)
    page.page.close()
    page.page = page.context.new_page()
    page.page.goto(server.url)
    page.shown(2)
    page.seq(1)
    expect(page.page.locator("#banner")).to_be_hidden()  # the lock of the closed tab is released
    server.kill()
    page.click(150, 200, "right")
    page.page.wait_for_selector("#banner >> text=kept here")
    page.server = server = Server(folder, "--port", port)
    page.seq(2)
    (found,) = page.state(2)["objects"]
    assert [c["positive"] for c in found["clicks"]] == [True, False]
    page.close()
    server.stop()


def test_real_images_and_the_pictures_of_the_documents(browser: sync_api.Browser, tmp_path: Path) -> None:
    """The shipped weights on the sample images. ``make pictures`` writes screenshots to docs/images."""
    out = os.environ.get("SAYWHERE_PICTURES")
    folder = tmp_path / "images"
    write_samples(folder)
    server = Server(folder, "--label", "cat", "--label", "cup", "--label", "person", "--label", "rocket", model=None)
    page = Page(browser, server, 2)

    def screenshot(name: str) -> None:
        if out:
            page.page.wait_for_timeout(400)  # until nothing moves
            page.page.screenshot(path=f"{out}/{name}", **({"type": "jpeg", "quality": 84} if "jpg" in name else {}))

    page.page.locator("#first-run-close").click()
    page.page.keyboard.press("1")
    page.size = (451, 300)
    page.page.wait_for_selector("#canvas[data-proposal]")
    screenshot("annotate-proposal.jpg")
    page.click(230, 140)
    page.seq(1)
    page.click(428, 70, "right")
    page.seq(2)
    (cat,) = page.state(2)["objects"]
    assert 0.45 < cat["area"] / (451 * 300) < 0.9
    screenshot("annotate-mask.jpg")
    page.page.keyboard.press("n")
    page.shown(3)
    page.size = (600, 400)
    page.page.keyboard.press("2")
    page.page.keyboard.press("/")
    page.page.keyboard.type("cup")
    page.page.wait_for_selector("#hint >> text=where it applies")
    screenshot("annotate-phrase.jpg")
    page.page.keyboard.press("Enter")
    page.seq(1)
    page.page.keyboard.press("n")
    page.shown(4)
    page.page.keyboard.press("a")
    page.shown(3)
    page.page.keyboard.press("a")
    page.shown(2)
    page.page.keyboard.press("a")
    page.shown(1)
    page.size = (512, 512)
    page.page.locator("#theme").click()
    page.page.keyboard.press("3")
    page.click(220, 330)
    page.seq(1)
    page.page.keyboard.press("o")
    page.page.keyboard.press("4")
    page.drag((412, 120), (412, 160))
    page.seq(2)
    page.page.keyboard.press("b")
    page.drag((395, 215), (440, 215))
    page.seq(3)
    assert [o["label"] is not None for o in page.state(1)["objects"]] == [True, True]
    screenshot("annotate-dark.jpg")
    page.page.goto(f"{server.url}stats")
    page.page.wait_for_selector("html[data-ready]")
    screenshot("annotate-stats.png")
    page.close()
    server.stop()
