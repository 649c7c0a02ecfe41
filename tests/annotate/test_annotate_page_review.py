"""Review in the page: approving, rejecting, comments, sorting, filters, assignments; two people, real events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from annotator import Server, act, click, make_folder, picture
from axe import layout_faults, violations
from page import Page, expect, needs_chromium, sync_api
from PIL import Image

pytestmark = needs_chromium
FIRST, DONE = 4, (4, 5, 6)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = make_folder(tmp_path / "photos")
    for letter in "defg":
        Image.fromarray(picture([(180, 200, 60), (460, 280, 50)])).save(folder / f"{letter}.png")
    made = Server(folder, "--label", "ball", "--label", "cup")
    with made.client("page-of-ben") as ben:
        ben.headers["X-Saywhere-Person"] = "Ben"
        for image in DONE:
            act(ben, image, click(180, 200, label=1)).raise_for_status()
            act(ben, image, {"kind": "mark", "value": "done"}).raise_for_status()
            ben.delete(f"/api/images/{image}/lock")
    yield made
    made.stop()


def as_person(page: Page, name: str) -> None:
    page.page.locator("#person").fill(name)
    page.page.locator("#person").blur()
    page.page.locator("#canvas").focus()


def listed(page: Page, *expected: str) -> None:
    """Wait until the list shows these images, in any order of the page's elements."""
    page.page.wait_for_function(
        "names => JSON.stringify([...document.querySelectorAll('#list .row')].sort((a, b) => "
        "a.ariaPosInSet - b.ariaPosInSet).map((row) => row.querySelector('b').textContent)) === JSON.stringify(names)",
        arg=list(expected),
    )


def test_a_lone_annotator_sees_no_review(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, FIRST)
    for part in ("#review-text", "#list-sort", "#review-note"):
        expect(page.page.locator(part)).to_be_hidden()
    expect(page.page.locator("#list .row span")).to_have_count(7)
    expect(page.page.locator("#list")).not_to_contain_text("review")
    page.page.locator("#export").click()
    expect(page.page.locator("#export-preview")).to_contain_text("3 images")
    expect(page.page.locator("#export-approved")).to_be_hidden()
    page.close()


def test_approving_and_rejecting_by_keys(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 4)
    as_person(page, "Anna")
    page.page.keyboard.press("F8")
    page.shown(5)
    page.page.keyboard.press("F9")
    expect(page.page.locator("#review-text")).to_be_focused()
    page.page.keyboard.type("the second ball is missing")
    page.page.locator("#review-reject").click()
    page.shown(6)
    assert [page.state(image)["review"] for image in DONE] == ["approved", "rejected", "to-review"]
    expect(page.page.locator(".row[data-id='4']")).to_have_attribute("data-review", "approved")
    page.page.keyboard.press("z")
    page.shown(5)
    page.toast("rejection")
    assert page.state(5)["review"] == "to-review"
    page.page.keyboard.press("y")
    page.page.wait_for_selector("#review-note >> text=Rejected by Anna: the second ball is missing")
    page.page.reload()
    page.shown(5)
    page.page.wait_for_selector("#review-note >> text=Rejected by Anna")
    as_person(page, "Ben")
    page.page.keyboard.press("z")
    page.toast("only Anna takes back")
    page.page.keyboard.press("n")
    page.page.wait_for_selector(".row[data-id='5'][data-state=done]")
    assert page.state(5)["review"] == "to-review"
    page.close()


def test_a_change_withdraws_the_approval_and_says_so(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 6)
    as_person(page, "Anna")
    page.page.keyboard.press("F8")
    page.shown(4)
    page.page.keyboard.press("z")
    page.shown(6)
    page.page.keyboard.press("y")
    page.page.wait_for_selector(".row[data-id='6'][data-review=approved]")
    as_person(page, "Ben")
    page.click(460, 280)
    page.toast("The approval by Anna is withdrawn")
    page.page.wait_for_selector("#review-note >> text=Ben changed the annotation")
    page.page.keyboard.press("z")
    expect(page.page.locator("#review-note")).to_be_hidden()
    assert page.state(6)["review"] == "approved"
    page.close()


def test_comments_on_an_image_and_an_object(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 4)
    as_person(page, "Anna")
    page.page.locator("#review summary").click()
    page.page.locator("#review-text").fill("dark image")
    page.page.locator("#review-add").click()
    page.page.wait_for_selector("#review-log >> text=dark image")
    page.page.locator("#objects .object").click()
    page.page.locator("#review-object").check()
    page.page.locator("#review-text").fill("is this a ball?")
    page.page.locator("#review-text").press("Control+Enter")
    page.page.wait_for_selector("#review-log >> text=is this a ball?")
    comments = page.state(4)["comments"]
    assert [(one["text"], one["object"], one["person"]) for one in comments] == [
        ("dark image", None, "Anna"), ("is this a ball?", 1, "Anna"),
    ]  # fmt: skip
    page.page.wait_for_selector(".row[data-id='4'] >> text=2 comments")
    page.page.locator("#review-log button", has_text="Settle").first.click()
    page.page.wait_for_selector("#review-log .resolved >> text=dark image")
    page.page.wait_for_selector(".row[data-id='4'] >> text=1 comment")
    assert violations(page) == []
    page.close()


