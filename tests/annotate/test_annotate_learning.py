"""Proposals from what was accepted before, by the shipped network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from annotator import picture

from saywhere.annotate.brush import Region
from saywhere.annotate.inference.learning import BySequence
from saywhere.annotate.inference.segmenters import SegmenterCache
from saywhere.annotate.photos import Opened
from saywhere.core.prompt import Click
from saywhere.core.settings import Settings
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.torch import TorchRuntime
from saywhere.runtime.weights import load_runtime


def test_an_accepted_object_is_found_again_once_each(tmp_path: Path) -> None:
    runtime, settings = load_runtime(device="cpu"), Settings()
    proposer = BySequence(runtime, settings, tmp_path)
    first = Segmenter(runtime, settings).set_image(picture([(300, 200, 60)]))
    told = first.new_object()
    told.add(Click(300, 200))
    truth = Region(0, 0, picture([(300, 200, 60)])[..., 0] > 150)
    for _ in range(2):
        proposer.learn(told, "zqx", truth, (1, 1, 1))
    sequence = proposer._of("zqx")
    assert len(sequence.memory.numbers) == 1, "the same mask teaches once"
    proposer.learn(told, "zqx", truth, (1, 1, 2))
    assert len(sequence.memory.numbers) == 1, "another mask of the same object takes its place"
    pixels = picture([(160, 330, 60)])
    second = Segmenter(runtime, settings).set_image(pixels)
    found = proposer.propose(second, "zqx", [])
    assert found is not None
    assert pixels[round(found.click.y), round(found.click.x), 0] > 150
    assert max(found.confidence.shape) <= 384
    assert proposer.propose(second, "zqx", [Region(0, 0, np.ones((480, 640), np.bool_))]) is None
    proposer.close()
    assert list(tmp_path.glob("*"))


def test_masks_of_a_label_come_from_what_it_has_learned(tmp_path: Path) -> None:
    # Without the closer look, which would lie around each one's own first mask.
    runtime, settings = load_runtime(device="cpu"), Settings(zoom=False)
    proposer = BySequence(runtime, settings, tmp_path)
    segmenters = SegmenterCache(runtime, settings, adapted=proposer.adapted)
    places = [(300, 200, 60), (160, 330, 60)]
    first, second = (Opened(picture([place]), f"photograph {place}") for place in places)
    click = (Click(300, 200),)
    assert segmenters.stand(first, (1, 1), click, "zqx").runtime is runtime, "nothing is learned yet"
    truth = Region(0, 0, first.pixels[..., 0] > 150)
    proposer.learn(segmenters.stand(first, (1, 1), click, "zqx"), "zqx", truth, (1, 1, 1))
    proposer._of("zqx").wait()
    assert segmenters.stand(first, (1, 2), click, "zqx").runtime is runtime, "a photograph is seen with one set of them"
    looks: list[int] = []
    encode = runtime.encode
    runtime.encode = lambda image: (looks.append(1), encode(image))[1]  # type: ignore[method-assign]
    click = (Click(160, 330),)
    plain = segmenters.stand(second, (2, 1), click)
    seen = len(looks)
    learned = segmenters.stand(second, (2, 2), click, "zqx")
    other = segmenters.stand(second, (2, 3), click, "something else")
    assert other.runtime is runtime
    assert learned.runtime is proposer.adapted("zqx")
    assert plain.mask is not None
    assert learned.mask is not None
    assert plain.mask.crop == learned.mask.crop
    assert len(looks) == seen, "what is learned needs no second look"
    assert np.abs(plain.mask.logits - learned.mask.logits).max() > 1e-3
    whole = learned.encoded.full_crop
    again = TorchRuntime.encode(learned.runtime, whole.crop(second.pixels))  # type: ignore[arg-type]
    for ours, theirs in zip(learned.encoded.features(whole).levels["pure"], again.levels["pure"], strict=True):
        assert np.allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
    proposer.close()
