"""What every runtime promises (saywhere.runtime.base.Runtime), for each that is registered in support/runtimes.py."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from runtimes import RUNTIMES

from saywhere import Click, Prompt, SaywhereError
from saywhere.core.geometry import ImageSize
from saywhere.errors import NoMapError
from saywhere.interactive.sequence import SequenceOptions
from saywhere.runtime.base import Capabilities, PurifyingRuntime, Runtime

SIZE = ImageSize(64, 128)  # a network pads neither
FIRST = Prompt((Click(50, 30),))
SECOND = Prompt((Click(50, 30), Click(90, 40, False), Click(60, 44)))


def scene(size: ImageSize) -> np.ndarray:
    """A red rectangle on blue with noise, ``(H, W, 3)``."""
    image = np.random.default_rng(0).integers(0, 40, (*size, 3)).astype(np.uint8)
    image[..., 2] += 120
    image[size.height // 4 : size.height * 3 // 4 + 1, size.width // 4 : size.width * 3 // 4 + 1] = (220, 30, 20)
    return image


@pytest.fixture(params=sorted(RUNTIMES), scope="module")
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def runtime(name: str) -> Runtime:
    return RUNTIMES[name]()


class TestEveryRuntime:
    def test_it_says_what_it_is(self, runtime: Runtime) -> None:
        assert isinstance(runtime.name, str)
        assert runtime.name
        assert isinstance(runtime.digest, str)
        assert isinstance(runtime.capabilities, Capabilities)
        assert dict(runtime.metadata) is not None
        assert all(isinstance(count, int) for count in runtime.cost(SIZE).values())

    @pytest.mark.parametrize("size", [(1, 1), (1, 40), (31, 47), (48, 64)])
    def test_logits_have_the_size_of_the_image(self, runtime: Runtime, size: tuple[int, int]) -> None:
        image = scene(ImageSize(*size))
        previous = np.full(size, 0.5, np.float32)
        features = runtime.encode(image)
        for prompt in (Prompt((Click(0, 0),)), Prompt((Click(0, 0), Click(size[1] - 1, size[0] - 1, False)))):
            for shown in (None, previous):
                logits = runtime.decode(features, prompt, shown)
                assert logits.shape == size
                assert logits.dtype == np.float32
                assert np.isfinite(logits).all()

    def test_one_encoding_serves_every_prompt(self, runtime: Runtime) -> None:
        """In any order: decoding leaves features, image and previous mask as they were."""
        image, previous = scene(SIZE), np.random.default_rng(1).random(SIZE, np.float32)
        before = image.copy(), previous.copy()
        features = runtime.encode(image)
        first = runtime.decode(features, FIRST, None)
        second = runtime.decode(features, SECOND, previous)
        assert not np.array_equal(first, second)
        assert np.array_equal(runtime.decode(features, FIRST, None), first)
        assert np.array_equal(runtime.decode(features, SECOND, previous), second)
        assert np.array_equal(image, before[0])
        assert np.array_equal(previous, before[1])

    def test_logits_are_the_callers(self, runtime: Runtime) -> None:
        """Whoever changes an answer changes no later one."""
        features = runtime.encode(scene(SIZE))
        logits = runtime.decode(features, FIRST, None)
        kept = logits.copy()
        if logits.flags.writeable:
            logits[...] = 0.0
        assert np.array_equal(runtime.decode(features, FIRST, None), kept)

    def test_the_same_again_from_a_new_one(self, runtime: Runtime, name: str) -> None:
        other = RUNTIMES[name]()
        found, expected = (each.decode(each.encode(scene(SIZE)), SECOND, None) for each in (other, runtime))
        assert np.array_equal(found, expected)
        assert other.digest == runtime.digest

    def test_threads_may_decode_at_once(self, runtime: Runtime) -> None:
        features = runtime.encode(scene(SIZE))
        prompts = [Prompt((Click(x, 20), Click(90, 40, False))) for x in range(34, 90, 8)]
        expected = [runtime.decode(features, prompt, None) for prompt in prompts]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda prompt: runtime.decode(features, prompt, None), prompts * 3))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected * 3, strict=True))

    def test_it_is_pickled_or_says_why_not(self, runtime: Runtime) -> None:
        try:
            content = pickle.dumps(runtime)
        except (TypeError, AttributeError, pickle.PicklingError, SaywhereError):
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError, SaywhereError), match="pickle"):
                pickle.dumps(runtime)
            return
        copy = pickle.loads(content)
        found, expected = (each.decode(each.encode(scene(SIZE)), SECOND, None) for each in (copy, runtime))
        assert np.array_equal(found, expected)


class TestCapabilities:
    def test_phrases_change_what_is_decoded_only_where_they_are_declared(self, runtime: Runtime) -> None:
        features = runtime.encode(scene(SIZE))
        plain = runtime.decode(features, FIRST, None)
        said = runtime.decode(features, Prompt(FIRST.clicks, "red car"), None)
        if not runtime.capabilities.phrases:
            assert np.array_equal(plain, said)

    def test_a_relevance_map_is_a_probability_or_is_refused(self, runtime: Runtime) -> None:
        features = runtime.encode(scene(SIZE))
        if not runtime.capabilities.relevance:
            with pytest.raises(NoMapError, match=r"cat.*no relevance map"):
                runtime.relevance(features, "cat")
            return
        relevance = runtime.relevance(features, "cat")
        assert relevance.shape == SIZE
        assert relevance.dtype == np.float32
        assert 0.0 <= relevance.min() <= relevance.max() <= 1.0

    def test_a_calibrated_map_is_a_map(self, runtime: Runtime) -> None:
        assert runtime.capabilities.relevance or not runtime.capabilities.calibrated_relevance

    def test_purification_learns_at_the_declared_strides(self, runtime: Runtime) -> None:
        strides = runtime.capabilities.purification_strides
        if not strides:
            pytest.skip("no purification layer")
        purifying: PurifyingRuntime = runtime  # type: ignore[assignment]
        features = purifying.encode(scene(SIZE))
        for kind in ("raw", "pure"):
            levels = purifying.levels(features, kind)
            assert [level.shape[1:] for level in levels] == [
                (SIZE.height // stride, SIZE.width // stride) for stride in strides
            ]
        parameters = purifying.purification_parameters()
        same = purifying.with_purification(parameters)
        expected = purifying.decode(features, SECOND, None)
        assert np.abs(same.decode(same.purify(features), SECOND, None) - expected).max() < 1e-4
        changed = purifying.with_purification({key: 3.0 * value for key, value in parameters.items()})
        assert np.abs(changed.decode(changed.purify(features), SECOND, None) - expected).max() > 1e-3
        assert np.array_equal(purifying.decode(features, SECOND, None), expected)

    def test_the_gradient_points_to_less_loss(self, runtime: Runtime) -> None:
        if not runtime.capabilities.purification_strides:
            pytest.skip("no purification layer")
        purifying: PurifyingRuntime = runtime  # type: ignore[assignment]
        side = SequenceOptions().side  # an exported gradient has a fixed size, that of a sequence
        raw = purifying.levels(purifying.encode(scene(ImageSize(side, side))), "raw")
        target = np.zeros((side, side), bool)
        target[side // 4 : side * 3 // 4 + 1, side // 4 : side * 3 // 4 + 1] = True
        counted = np.ones_like(target)
        prompt = Prompt((Click(side / 2, side / 2),))
        loss, gradient = purifying.purification_gradient(raw, prompt, target, counted)
        parameters = purifying.purification_parameters()
        assert gradient
        assert all(value.shape == parameters[key].shape for key, value in gradient.items())
        norm = np.sqrt(sum(float(np.square(value).sum()) for value in gradient.values()))
        stepped = {**parameters, **{key: parameters[key] - 0.01 / norm * slope for key, slope in gradient.items()}}
        after, _ = purifying.with_purification(stepped).purification_gradient(raw, prompt, target, counted)
        assert after < loss


def test_a_runtime_that_was_not_registered_would_be_noticed() -> None:
    """Every classical method is here, and both that run networks."""
    assert {"graph-cut", "grabcut", "random-walker", "geodesic", "shipped", "tiny-network"} <= set(RUNTIMES)