def test_the_list_is_sorted_and_filtered(browser: sync_api.Browser, server: Server) -> None:
    anna = server.client("page-of-anna")
    anna.headers["X-Saywhere-Person"] = "Anna"
    ring = [(400, 20), (440, 20), (440, 40), (400, 40)]
    for image, action in (
        (6, {"kind": "lasso", "object": 1, "paint": True, "points": ring}),
        (5, click(460, 280, label=2)),
        (4, {"kind": "review", "verdict": "approved"}),
    ):
        act(anna, image, action).raise_for_status()
        anna.delete(f"/api/images/{image}/lock")
    page = Page(browser, server, 1)
    page.page.locator("#list-more summary").click()
    page.page.locator("#list-sort").select_option("disagreement")
    page.page.locator("#filter [data-filter=done]").click()
    listed(page, "f.png", "d.png", "e.png")
    page.page.locator("#list-sort").select_option("objects")
    listed(page, "e.png", "d.png", "f.png")
    page.page.locator("#list-sort").select_option("changed")
    listed(page, "d.png", "e.png", "f.png")
    page.page.locator("#canvas").focus()
    page.page.keyboard.press("d")
    page.shown(4)
    page.page.keyboard.press("d")
    page.shown(5)
    page.page.locator("#list-since").select_option("looked")
    listed(page, "f.png")
    page.page.locator("#list-since").select_option("date")
    page.page.locator("#list-date").fill("2999-01-01")
    page.page.locator("#list-date").dispatch_event("change")
    listed(page)
    page.page.locator("#list-since").select_option("")
    page.page.locator("#list-label").select_option(label="cup")
    listed(page, "e.png")
    page.page.locator("#list-label").select_option("")
    page.page.locator("#list-review").select_option("approved")
    listed(page, "d.png")
    page.page.locator("#list-review").select_option("to-review")
    page.page.locator("#list-sort").select_option("iou")
    scores = {image: page.state(image)["objects"] for image in (5, 6)}
    lowest = {image: min(one["score"] for one in objects) for image, objects in scores.items()}
    listed(page, *(("e.png", "f.png") if lowest[5] <= lowest[6] else ("f.png", "e.png")))
    expect(page.page.locator("#list-narrowed")).to_have_text("(1)")
    page.close()


def test_images_are_assigned_evenly(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    as_person(page, "Anna")
    page.page.locator("#list-more summary").click()
    page.page.locator("#assign").click()
    page.page.locator("#assign-count").fill("5")
    page.page.locator("#assign-names").fill("Anna\nBen")
    page.page.locator("#assign-form .primary").click()
    page.page.wait_for_selector("#offer >> text=5 images are assigned to Anna, Ben")
    page.page.locator("#list-assigned").select_option("mine")
    listed(page, "a-one.png", "b-two.png", "c-none.png")
    page.page.locator("#list-assigned").select_option("nobody")
    listed(page, "f.png", "g.png")
    page.page.locator("#list-assigned").select_option(label="Ben")
    listed(page, "d.png", "e.png")
    page.page.locator("#list .row").first.click()
    page.shown(4)
    page.page.wait_for_selector("#review-note >> text=assigned to Ben")
    page.click(460, 280)
    page.seq(3)
    page.page.keyboard.press("z")
    page.seq(4)
    page.page.keyboard.press("z")
    page.toast("assignment is undone")
    page.page.locator("#list-assigned").select_option("")
    expect(page.page.locator("#review-note")).to_be_hidden()
    page.close()


def test_only_approved_images_are_exported(browser: sync_api.Browser, server: Server, tmp_path: Path) -> None:
    page = Page(browser, server, 4)
    as_person(page, "Anna")
    page.page.keyboard.press("F8")
    page.shown(5)
    page.page.locator("#export").click()
    page.page.locator("#export-approved").check()
    page.page.wait_for_selector("#export-preview >> text=2 images done and not approved")
    with page.page.expect_download() as download:
        page.page.locator("#exporting [data-format=coco]").click()
    download.value.save_as(tmp_path / "a.json")
    assert '"d.png"' in (tmp_path / "a.json").read_text()
    assert '"e.png"' not in (tmp_path / "a.json").read_text()
    page.page.wait_for_selector("#export-result >> text=not approved")
    page.close()


def test_nothing_overlaps_and_axe_finds_nothing(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 4, color_scheme="light", reduced_motion="reduce", locale="de")
    as_person(page, "Anna-Katharina mit einem recht langen Namen")
    page.page.locator("#review summary").click()
    page.page.locator("#list-more summary").click()
    page.page.locator("#review-text").fill("ein langer Kommentar, der umbrochen werden muss, und noch ein Satz dazu.")
    page.page.locator("#review-reject").click()
    page.shown(5)
    page.page.keyboard.press("a")
    page.shown(4)
    page.page.wait_for_selector("#review-note:visible")
    faults = {}
    for width in (320, 390, 560, 768, 1000, 1180, 1400, 1920):
        page.page.set_viewport_size({"width": width, "height": 800})
        found = layout_faults(page)
        for drawer in ("images", "side"):
            toggle = page.page.locator(f"#toggle-{drawer}")
            if toggle.is_visible():
                toggle.click()
                found += layout_faults(page) + (violations(page) if width == 390 else [])
                page.page.keyboard.press("Escape")
        page.page.evaluate("document.getElementById('assigning').showModal()")
        found += layout_faults(page) + (violations(page) if width == 390 else [])
        page.page.keyboard.press("Escape")
        if width == 1180:
            page.page.emulate_media(color_scheme="dark")
            expect(page.page.locator("html")).to_have_attribute("data-theme", "dark")
            found += violations(page)
        if found:
            faults[width] = found
    assert faults == {}
    page.close()
