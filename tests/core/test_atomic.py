"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from saywhere import SaywhereError
from saywhere.core.atomic import atomic_output, write_atomically


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SaywhereError, match=r"a.json': cannot be written \(No space left on device\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_appears_only_when_all_went_well(tmp_path: Path) -> None:
    dest = tmp_path / "out"

    def fail_half_way() -> None:
        with atomic_output(dest) as place:
            place.mkdir()
            (place / "1.txt").write_text("x")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []
    with atomic_output(dest) as place:
        place.mkdir()
        (place / "1.txt").write_text("x")
        assert not dest.exists()
    assert (dest / "1.txt").read_text() == "x"
    with pytest.raises(SaywhereError, match="is there already"), atomic_output(dest):
        pass
