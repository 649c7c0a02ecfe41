"""What axe-core and the check of the layout find on a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from page import Page

AXE = Path(pytest.importorskip("axe_playwright_python").__file__).parent / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LAYOUT_FAULTS = (Path(__file__).parent / "layout_faults.js").read_text()


def violations(page: Page) -> list[str]:
    """What axe-core finds, a line for each rule and element."""
    page.page.emulate_media(reduced_motion="reduce")  # what is half faded in has less contrast
    if not page.page.evaluate("'axe' in window"):
        page.page.evaluate(AXE.read_text(encoding="utf-8"))
    script = "tags => axe.run(document, { runOnly: { type: 'tag', values: tags } })"
    found = page.page.evaluate(script, RULES)["violations"]
    return [f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def layout_faults(page: Page) -> list[str]:
    """Panels that overlap; controls that are cut off, covered or outside."""
    return page.page.evaluate(LAYOUT_FAULTS)
