"""Work in this process and in several: all results, each once, and clear words when something goes wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from saywhere import SaywhereError
from saywhere.parallel import local as engines

Work = Callable[[int], Iterator[tuple[int, int]]]


def squares() -> Work:
    return lambda item: iter([(item, part) for part in range(item)])


def refusing() -> Work:
    def work(item: int) -> Iterator[tuple[int, int]]:
        if item == 3:
            raise SaywhereError("item 3: cannot be used")
        yield item, 0

    return work


def dying_once(mark: Path) -> Work:
    """One process is killed in its first item; the others go on."""

    def work(item: int) -> Iterator[tuple[int, int]]:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            yield item, 0
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return work


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are spawned find this module."""
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(map(str, [Path(__file__).parent, Path(__file__).parents[1]])), prepend=os.pathsep
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_result_of_every_item(jobs: int) -> None:
    found = sorted(engines.run(squares, range(6), jobs=jobs))
    assert found == [(item, part) for item in range(6) for part in range(item)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_users_error_is_the_same_everywhere(jobs: int) -> None:
    with pytest.raises(SaywhereError, match=r"^item 3: cannot be used$"):
        list(engines.run(refusing, range(6), jobs=jobs))


def test_a_process_that_is_killed_holds_up_no_other(tmp_path: Path) -> None:
    found: list[tuple[int, int]] = []
    with pytest.raises(SaywhereError, match="1 of 2 processes ended early"):
        found.extend(engines.run(partial(dying_once, tmp_path / "mark"), range(6), jobs=2))
    assert len(found) == 5


def test_without_items_nothing_is_started() -> None:
    assert list(engines.run(squares, [], engines.Engine.RAY)) == []
