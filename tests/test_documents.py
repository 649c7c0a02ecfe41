"""The documents: links lead somewhere, snippets run, commands exist, figures are those of the runs."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docs_site
import measurements
import numpy as np
import pytest
import typer
import yaml

import saywhere
from saywhere.annotate.sample_images import SAMPLES
from saywhere.cli.app import app, run

if TYPE_CHECKING:
    from saywhere.annotate.service import Annotator

ROOT = Path(__file__).parents[1]
COMMANDS = typer.main.get_command(app)
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [ROOT / "README.md", *PAGES]
PAPERS = ROOT / "packages" / "papers" / "README.md"
OTHERS = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "research/README.md")
LINKED = [*TEXTS, PAPERS, *(ROOT / name for name in OTHERS)]
GENERATED = {"docs/measurements.md"}
MOST_LINES = 1500  # of README and docs that are written by hand
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NOT_RUN = {
    "sam:encoder.onnx": "exports of other projects; tests/runtime/external runs stand-ins",
    "integrations.napari": "napari is no requirement; make test-integrations runs it",
}
QUICK = ("README.md", "docs/cutout.md", "docs/candidates.md")  # whose segment commands are run


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(path.read_text()) if kind == language]


def anchors(text: str) -> set[str]:
    """The anchors of headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


@pytest.mark.parametrize("path", LINKED, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", path.read_text())):
        target, _, anchor = link.partition("#")
        if re.match(r"https?:|mailto:", link):
            continue
        place = (path.parent / target).resolve() if target else path
        if place.is_relative_to(ROOT / "docs") and place.relative_to(ROOT / "docs").as_posix() in docs_site.PAGES:
            continue
        assert place.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(place.read_text()), f"{link}: no such heading"


def test_every_page_is_in_the_navigation() -> None:
    def files(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for one in entry.values() if isinstance(entry, dict) else entry:
                yield from files(one)

    listed = set(files(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in PAGES} | set(docs_site.PAGES)


@pytest.mark.parametrize("page", docs_site.PAGES)
def test_a_generated_page_has_contents(page: str) -> None:
    text = docs_site.PAGES[page]()
    assert text.startswith("# ")
    assert len(text.splitlines()) > 20


def test_figures_are_those_of_the_runs() -> None:
    """Else: python tools/measurements.py."""
    text = (ROOT / "README.md").read_text()
    assert measurements.PAGE.read_text() == measurements.page()
    assert text == measurements.readme(text)


def test_documents_are_short() -> None:
    """What is generated does not count."""
    figures = re.compile(f"{re.escape(measurements.BEGIN)}.*?{re.escape(measurements.END)}", re.DOTALL)
    texts = {name_of(path): figures.sub("", path.read_text()) for path in TEXTS}
    lines = {name: len(text.splitlines()) for name, text in texts.items() if name not in GENERATED}
    assert sum(lines.values()) <= MOST_LINES, lines


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param(path, code, id=f"{name_of(path)}-{number}")
        for path in TEXTS
        for number, code in enumerate(blocks(path, "python"))
    ],
)
def test_python_runs(path: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> None:
    compiled = compile(code, str(path), "exec")
    for part, reason in NOT_RUN.items():
        if part in code:
            pytest.skip(reason)
    if "httpx.Client" in code:
        serve(monkeypatch, request.getfixturevalue("annotator"))
    for name in ("photo.jpg", "1.jpg", "2.jpg", "3.jpg"):
        shutil.copy(SAMPLES / "astronaut.jpg", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    values: dict[str, Any] = {"saywhere": saywhere, "image": np.zeros((96, 128, 3), np.uint8)}
    values |= {"points": np.array([[60, 40]]), "labels": np.array([1])}
    if "seg" in compiled.co_names and not re.search(r"^seg = |as seg", code, re.MULTILINE):
        values["seg"] = saywhere.load().set_image("photo.jpg")
    exec(compiled, values)


def serve(monkeypatch: pytest.MonkeyPatch, annotator: Annotator) -> None:
    """Let ``httpx.Client`` talk to an annotator in this process."""
    import httpx
    from starlette.testclient import TestClient

    from saywhere.annotate.web.app import make_app

    application = make_app(annotator)
    monkeypatch.setattr(httpx, "Client", lambda **words: TestClient(application, **words))


def commands(path: Path) -> Iterator[list[str]]:
    """The arguments of every ``saywhere`` in the shell blocks of a page."""
    for block in blocks(path, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;", line.removeprefix("$ ")):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words.pop(0)
                if words and words[0] == "saywhere":
                    yield words[1:]


@pytest.mark.parametrize("path", [*TEXTS, PAPERS], ids=name_of)
def test_commands_exist(path: Path) -> None:
    for words in commands(path):
        command: Any = COMMANDS
        arguments = list(words)
        while hasattr(command, "commands"):
            verb = arguments.pop(0)
            assert verb in command.commands, f"saywhere {shlex.join(words)}: no such command"
            command = command.commands[verb]
        command.make_context(verb, arguments)  # exits, with a message, where an option is not known


def test_segment_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLES / "astronaut.jpg", "photo.jpg")
    unique = {tuple(words) for name in QUICK for words in commands(ROOT / name) if words[0] == "segment"}
    assert len(unique) > 8
    for words in sorted(unique):
        with pytest.raises(SystemExit, match="0"):
            run(words)
    assert {path.name for path in tmp_path.glob("*.png")} >= {"photo-mask.png", "overlay.png", "mask.png", "hair.png"}
