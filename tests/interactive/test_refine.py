"""Graph cut after an answer."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from conftest import ColourRuntime, disc
from saywhere import SaywhereError, Segmenter, Settings
from saywhere.interactive.refine import graph_cut


def test_the_cut_follows_the_edge_of_the_photograph() -> None:
    photo = np.full((40, 60, 3), 40, np.uint8)
    photo[:, 30:] = 220
    x = np.arange(60)
    # Unsure where the edge is: the answer ends four pixels too early, faintly.
    logits = np.broadcast_to(np.clip((x - 33.5) / 8.0, -6.0, 6.0), (40, 60)).astype(np.float32)
    assert not (logits > 0)[:, 30].any()
    refined = graph_cut(photo, logits)
    assert ((refined > 0) == (x >= 30)).all()
    assert refined.dtype == np.float32
    assert refined[0, 59] == logits[0, 59]  # as sure as before where nothing changed


def test_a_sure_answer_stays_and_nothing_is_made_of_nothing() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    inside = disc(20, 20, 10, 10, 6)
    logits = np.where(inside, 30.0, -30.0).astype(np.float32)
    assert ((graph_cut(photo, logits) > 0) == inside).all()
    assert (graph_cut(photo, np.full((20, 20), -9.0, np.float32)) < 0).all()
    assert graph_cut(photo[:1, :1], logits[:1, :1]).shape == (1, 1)


def test_the_segmenter_shows_it_and_does_not_feed_it_back(
    runtime: ColourRuntime, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saywhere.interactive.decoding.REFINEMENTS", {"graph-cut": lambda image, logits: -logits})
    plain = Segmenter(runtime, Settings(previous_mask_from=1)).set_image(photo)
    turned = Segmenter(runtime, Settings(previous_mask_from=1, refine="graph-cut")).set_image(photo)
    for segmenter in (plain, turned):
        segmenter.click(300, 200)
        segmenter.click(305, 200)
    first, second = plain.mask, turned.mask
    assert first is not None
    assert second is not None
    assert (first.logits == second.logits).all()
    assert second.crop == first.crop
    assert second.array[200, 300] != first.array[200, 300]
    masks, _, logits = turned.predict([[300, 200]], [1])
    assert not masks[0, 200, 300]
    assert logits.max() > 0


def test_an_unknown_one_and_a_missing_library_are_named(
    runtime: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SaywhereError, match="graph-cut"):
        Segmenter(runtime, Settings(refine="magic"))
    for name in ("scipy", "scipy.sparse", "scipy.sparse.csgraph"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SaywhereError, match=r"scipy.*saywhere\[bench\]"):
        graph_cut(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32))
