"""Proposals from what was accepted before, by the shipped network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from annotator import picture
from saywhere.annotate.learning import BySequence
from saywhere.annotate.masks import Region
from saywhere.loading import load_runner
from saywhere.prompt import Click
from saywhere.segmenter import Segmenter, Settings


def test_an_accepted_object_is_found_again_once_each(tmp_path: Path) -> None:
    runner, settings = load_runner(device="cpu"), Settings()
    proposer = BySequence(runner, settings, tmp_path)
    first = Segmenter(runner, settings).set_image(picture([(300, 200, 60)]))
    told = first.another()
    told.add(Click(300, 200))
    truth = Region(0, 0, picture([(300, 200, 60)])[..., 0] > 150)
    for _ in range(2):
        proposer.learn(told, "zqx", truth, (1, 1, 1))
    sequence = proposer._of("zqx")
    assert len(sequence.memory.numbers) == 1, "the same mask teaches once"
    proposer.learn(told, "zqx", truth, (1, 1, 2))
    assert len(sequence.memory.numbers) == 1, "another mask of the same object takes its place"
    pixels = picture([(160, 330, 60)])
    second = Segmenter(runner, settings).set_image(pixels)
    found = proposer.propose(second, "zqx", [])
    assert found is not None
    assert pixels[round(found.click.y), round(found.click.x), 0] > 150
    assert max(found.confidence.shape) <= 384
    assert proposer.propose(second, "zqx", [Region(0, 0, np.ones((480, 640), np.bool_))]) is None
    proposer.close()
    assert list(tmp_path.glob("*"))
