"""``saywhere annotate --samples``: the annotator can be tried without images of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from saywhere.annotate.sample_images import SAMPLES, write_samples
from saywhere.annotate.web import server
from saywhere.cli.main import app
from saywhere.errors import SaywhereError


def test_samples_are_written_once(tmp_path: Path) -> None:
    paths = write_samples(tmp_path / "samples")
    assert [path.name for path in paths] == ["astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg"]
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) >= 300
    paths[0].write_bytes(b"mine")
    write_samples(tmp_path / "samples")
    assert paths[0].read_bytes() == b"mine"


def test_every_sample_has_its_terms() -> None:
    terms = (SAMPLES / "LICENSE.txt").read_text(encoding="utf-8")
    for path in SAMPLES.glob("*.jpg"):
        assert path.name in terms


def test_the_command_serves_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    served: list[server.Options] = []
    monkeypatch.setattr(server, "serve", lambda options, report: served.append(options))
    assert CliRunner().invoke(app, ["annotate", "--samples", "--label", "cat"]).exit_code == 0
    assert CliRunner().invoke(app, ["annotate", "mine", "--samples"]).exit_code == 0
    assert [options.folder for options in served] == [Path("saywhere-samples"), Path("mine")]
    assert served[0].labels == ("cat",)
    assert all((options.folder / "chelsea.jpg").is_file() for options in served)
    refused = CliRunner().invoke(app, ["annotate"])
    assert isinstance(refused.exception, SaywhereError)
    assert "--samples" in str(refused.exception)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaywhereError, match="cannot be written"):
        write_samples(tmp_path / "file")
