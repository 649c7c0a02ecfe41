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
from saywhere.runtime.torch import TorchRuntime
from saywhere.runtime.weights import load_runtime

ONE = Prompt((Click(40, 30),))
MANY = Prompt((Click(40, 30, True, 12.0), Click(5, 60, False), Click(60, 20), Click(2, 2, False, 3.0)), "red car")
ALIKE = 1e-3  # of logits, which reach to 30: what the order of additions changes


@pytest.fixture
def runtime() -> TorchRuntime:
    return load_runtime(device="cpu")


@pytest.fixture(params=[(96, 128), (75, 101), (33, 190)])
def photo(request: pytest.FixtureRequest) -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8)
    h, w = request.param
    return np.ascontiguousarray(np.kron(coarse, np.ones((32, 24, 1), np.uint8))[:h, :w])


@pytest.fixture
def plain(runtime: TorchRuntime) -> TorchRuntime:
    """The same by torch alone."""
    other = load_runtime(device="cpu")
    assert isinstance(other.model, Saywhere)
    other.model.graphs = None
    return other


def test_the_shipped_weights_are_run_by_onnx_runtime_and_others_by_torch(runtime: TorchRuntime) -> None:
    assert runtime.capabilities.backend == "torch"
    assert Graphs.of(runtime.model, {**described()["options"], "fine": 48}) is None
    assert Graphs.of(runtime.model, {**described()["options"], "words": "mine.txt"}) is not None


@pytest.mark.parametrize("prompt", [ONE, MANY])
@pytest.mark.parametrize("shown", [False, True])
def test_answers_are_those_of_torch(
    runtime: TorchRuntime, plain: TorchRuntime, photo: np.ndarray, prompt: Prompt, shown: bool
) -> None:
    past = np.random.default_rng(2).random(photo.shape[:2], np.float32) if shown else None
    found = runtime.decode(runtime.encode(photo), prompt, past)
    expected = plain.decode(plain.encode(photo), prompt, past)
    assert found.shape == expected.shape == photo.shape[:2]
    assert np.ptp(expected) > 1.0
    assert np.abs(found - expected).max() < ALIKE
    assert isinstance(runtime.model, Saywhere)
    assert runtime.model.graphs is not None
    assert runtime.model.graphs._sessions  # they were made, so they were asked


def test_a_batch_is_answered_too(runtime: TorchRuntime, plain: TorchRuntime) -> None:
    image = torch.rand(3, 3, 64, 96)
    with torch.inference_mode():
        found, expected = (one.model(image, [ONE, MANY, ONE]) for one in (runtime, plain))
    assert torch.allclose(found, expected, atol=ALIKE)
    assert not torch.allclose(found[0], found[1], atol=ALIKE)


def test_a_changed_purification_layer_changes_its_answers_alone(
    runtime: TorchRuntime, plain: TorchRuntime, photo: np.ndarray
) -> None:
    assert isinstance(runtime.model, Saywhere)
    changed = {name: value.numpy() * 0.9 for name, value in runtime.model.purification.state_dict().items()}
    before = runtime.decode(runtime.encode(photo), MANY, None)
    found, expected = (
        other.decode(other.encode(photo), MANY, None)
        for other in (runtime.with_purification(changed), plain.with_purification(changed))
    )
    assert np.abs(found - expected).max() < ALIKE
    assert np.abs(found - before).max() > 0.1
    assert np.array_equal(runtime.decode(runtime.encode(photo), MANY, None), before)


def test_what_learns_is_computed_by_torch(runtime: TorchRuntime) -> None:
    logits = runtime.model(torch.rand(1, 3, 64, 64), [ONE])
    logits.sum().backward()
    assert isinstance(runtime.model, Saywhere)
    gradient = runtime.model.guide[0].weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_each_count_of_threads_has_its_own(runtime: TorchRuntime, photo: np.ndarray) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            runtime.encode(photo)
    finally:
        torch.set_num_threads(before)
    assert isinstance(runtime.model, Saywhere)
    assert runtime.model.graphs is not None
    assert list(runtime.model.graphs._sessions) == [1, 2]


def test_multiply_adds_are_counted_though_another_library_computes(runtime: TorchRuntime, plain: TorchRuntime) -> None:
    counted = cost(runtime, saywhere.Settings())
    assert counted == cost(plain, saywhere.Settings())
    assert 0.3e9 < counted["decode_multiply_adds"] < 1e9
