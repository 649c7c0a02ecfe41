"""Proposals from what was accepted before, by the shipped network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotator import picture

from saywhere.annotate.image_folder import LoadedImage
from saywhere.annotate.inference.learning import SequenceProposer
from saywhere.annotate.inference.segmenters import MAX_STEPS, SegmenterCache
from saywhere.annotate.region import Region
from saywhere.core.prompt import Click
from saywhere.core.settings import Settings
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence.state import state_path
from saywhere.runtime.onnx import OnnxRuntime
from saywhere.runtime.weights import load_runtime


def test_an_accepted_object_is_proposed_in_the_next_image(tmp_path: Path) -> None:
    runtime, settings = load_runtime(device="cpu"), Settings()
    proposer = SequenceProposer(runtime, settings, tmp_path)
    first = Segmenter(runtime, settings).set_image(picture([(300, 200, 60)]))
    segmenter = first.new_object()
    segmenter.add(Click(300, 200))
    truth = Region(0, 0, picture([(300, 200, 60)])[..., 0] > 150)
    for _ in range(2):
        proposer.learn(segmenter, "zqx", truth, (1, 1, 1))
    sequence = proposer._sequence("zqx")
    assert len(sequence.memory.numbers) == 1, "the same mask teaches once"
    proposer.learn(segmenter, "zqx", truth, (1, 1, 2))
    assert len(sequence.memory.numbers) == 1, "another mask of the same object takes its place"
    pixels = picture([(160, 330, 60)])
    second = Segmenter(runtime, settings).set_image(pixels)
    proposal = proposer.propose(second, "zqx", [])
    assert proposal is not None
    assert pixels[round(proposal.click.y), round(proposal.click.x), 0] > 150
    assert max(proposal.confidence.shape) <= 384
    assert proposer.propose(second, "zqx", [Region(0, 0, np.ones((480, 640), np.bool_))]) is None
    likely = proposer.likelihood(second, "zqx", [])
    assert likely is not None
    y, x = np.unravel_index(likely.argmax(), likely.shape)
    assert pixels[round(y * 480 / likely.shape[0]), round(x * 640 / likely.shape[1]), 0] > 150
    assert proposer.likelihood(second, "never seen", []) is None
    assert proposer.likelihood(second, "never seen", [Region(0, 0, pixels[..., 0] > 150)]) is not None
    proposer.close()
    assert list(tmp_path.glob("*"))


def test_a_damaged_sequence_is_named(tmp_path: Path) -> None:
    runtime, settings = load_runtime(device="cpu"), Settings()
    state_path(tmp_path, "zqx").write_bytes(b"cut off")
    proposer = SequenceProposer(runtime, settings, tmp_path)
    assert proposer.fault("zqx") is None, "it was not asked for yet"
    with pytest.warns(UserWarning, match="damaged or cut short"):
        assert proposer.adapted_runtime("zqx") is None
    fault = proposer.fault("zqx")
    assert fault is not None
    assert "damaged or cut short" in fault
    assert "continues without learning" in fault
    assert proposer.fault("another label") is None
    proposer.close()


def test_memory_is_counted_as_it_is(tmp_path: Path) -> None:
    runtime, image = load_runtime(device="cpu"), LoadedImage(picture([(300, 200, 60)]), "image")
    settings = Settings(zoom_size=384, later_zoom_size=384)  # the masks of all steps have one size
    cache = SegmenterCache(runtime, settings, max_bytes=1 << 30)
    interactions: tuple[Click, ...] = ()
    counted = []
    for number in range(MAX_STEPS + 6):
        interactions = (*interactions, Click(290.0 + number, 200.0))
        cache.segmenter_for(image, (1, 1), interactions)
        counted.append(cache._images["image"].bytes)
    kept = cache._images["image"].by_object[(1, 1)]
    assert kept.segmenter.undoable == MAX_STEPS
    assert kept.bytes >= (MAX_STEPS + 1) * 3 * 100_000 * 4
    assert counted[-1] < counted[MAX_STEPS] + 3_000_000, "it does not grow with the interactions"
    cache.segmenter_for(image, (1, 2), interactions[:1])
    assert kept.segmenter.undoable == 0, "only the object that is worked on keeps its steps"
    undone = cache.segmenter_for(image, (1, 1), interactions[:-1])
    assert len(undone.prompt.clicks) == len(interactions) - 1
    assert cache._images["image"].feature_bytes > 5_000_000
    for number in range(6):
        cache.segmenter_for(LoadedImage(image.pixels, str(number)), (2 + number, 1), interactions[:1])
    cache.make_room(1 << 30)
    assert not cache._images


def test_masks_of_a_label_come_from_what_it_has_learned(tmp_path: Path) -> None:
    # Without the closer look, which would lie around each one's own first mask.
    runtime, settings = load_runtime(device="cpu"), Settings(zoom=False)
    proposer = SequenceProposer(runtime, settings, tmp_path)
    segmenters = SegmenterCache(runtime, settings, adapted_runtime=proposer.adapted_runtime)
    discs = [(300, 200, 60), (160, 330, 60)]
    first, second = (LoadedImage(picture([disc]), f"image {disc}") for disc in discs)
    click = (Click(300, 200),)
    assert segmenters.segmenter_for(first, (1, 1), click, "zqx").runtime is runtime, "nothing is learned yet"
    truth = Region(0, 0, first.pixels[..., 0] > 150)
    proposer.learn(segmenters.segmenter_for(first, (1, 1), click, "zqx"), "zqx", truth, (1, 1, 1))
    proposer._sequence("zqx").wait()
    assert segmenters.segmenter_for(first, (1, 2), click, "zqx").runtime is runtime, "an image keeps its parameters"
    encoded: list[int] = []
    encode = runtime.encode
    runtime.encode = lambda image: (encoded.append(1), encode(image))[1]  # type: ignore[method-assign]
    click = (Click(160, 330),)
    shipped = segmenters.segmenter_for(second, (2, 1), click)
    before = len(encoded)
    learned = segmenters.segmenter_for(second, (2, 2), click, "zqx")
    other = segmenters.segmenter_for(second, (2, 3), click, "something else")
    assert other.runtime is runtime
    assert learned.runtime is proposer.adapted_runtime("zqx")
    assert shipped.mask is not None
    assert learned.mask is not None
    assert shipped.mask.crop == learned.mask.crop
    assert len(encoded) == before, "an adapted network needs no second encoding"
    assert np.abs(shipped.mask.logits - learned.mask.logits).max() > 1e-3
    whole = learned.encoded.full_crop
    adapted = learned.runtime
    assert isinstance(adapted, OnnxRuntime)
    again = OnnxRuntime.encode(adapted, whole.crop(second.pixels))
    purified = learned.encoded.features(whole)
    for ours, theirs in zip(adapted.levels(purified, "pure"), adapted.levels(again, "pure"), strict=True):
        assert np.allclose(ours, theirs, atol=1e-5)
    proposer.close()
