"""A job that goes on where it stopped: each result once, and only what is left is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from saywhere import SaywhereError
from saywhere.core.settings import Settings
from saywhere.parallel.resumable import Execution, Journal, LoadedMethod, run_job
from saywhere.storage import jsonl

Pair = tuple[int, int]  # an item, and the number of a result


class Pairs(Journal[Pair]):
    """Two results for each item, in their order."""

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        self.kept: list[Pair] = []
        super().__init__(path, conditions)

    def from_entry(self, entry: Mapping[str, Any]) -> Pair | None:
        return (entry["item"], entry["number"]) if "item" in entry else None

    def to_entry(self, result: Pair) -> Mapping[str, Any]:
        return {"item": result[0], "number": result[1]}

    def is_new(self, result: Pair) -> bool:
        return result not in self.kept and (result[1] == 0 or (result[0], 0) in self.kept)

    def remember(self, result: Pair) -> None:
        self.kept.append(result)

    def completes(self, result: Pair) -> bool:
        return result[1] == 1


def pairs(fail_at: int | None, runtime: object, settings: Settings) -> Callable[[int], Iterator[Pair]]:
    def work(item: int) -> Iterator[Pair]:
        yield item, 0
        if item == fail_at:
            raise SaywhereError(f"item {item}: stopped")
        yield item, 1

    return work


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> LoadedMethod:
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders), prepend=os.pathsep)
    return LoadedMethod.load("conftest:DiscRuntime", Settings(), 1)


def run(method: LoadedMethod, path: Path, fail_at: int | None = None, jobs: int = 1) -> tuple[Pairs, list[Pair]]:
    """A job over the items 0 to 3, as often as it is run; and what its progress was."""
    progress: list[Pair] = []
    with Pairs(path, method.metadata) as journal:
        left = [item for item in range(4) if (item, 1) not in journal.kept]
        run_job(
            method, partial(pairs, fail_at), left, journal, 4 - len(left), 4, Execution(jobs=jobs),
            lambda done, total: progress.append((done, total)),
        )  # fmt: skip
    return journal, progress


@pytest.mark.parametrize("jobs", [1, 2])
def test_it_goes_on_where_it_stopped(method: LoadedMethod, tmp_path: Path, jobs: int) -> None:
    path = tmp_path / "job.jsonl"
    with pytest.raises(SaywhereError, match="item 2: stopped"):
        run(method, path, fail_at=2)
    assert [(line["item"], line["number"]) for line in jsonl.read_lines(path)[1:]] == [
        (0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]  # fmt: skip
    journal, progress = run(method, path, jobs=jobs)
    assert sorted(journal.kept) == [(item, number) for item in range(4) for number in range(2)]
    assert progress == [(2, 4), (3, 4), (4, 4)]
    lines = [line for line in jsonl.read_lines(path) if "item" in line]
    assert len(lines) == 8  # the result that was there is not written again


def test_the_file_is_read_once(method: LoadedMethod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    original = jsonl.read_lines
    monkeypatch.setattr(jsonl, "read_lines", lambda path: (reads.append(path), original(path))[1])
    journal, _ = run(method, tmp_path / "job.jsonl")
    assert len(journal.kept) == 8
    assert len(reads) == 1


def test_another_method_under_the_same_name_is_refused(method: LoadedMethod, tmp_path: Path) -> None:
    other = LoadedMethod(
        method.name, method.requested, 1, method.runtime, method.settings, {**method.metadata, "weights": "other"}
    )
    with pytest.raises(SaywhereError, match=r"weights is 0, not other"):
        run(other, tmp_path / "job.jsonl", jobs=2)
