"""What the pages show to people, read from their source files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from saywhere.annotate.web.pages import STATIC
from saywhere.browser.write import SHARED
from saywhere.browser.write import STATIC as STATIC_PAGE

FOLDERS = {"annotator": STATIC, "static page": STATIC_PAGE}
"""Where the files of each page with texts are."""

SHOWN_ATTRIBUTES = frozenset({"title", "aria-label", "aria-description", "placeholder", "alt"})
NAMES = frozenset(
    {"Saywhere", "COCO", "CSV", "LabelMe", "PNG", "Pascal VOC", "YOLO", "JSON", "ZIP", "WebAssembly", "WebGPU"}
)
COMMENT_OR_TEXT = re.compile(
    r"//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|`(?:\\.|\$\{[^{}`]*\}|[^`\\])*`", re.DOTALL
)
KEY = re.compile(r"""\bt\(\s*(['"`])((?:(?!\1).)*)\1|\?\s*'([a-z]+\.[\w-]+)'\s*:\s*'([a-z]+\.[\w-]+)'""")
# A text that is assigned or given to what shows it.
SHOWN = re.compile(
    r"(?:\.(?:textContent|innerText|title|ariaLabel|placeholder)\s*=|\b(?:title|ariaLabel|placeholder):|"
    r"\b(?:notice|banner|append|alert|confirm|prompt)\(|setAttribute\('(?:title|aria-label|placeholder)',)\s*$"
)
SENTENCE = re.compile(r"[A-Za-z]{2,},? [a-z]{2,}")
# Texts of several words that nobody sees: selectors, classes, attributes, errors of the program.
UNSEEN = re.compile(
    r"(?:(?:querySelector(?:All)?|closest(?:\?\.)?|matches|matchMedia|Error|getContext|evaluate|warn)\(|className\s*=|"
    r"(?:\bd|class|style|viewBox|font|lineDash|transform|description):|\.(?:font|cssText|transform|style\.\w+)\s*=)\s*$"
)


class _Texts(HTMLParser):
    """Texts and shown attributes of an HTML file that name no key."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.keys: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        for name, value in attributes:
            if name.startswith("data-i18n"):
                self.keys.append(value or "")
            elif name in SHOWN_ATTRIBUTES and value:
                self.found.append(value)
        if tag in {"meta", "link", "img", "input", "br", "hr"}:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        text = data.strip()
        if re.search(r"[A-Za-z]", text) and text not in NAMES and self._open[-1] not in {"kbd", "script", "style"}:
            self.found.append(text)


def html_texts(path: Path) -> tuple[list[str], list[str]]:
    """Texts that are written in an HTML file, and the keys that it names."""
    reader = _Texts()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.found, reader.keys


def script_texts(path: Path) -> Iterator[str]:
    """Texts in a module that a person would see and that are no keys."""
    source = path.read_text(encoding="utf-8")
    for match in COMMENT_OR_TEXT.finditer(source):
        if match[0][0] == "/":
            continue
        text, before = re.sub(r"\$\{[^{}]*\}", "", match[0][1:-1]), source[: match.start()][-80:]
        if text.strip(" ·:,()") in NAMES or "${" in text:
            continue
        is_sentence = SENTENCE.search(text) and not re.search(r"[#\[<>=]|\.\w", text) and not UNSEEN.search(before)
        if is_sentence or (SHOWN.search(before) and re.search(r"[A-Za-z]{2,}", text)):
            yield text


def script_keys(path: Path) -> Iterator[str]:
    """Keys of texts in a module; those that are made of parts end where the first part ends, with ``*``."""
    source = COMMENT_OR_TEXT.sub(lambda part: "" if part[0][0] == "/" else part[0], path.read_text(encoding="utf-8"))
    for match in KEY.finditer(source):
        for key in match.group(2, 3, 4):
            if key:
                yield key.partition("${")[0] + "*" if "${" in key else key


def scripts(folder: Path | None = None) -> list[Path]:
    """The modules of one page, or of all pages with those that they share."""
    places = (*FOLDERS.values(), SHARED, SHARED / "inference") if folder is None else (folder,)
    return [path for place in places for path in sorted(place.glob("*.js"))]


def pages(folder: Path | None = None) -> list[Path]:
    """The HTML files of one page, or of all."""
    return [
        path for place in (FOLDERS.values() if folder is None else [folder]) for path in sorted(place.glob("*.html"))
    ]
