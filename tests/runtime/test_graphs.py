"""What ONNX Runtime answers for our network, against what torch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import saywhere
from saywhere import Click, Prompt
from saywhere.evaluation.benchmark import cost
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.onnx import Graphs, described
from saywhere.runtime.torch import TorchRunner
from saywhere.runtime.weights import load_runner

ONE = Prompt((Click(40, 30),))
MANY = Prompt((Click(40, 30, True, 12.0), Click(5, 60, False), Click(60, 20), Click(2, 2, False, 3.0)), "red car")
ALIKE = 1e-3  # of logits, which reach to 30: what the order of additions changes


@pytest.fixture
def runner() -> TorchRunner:
    return load_runner(device="cpu")


@pytest.fixture(params=[(96, 128), (75, 101), (33, 190)])
def photo(request: pytest.FixtureRequest) -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8)
    h, w = request.param
    return np.ascontiguousarray(np.kron(coarse, np.ones((32, 24, 1), np.uint8))[:h, :w])


@pytest.fixture
def plain(runner: TorchRunner) -> TorchRunner:
    """The same by torch alone."""
    other = load_runner(device="cpu")
    assert isinstance(other.model, Saywhere)
    other.model.graphs = None
    return other


def test_the_shipped_weights_are_run_by_onnx_runtime_and_others_by_torch(runner: TorchRunner) -> None:
    assert runner.runtime == "onnxruntime"
    assert Graphs.of(runner.model, {**described()["options"], "fine": 48}) is None
    assert Graphs.of(runner.model, {**described()["options"], "words": "mine.txt"}) is not None


@pytest.mark.parametrize("prompt", [ONE, MANY])
@pytest.mark.parametrize("shown", [False, True])
def test_answers_are_those_of_torch(
    runner: TorchRunner, plain: TorchRunner, photo: np.ndarray, prompt: Prompt, shown: bool
) -> None:
    past = np.random.default_rng(2).random(photo.shape[:2], np.float32) if shown else None
    found = runner.decode(runner.encode(photo), prompt, past)
    expected = plain.decode(plain.encode(photo), prompt, past)
    assert found.shape == expected.shape == photo.shape[:2]
    assert np.ptp(expected) > 1.0
    assert np.abs(found - expected).max() < ALIKE
    assert isinstance(runner.model, Saywhere)
    assert runner.model.graphs is not None
    assert runner.model.graphs._sessions  # they were made, so they were asked


def test_a_batch_is_answered_too(runner: TorchRunner, plain: TorchRunner) -> None:
    image = torch.rand(3, 3, 64, 96)
    with torch.inference_mode():
        found, expected = (one.model(image, [ONE, MANY, ONE]) for one in (runner, plain))
    assert torch.allclose(found, expected, atol=ALIKE)
    assert not torch.allclose(found[0], found[1], atol=ALIKE)


def test_a_changed_purification_layer_changes_its_answers_alone(
    runner: TorchRunner, plain: TorchRunner, photo: np.ndarray
) -> None:
    assert isinstance(runner.model, Saywhere)
    changed = {name: value.numpy() * 0.9 for name, value in runner.model.purification.state_dict().items()}
    before = runner.decode(runner.encode(photo), MANY, None)
    found, expected = (
        other.decode(other.encode(photo), MANY, None) for other in (runner.adapted(changed), plain.adapted(changed))
    )
    assert np.abs(found - expected).max() < ALIKE
    assert np.abs(found - before).max() > 0.1
    assert np.array_equal(runner.decode(runner.encode(photo), MANY, None), before)


def test_what_learns_is_computed_by_torch(runner: TorchRunner) -> None:
    logits = runner.model(torch.rand(1, 3, 64, 64), [ONE])
    logits.sum().backward()
    assert isinstance(runner.model, Saywhere)
    gradient = runner.model.guide[0].weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_each_count_of_threads_has_its_own(runner: TorchRunner, photo: np.ndarray) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            runner.encode(photo)
    finally:
        torch.set_num_threads(before)
    assert isinstance(runner.model, Saywhere)
    assert runner.model.graphs is not None
    assert list(runner.model.graphs._sessions) == [1, 2]


def test_multiply_adds_are_counted_though_another_library_computes(runner: TorchRunner, plain: TorchRunner) -> None:
    counted = cost(runner, saywhere.Settings())
    assert counted == cost(plain, saywhere.Settings())
    assert 0.3e9 < counted["decode_multiply_adds"] < 1e9
