"""From tables of addresses and prompts to shards of Parquet: prompts, protocols, errors, processes that die."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import HOLD_AT, kill_when
from PIL import Image
from typer.testing import CliRunner

from saywhere import SaywhereError
from saywhere.cli.main import app
from saywhere.core import metrics
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.prelabel.table import prelabel_table

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
fsspec = pytest.importorskip("fsspec")

COLOUR = "conftest:ColourRuntime"
POINT = [[60.0, 40.0, 1.0]]


def picture(number: int) -> np.ndarray:
    """A bright card on a dark photograph, in another place in each."""
    pixels = np.full((90, 120, 3), 20, np.uint8)
    pixels[20 + number : 60 + number, 30 + number : 90 + number] = (230, 200, 20 * number)
    return pixels


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    return folder


def table(path: Path, rows: list[dict[str, Any]]) -> str:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("part-*.parquet")) for row in parquet.read_table(path).to_pylist()]


def by_id(folder: Path) -> dict[str, dict[str, Any]]:
    rows = rows_of(folder)
    assert len({row["id"] for row in rows}) == len(rows), "no row twice"
    return {row["id"]: row for row in rows}


def test_points_and_boxes_of_a_table(photos: Path, tmp_path: Path) -> None:
    asked = [
        {"image": str(photos / "0.png"), "id": "by point", "points": POINT, "box": None, "category": "card"},
        {"image": str(photos / "1.png"), "id": "by box", "points": None, "box": [31.0, 21.0, 60.0, 40.0]},
    ]
    result = prelabel_table(table(tmp_path / "in.parquet", asked), str(tmp_path / "out"), method=COLOUR)
    assert (result.rows, result.masks, result.errors) == (2, 2, 0)
    found = by_id(tmp_path / "out")
    assert found["by point"]["category"] == "card"
    for number, name in enumerate(("by point", "by box")):
        row = found[name]
        mask = RunLengths.from_counts(row["counts"], ImageSize(row["height"], row["width"])).mask()
        card = picture(number)[..., 0] > 100
        # The method knows no boxes: negative clicks around the box take pieces of the card's edge.
        assert metrics.iou(mask, card) == 1.0 if name == "by point" else metrics.iou(mask, card) > 0.7
        assert not (mask & ~card).any()
        assert row["error"] is None


def test_contents_of_files_instead_of_addresses(photos: Path, tmp_path: Path) -> None:
    content = (photos / "0.png").read_bytes()
    asked = [{"image": content, "points": POINT}, {"image": content, "points": POINT}]
    prelabel_table(table(tmp_path / "in.parquet", asked), str(tmp_path / "out"), method=COLOUR)
    assert list(by_id(tmp_path / "out")) == ["row 1", "row 2"]
    images = pyarrow.array([{"bytes": content, "path": None}])
    nested = pyarrow.table({"image": images, "points": pyarrow.array([POINT])})
    parquet.write_table(nested, tmp_path / "nested.parquet")
    assert prelabel_table(str(tmp_path / "nested.parquet"), str(tmp_path / "out2"), method=COLOUR).masks == 1


def test_the_key_is_of_the_content_and_the_prompt(photos: Path, tmp_path: Path) -> None:
    asked = [{"image": str(photos / "0.png"), "points": POINT}]
    for out in ("a", "b"):
        prelabel_table(table(tmp_path / "in.parquet", asked), str(tmp_path / out), method=COLOUR)
    Image.fromarray(picture(3)).save(photos / "0.png")
    prelabel_table(str(tmp_path / "in.parquet"), str(tmp_path / "c"), method=COLOUR)
    a, b, c = (rows_of(tmp_path / out)[0]["key"] for out in "abc")
    assert a == b != c


def test_what_cannot_be_done_is_a_row_with_an_error(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    asked = [
        {"image": str(photos / name), "id": name, "points": points}
        for name, points in (
            ("0.png", POINT), ("broken.png", POINT), ("gone.png", POINT), ("2.png", None),
            ("1.png", [[500.0, 4.0, 1.0]]),
        )
    ]  # fmt: skip
    source, out = table(tmp_path / "in.parquet", asked), tmp_path / "out"
    assert prelabel_table(source, str(out), method=COLOUR).errors == 4
    found = by_id(out)
    assert found["0.png"]["error"] is None
    for name, words in (("broken.png", "photograph"), ("gone.png", "cannot be read"), ("1.png", "outside")):
        assert words in found[name]["error"]
        assert found[name]["counts"] is None
    assert "has no prompt" in found["2.png"]["error"]
    Image.fromarray(picture(5)).save(photos / "gone.png")
    again = prelabel_table(source, str(out), method=COLOUR)
    assert (again.skipped, again.masks, again.errors) == (5, 0, 0)
    retried = prelabel_table(source, str(out), method=COLOUR, retry=True)
    assert (retried.skipped, retried.masks, retried.errors) == (1, 1, 3)
    assert by_id(out)["gone.png"]["error"] is None


def test_lists_folders_and_patterns_of_addresses(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("photos/0.png\n\nphotos/3.png\n")
    for name, source, count in (
        ("folder", photos, 6), ("pattern", photos / "*.png", 6), ("list", tmp_path / "list.txt", 2),
    ):  # fmt: skip
        result = prelabel_table(str(source), str(tmp_path / name), phrase="cup")
        assert result.rows == count
        assert {row["category"] for row in rows_of(tmp_path / name)} == {"cup"}


def test_addresses_alone_need_a_phrase(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SaywhereError, match="give a phrase"):
        prelabel_table(str(photos), str(tmp_path / "out"), method=COLOUR)


@pytest.fixture
def server(photos: Path) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(photos))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_images_by_http_and_shards_in_another_file_system(server: str, tmp_path: Path) -> None:
    asked = [{"image": f"{server}/{number}.png", "points": POINT} for number in (0, 1, 99)]
    source = table(tmp_path / "in.parquet", asked)
    result = prelabel_table(source, "memory://bucket/out", method=COLOUR)
    assert (result.masks, result.errors) == (2, 1)
    files = fsspec.filesystem("memory")
    (name,) = files.ls("/bucket/out", detail=False)
    assert parquet.read_table(pyarrow.BufferReader(files.cat_file(name))).num_rows == 3
    assert prelabel_table(source, "memory://bucket/out", method=COLOUR).skipped == 3


def test_shards_of_other_weights_are_refused(photos: Path, tmp_path: Path) -> None:
    source = table(tmp_path / "in.parquet", [{"image": str(photos / "0.png"), "points": POINT}])
    prelabel_table(source, str(tmp_path / "out"), method=COLOUR)
    with pytest.raises(SaywhereError, match="other weights or settings"):
        prelabel_table(source, str(tmp_path / "out"), method="conftest:DiscRuntime")


@pytest.mark.parametrize(
    ("source", "words"),
    [("no.parquet", "cannot be read"), ("no-such://a/b.parquet", "Protocol not known"), ("empty/", "names no image")],
)
def test_sources_that_are_none(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    address = source if "://" in source else str(tmp_path / source)
    with pytest.raises(SaywhereError, match=words):
        prelabel_table(address, str(tmp_path / "out"), phrase="cup")


def test_a_table_without_images(tmp_path: Path) -> None:
    with pytest.raises(SaywhereError, match="a column 'image' is needed"):
        prelabel_table(table(tmp_path / "in.parquet", [{"url": "x"}]), str(tmp_path / "out"), method=COLOUR)


def test_killed_and_run_again_nothing_is_done_twice(photos: Path, tmp_path: Path) -> None:
    asked = [{"image": str(photos / f"{n % 6}.png"), "id": f"{n}", "points": POINT} for n in range(400)]
    source, out = table(tmp_path / "in.parquet", asked), tmp_path / "out"
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "saywhere.cli", "prelabel", source, "--out", str(out), "--model", COLOUR]
    command += ["--shard-rows", "20", "--jobs", "2"]
    process = subprocess.Popen(command, env={**environment, HOLD_AT: "150"}, stdout=subprocess.DEVNULL)
    kill_when(process, lambda: len(list(out.glob("part-*.parquet"))) >= 3)
    before = by_id(out)
    assert 60 <= len(before) < 400, "it was killed in the middle"
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=600)
    assert done.returncode == 0
    assert f"400 rows, {len(before)} done before: {400 - len(before)} masks" in done.stdout.replace("\n", " ")
    after = by_id(out)
    assert len(after) == 400
    assert all(after[name] == row for name, row in before.items())


class TestCommand:
    def test_options_of_the_other_output_are_refused(self, photos: Path, tmp_path: Path) -> None:
        out = str(tmp_path / "out")
        for options in (["--points", "x.csv"], ["--engine", "ray"], ["--boxes-with-points"]):
            result = CliRunner().invoke(app, ["prelabel", str(photos), "--out", out, "--say", "cup", *options])
            assert isinstance(result.exception, SaywhereError)
            assert options[0] in str(result.exception)

    def test_errors_are_counted(self, photos: Path, tmp_path: Path) -> None:
        source = table(tmp_path / "in.parquet", [{"image": "gone.png", "points": POINT}])
        result = CliRunner().invoke(app, ["prelabel", source, "--out", str(tmp_path / "out"), "--model", COLOUR])
        assert result.exit_code == 0
        assert "1 rows with an error" in result.output
        assert json.dumps(rows_of(tmp_path / "out")[0]["error"])
