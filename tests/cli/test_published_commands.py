"""``--model NAME`` of the published networks in processes of their own, on tiny weights in place of those that ship."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import SIZES, run, write_tiny

from saywhere.cli.models import list_published
from saywhere.runtime import weights


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("papers"))


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    Image.fromarray(photo).save(tmp_path / "image.png")
    return tmp_path


def one_line(text: str, *words: str) -> None:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("saywhere: ")
    for word in words:
        assert word in lines[0]


def test_bench_with_one_click_stops_by_itself_and_says_so(papers: Path, coco: Path, tmp_path: Path) -> None:
    command = ["bench", "--data", coco, "--model", "multistage", "--limit", 3, "--json", "out.json"]
    result = run(papers, *command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    one_line(result.stderr, "'multistage' takes one positive click", "after 1 of 20")
    measured = json.loads((tmp_path / "out.json").read_text())
    assert (measured["most_interactions"], measured["objects"]) == (1, 3)
    assert (measured["size"], measured["zoom"]) == (SIZES["multistage"], False)
    interactions = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sum("iou" in interaction for interaction in interactions) == 3


@pytest.mark.slow
def test_segment_by_name(papers: Path, folder: Path) -> None:
    result = run(
        papers, "segment", "image.png", "--model", "dctnet", "--drag", "300,200,40", "--not", "20,20", cwd=folder
    )
    assert result.returncode == 0, result.stderr
    assert np.asarray(Image.open(folder / "image-mask.png")).shape == (480, 640)


@pytest.mark.slow
def test_segment_refuses_a_second_click_and_writes_nothing(papers: Path, folder: Path) -> None:
    command = ["segment", "image.png", "--model", "multistage", "--click", "300,200", "--click", "310,200"]
    result = run(papers, *command, cwd=folder)
    assert result.returncode == 2
    one_line(result.stderr, "second click", "one positive click")
    assert not list(folder.glob("*mask*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["segment", "image.png", "--click", "5,5", "--model", "multistage"],
            ["pip install 'saywhere[torch]'", "multistage"],
        ),
        (["segment", "image.png", "--click", "5,5", "--model", "dctnett"], ["did you mean 'dctnet'"]),
    ],
)
def test_without_torch_one_line_names_the_extra(
    papers: Path, folder: Path, arguments: list[str], words: list[str]
) -> None:
    result = run(papers, *arguments, cwd=folder, without_torch=True)
    assert result.returncode == 2, result.stderr
    one_line(result.stderr, *words)
    assert not list(folder.glob("*mask*"))


def test_a_size_that_no_network_takes(folder: Path, coco: Path) -> None:
    command = ["bench", "--data", coco, "--json", "out.json", "--size", "20"]
    result = run(folder, *command, cwd=folder, without_torch=True)
    assert result.returncode == 2
    one_line(result.stderr, "size 20", "from 32 to 4096")
    assert not list(folder.glob("out*"))


def test_weights_that_are_not_installed(folder: Path) -> None:
    result = run(
        folder, "segment", "image.png", "--click", "5,5", "--model", "textclick", cwd=folder, without_torch=True
    )
    assert result.returncode == 2
    one_line(result.stderr, "'textclick'", "not installed", "saywhere train textclick-small")


def test_models_lists_them_installed_or_not(
    papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from saywhere.cli import models as verb

    monkeypatch.setattr(verb.console, "_width", 200)
    for place, installed in ((papers, True), (tmp_path, False)):
        monkeypatch.setattr(weights, "papers_folder", partial(Path, place))
        list_published()
        shown = capsys.readouterr().out
        assert shown.count("weights not installed") == (0 if installed else len(weights.PUBLISHED))
        for paper in weights.PUBLISHED.values():
            assert paper in shown
        assert ("64, zoom 64" in shown) == installed  # DCT-Net
