"""The tables of a user study, on CSV files whose figures were worked out by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from annotator import act, click, make, make_folder, open_client
from typer.testing import CliRunner

from saywhere import SaywhereError
from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.study import read_study, study_tables
from saywhere.cli.main import app

HEADER = "path,state,person,label,interactions,seconds,proposed,first_seconds,first_click_distance"
CLICK = """
a.png,done,ann,cat,4,8,0,2,3
b.png,done,ann,dog,6,12,0,3,4
c.png,started,ann,dog,19,90,0,30,90
a.png,done,bob,cat,3,9,0,1,8
"""
PHRASECLICK = """
a.png,done,ann,cat,2,10,0,4,
b.png,done,bob,dog,2,8,0,,2
c.png,done,bob,dog,4,12,1,0.5,1
"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "study-click.csv", tmp_path / "p.csv"]
    for path, rows in zip(paths, (CLICK, PHRASECLICK), strict=True):
        path.write_text(HEADER + rows)
    return paths


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_tables_of_the_papers(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "tables"
    result = CliRunner().invoke(app, ["study", str(files[0]), f"phraseclick={files[1]}", "--out", str(out)])
    assert result.exit_code == 0, result.output + str(result.exception)

    one, other = table(out, "modes")
    assert (one["mode"], one["people"], one["objects"]) == ("click", "2", "3"), "an object that is not done is left out"
    assert (one["interactions, mean"], one["interactions, SD"]) == ("4.33", "1.53")  # 13 / 3, sqrt(7 / 3)
    assert (one["seconds, mean"], one["seconds, SD"]) == ("9.67", "2.08")  # 29 / 3, sqrt(13 / 3)
    assert one["seconds per interaction"] == "2.23"  # 29 / 13
    assert float(one["interactions, 95 % low"]) < 4.33 < float(one["interactions, 95 % high"])
    assert (other["mode"], other["interactions, mean"], other["seconds, mean"]) == ("phraseclick", "2.67", "10.00")

    one, other = table(out, "interactions-by-person")
    assert (one["ann"], one["bob"], one["average"], one["SD over people"]) == ("5.00", "3.00", "4.00", "1.41")
    assert (other["ann"], other["bob"], other["average"]) == ("2.00", "3.00", "2.50")
    assert [row["average"] for row in table(out, "seconds-by-person")] == ["9.50", "10.00"]

    one, other = table(out, "first-click")
    assert (one["objects"], one["seconds, mean"], one["seconds, SD"]) == ("3", "2.00", "1.00")
    assert (one["pixels from the centre, mean"], one["pixels from the centre, SD"]) == ("5.00", "2.65")  # sqrt(7)
    assert (other["objects"], other["seconds, mean"], other["seconds, SD"]) == ("1", "4.00", "")
    assert (other["clicks"], other["pixels from the centre, mean"]) == ("1", "2.00"), "a proposal is no first click"

    accept, provide = table(out, "proposals")
    assert (accept["cat"], accept["dog"], accept["all, mean"]) == ("", "0.50", "0.50")
    assert (provide["cat"], provide["dog"], provide["objects"], provide["all, mean"]) == ("2.33", "3.00", "4", "2.50")

    interactions, seconds = table(out, "differences")
    assert (interactions["modes"], interactions["people"]) == ("phraseclick - click", "2")
    assert (interactions["mean"], interactions["SD"]) == ("-1.50", "2.12")  # ann -3, bob 0
    assert (interactions["95 % low"], interactions["95 % high"]) == ("-3.00", "0.00")
    assert (seconds["mean"], seconds["SD"]) == ("0.50", "0.71")  # ann 0, bob 1

    text = (out / "study.md").read_text()
    assert "**Interactions per object, by person (PhraseClick, table 3)**" in text
    assert "| click | 5.00 | 3.00 | 4.00 | 1.41 | 3.00 | 5.00 |" in text
    assert "| click | 5.00 | 3.00 | 4.00 | 1.41 | 3.00 | 5.00 |" in result.output


def test_a_mode_in_several_files_and_alone(files: list[Path]) -> None:
    objects = read_study(files[0], "click") + read_study(files[1], "click")
    tables = {one.name: one for one in study_tables(objects)}
    assert "differences" not in tables
    (row,) = tables["modes"].rows
    assert row[:4] == ["click", "2", "6", "3.50"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("", "no rows"),
        ("a,b\n1,2\n", "no column 'state'"),
        (HEADER + "\na.png,done,ann,cat,many,8,0,2,3\n", "no number"),
        (HEADER + "\na.png,done,ann\n", "no number"),
        (HEADER + "\na.png,done,ann,cat,-4,8,0,2,3\n", "no number"),
        (HEADER + "\na.png,started,ann,cat,4,8,0,2,3\n", "no image is done"),
    ],
)
def test_what_is_no_study_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_text(content)
    result = CliRunner().invoke(app, ["study", str(path), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, SaywhereError)
    assert "bad.csv" in str(result.exception)
    assert words in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_from_the_page_to_the_tables(tmp_path: Path) -> None:
    """The CSV of a study has what the tables need: the first click is 8 pixels beside the centre of the disc."""
    folder = make_folder(tmp_path / "images")
    annotator = make(folder, Database(default_database_url(folder)), study="click")
    client = open_client(annotator)
    act(client, 1, click(308, 200)).raise_for_status()
    act(client, 1, click(305, 205, object=1)).raise_for_status()
    act(client, 1, {"kind": "mark", "value": "done"}).raise_for_status()
    answer = client.get("/api/stats.csv")
    assert 'filename="study-click.csv"' in answer.headers["content-disposition"]
    path = tmp_path / "study-click.csv"
    path.write_bytes(answer.content)
    (one,) = read_study(path, "click")
    assert one.interactions == 2
    assert one.first_click_distance == pytest.approx(8.0, abs=0.6)
    assert one.first_seconds is not None
    assert one.first_seconds <= one.seconds
    annotator.close()
