"""A short fixed run of the fuzzer; every input that has failed before is read again."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz.mutate import damaged_bytes, damaged_json
from fuzz.runner import SEEDS, Limits, Target, outcome, run_target
from fuzz.targets import TARGETS

from saywhere.core.processes import peak_memory

INPUTS = {"images": 250, "annotations": 60, "recipes": 12, "prompts": 150, "weights": 20}


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_damaged_inputs_are_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    failures = {}
    for number in range(INPUTS[name]):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = target.make(folder, np.random.default_rng((0, number)))
        if (text := outcome(target, path)) is not None:
            failures[number] = text
        shutil.rmtree(folder)
    assert not failures


SEED_FILES = [path for name in TARGETS for path in sorted((SEEDS / name).glob("*"))]


@pytest.mark.parametrize("path", SEED_FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_inputs_that_failed_once_do_not_fail_again(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    if path.is_dir():
        shutil.copytree(path, copy)
    else:
        shutil.copy(path, copy)
    assert outcome(TARGETS[path.parent.name], copy) is None


class TestTheFuzzer:
    def test_an_input_is_decided_by_its_seed_and_number(self) -> None:
        content = bytes(range(256)) * 4
        first, again, other = (damaged_bytes(content, np.random.default_rng((0, n))) for n in (5, 5, 6))
        assert first == again != other
        assert content != first

    def test_json_is_damaged_in_a_copy(self) -> None:
        value = {"a": [1, 2, {"b": 3}]}
        assert damaged_json(value, np.random.default_rng(1)) != value
        assert value == {"a": [1, 2, {"b": 3}]}

    def test_an_exception_that_is_not_ours_is_a_failure(self, tmp_path: Path) -> None:
        def check(path: Path) -> None:
            raise ValueError("raw")

        target = Target("x", lambda folder, rng: folder, check)
        assert "ValueError: raw" in str(outcome(target, tmp_path))

    def test_memory_of_the_process_that_started_this_one_is_not_counted(self) -> None:
        held = np.ones(50_000_000)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(peak_memory) < held.nbytes

    def test_every_input_is_tried_once(self) -> None:
        assert run_target("recipes", Limits(count=3), seed=1, processes=2) == (3, [])
