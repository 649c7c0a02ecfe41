"""Attributes in the page: defined with the label, said of the selected object; by keyboard, mouse and finger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from annotator import Server, make_folder, picture
from axe import layout_faults, violations
from page import Page, expect, needs_chromium, sync_api
from PIL import Image

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_folder(tmp_path_factory.mktemp("attributes") / "photos")
    for letter in "defg":
        Image.fromarray(picture([(180, 200, 60), (460, 280, 50)])).save(folder / f"{letter}.png")
    made = Server(folder, "--label", "ball")
    made.client().post("/api/labels", json={"name": "cup", "attributes": ATTRIBUTES}).raise_for_status()
    yield made
    made.stop()


ATTRIBUTES: list[dict[str, Any]] = [
    {"name": "colour", "kind": "choice", "values": ["red", "green"], "default": "red"},
    {"name": "wet", "kind": "flag"},
    {"name": "age in years, as far as it can be seen", "kind": "number"},
    {"name": "note", "kind": "text"},
]


def label(server: Server, name: str) -> dict[str, Any]:
    return next(each for each in server.client().get("/api/project").json()["labels"] if each["name"] == name)


def values(page: Page, image: int) -> dict[str, Any]:
    return page.state(image)["objects"][0]["attributes"]


def select_a_cup(page: Page) -> None:
    page.page.keyboard.press("2")
    page.click(180, 200)
    page.seq(1)


def test_are_defined_with_the_keyboard(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 2)
    keyboard = page.page.keyboard
    page.page.locator(".label", has_text="ball").focus()
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    page.page.locator("#label-attributes summary").focus()
    keyboard.press("Enter")
    keyboard.press("Tab")
    keyboard.press("Enter")  # "Add an attribute"; the focus goes to its name
    keyboard.type("material")
    keyboard.press("Tab")
    keyboard.type("ch")  # a choice
    keyboard.press("Tab")
    keyboard.type("wood")
    keyboard.press("Enter")
    keyboard.type("glass")
    keyboard.press("Tab")
    keyboard.type("g")
    keyboard.press("Shift+Tab")
    keyboard.press("Shift+Tab")
    keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    expect(page.page.locator("#label-edit")).to_be_hidden()
    assert label(server, "ball")["attributes"] == [
        {"name": "material", "kind": "choice", "values": ["wood", "glass"], "default": "glass"}
    ]
    page.page.locator("#offer button").click()
    page.toast("undone")
    assert label(server, "ball")["attributes"] == []
    page.close()


def test_what_is_refused_stays_in_the_dialog(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 2)
    row = page.page.locator(".label", has_text="ball")
    row.hover()
    row.locator("button").click()
    page.page.locator("#label-attributes summary").click()
    for name in ("wet", "Wet"):
        page.page.locator("#attribute-add").click()
        page.page.keyboard.type(name)
    page.page.locator("#label-form .primary").click()
    page.page.wait_for_selector("#label-error >> text=two have this name")
    assert violations(page) == []
    page.page.get_by_role("button", name="Remove New attribute").nth(1).click()
    page.page.locator("#label-form .primary").click()
    page.page.wait_for_selector("#label-edit", state="hidden")
    assert [each["name"] for each in label(server, "ball")["attributes"]] == ["wet"]
    page.page.locator("#canvas").focus()
    page.page.keyboard.press("z")
    page.toast("undone")
    page.close()


def test_values_are_said_and_undone(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 4)
    expect(page.page.locator("#attributes")).to_be_hidden()
    select_a_cup(page)
    keyboard = page.page.keyboard
    keyboard.press(";")
    expect(page.page.locator("#attributes select").first).to_be_focused()
    assert page.page.evaluate("document.activeElement.selectedOptions[0].text") == "default: red"
    keyboard.type("g")
    page.seq(2)
    keyboard.press("Tab")
    keyboard.type("y")
    page.seq(3)
    keyboard.press("Tab")
    keyboard.type("12")
    keyboard.press("Tab")
    page.seq(4)
    keyboard.type("chipped rim")
    keyboard.press("Enter")
    page.seq(5)
    assert values(page, 4) == {"colour": "green", "wet": True, ATTRIBUTES[2]["name"]: 12, "note": "chipped rim"}
    note = page.page.locator("#attributes input").last
    expect(note).to_be_focused()  # still
    expect(note).to_have_value("chipped rim")
    keyboard.type(" and")
    keyboard.press("Escape")
    expect(note).to_have_value("chipped rim")
    keyboard.press("z")
    page.seq(6)
    expect(note).to_have_value("")
    page.page.locator("#attributes").get_by_label("colour").select_option("")
    page.seq(7)
    assert values(page, 4) == {"wet": True, ATTRIBUTES[2]["name"]: 12}
    page.page.locator("#canvas").focus()
    keyboard.press("t")
    page.page.wait_for_selector("#attributes select:disabled")  # nothing is done to a locked object
    page.close()


def test_a_renamed_attribute_keeps_its_values_in_the_page(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 5)
    select_a_cup(page)
    page.page.locator("#attributes").get_by_label("note").fill("old")
    page.page.locator("#attributes").get_by_label("note").press("Enter")
    page.seq(2)
    page.page.evaluate("""() => { const group = document.getElementById('attributes'); window.numbers = [];
        new MutationObserver(() => numbers.push(group.children.length)).observe(group, { childList: true }); }""")
    row = page.page.locator(".label", has_text="cup")
    row.hover()
    row.locator("button").click()
    page.page.locator("#attribute-rows fieldset").last.locator("input").first.fill("remark")
    page.page.locator("#label-form .primary").click()
    expect(page.page.locator("#attributes").get_by_label("remark")).to_have_value("old")
    page.page.locator("#offer button").click()
    expect(page.page.locator("#attributes").get_by_label("note")).to_have_value("old")
    # At no time is the new name shown without its value, beside the old name.
    assert page.page.evaluate("numbers") == [4, 4]
    page.close()


def test_values_by_finger_in_every_language(browser: sync_api.Browser, server: Server) -> None:
    phone = {"width": 390, "height": 844}  # where the panel is a drawer
    page = Page(browser, server, 6, viewport=phone, has_touch=True, locale="de")
    page.page.locator("#toggle-side").tap()
    page.page.locator(".label", has_text="cup").tap()
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("#side:not(.open)", state="attached")
    page.page.touchscreen.tap(*page.at(180, 200))
    page.seq(1)
    page.page.locator("#toggle-side").tap()
    page.page.locator("#attributes").get_by_label("wet").select_option(label="ja")
    page.seq(2)
    assert values(page, 6) == {"wet": True}
    assert violations(page) == []
    page.close()


def test_nothing_overlaps_and_axe_finds_nothing(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 7, color_scheme="light", reduced_motion="reduce")
    select_a_cup(page)
    faults = {0: violations(page)}
    for width in (320, 390, 768, 1024, 1180, 1920):
        page.page.set_viewport_size({"width": width, "height": 800})
        toggle = page.page.locator("#toggle-side")
        if toggle.is_visible():
            toggle.click()
        faults[width] = layout_faults(page)
        row = page.page.locator(".label", has_text="cup")
        row.focus()
        page.page.keyboard.press("ArrowRight")
        page.page.keyboard.press("Enter")
        page.page.wait_for_selector("#label-edit[open]")
        faults[-width] = layout_faults(page) + (violations(page) if width == 320 else [])
        if width == 1180:
            page.page.emulate_media(color_scheme="dark")
            expect(page.page.locator("html")).to_have_attribute("data-theme", "dark")
            faults[-width] += violations(page)
        page.page.keyboard.press("Escape")
        if toggle.is_visible():
            page.page.keyboard.press("Escape")
    faults[1] = violations(page)
    assert {width: found for width, found in faults.items() if found} == {}
    page.close()
