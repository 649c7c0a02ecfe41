"""Classical methods do what their names say on a photograph that is easy for them."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import disc
from saywhere import Click, Prompt, Segmenter, metrics
from saywhere.classical import CLASSICAL, SETTINGS, Seeds
from saywhere.classical.graphcut import colour_cost, cut


@pytest.fixture
def small() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = disc(96, 128, 60, 50, 25)
    photo = np.where(target[..., None], (210, 60, 40), (40, 90, 170)) + rng.normal(0, 8, (96, 128, 3))
    return np.clip(photo, 0, 255).astype(np.uint8), target


@pytest.mark.parametrize("name", sorted(CLASSICAL))
class TestEveryMethod:
    def test_two_clicks_find_an_object_of_one_colour(self, name: str, small: tuple[np.ndarray, np.ndarray]) -> None:
        photo, target = small
        segmenter = Segmenter(CLASSICAL[name](), SETTINGS).set_image(photo)
        segmenter.drag(60, 50, radius=15)
        mask = segmenter.drag(15, 80, radius=12, positive=False)
        assert metrics.iou(mask.array, target) > 0.9

    def test_clicks_are_obeyed(self, name: str, small: tuple[np.ndarray, np.ndarray]) -> None:
        photo, _ = small
        segmenter = Segmenter(CLASSICAL[name](), SETTINGS).set_image(photo)
        segmenter.click(60, 50)
        segmenter.click(110, 20, positive=False)
        mask = segmenter.click(20, 20)
        assert mask.array[50, 60]
        assert mask.array[20, 20]
        assert not mask.array[20, 110]

    def test_the_same_twice(self, name: str, small: tuple[np.ndarray, np.ndarray]) -> None:
        photo, _ = small
        first, second = (Segmenter(CLASSICAL[name](), SETTINGS).set_image(photo).click(60, 50) for _ in range(2))
        assert np.array_equal(first.logits, second.logits)

    @pytest.mark.parametrize("size", [(1, 1), (1, 40), (12, 9)])
    def test_tiny_photographs(self, name: str, size: tuple[int, int]) -> None:
        runner = CLASSICAL[name]()
        features = runner.encode(np.full((*size, 3), 90, np.uint8))
        assert runner.decode(features, Prompt((Click(0, 0),)), None).shape == size


def test_a_later_seed_overrules_an_earlier_one() -> None:
    seeds = Seeds.of(Prompt((Click(10, 10, True, 8.0), Click(10, 10, False))), (30, 30))
    assert seeds.off[10, 10]
    assert not seeds.on[10, 10]
    assert seeds.on[10, 16]
    assert not (seeds.on & seeds.off).any()


def test_without_a_negative_click_the_border_is_off() -> None:
    seeds = Seeds.of(Prompt((Click(10, 10),)), (30, 30)).with_border()
    assert seeds.off[0].all()
    assert seeds.off[:, -1].all()
    assert not seeds.off[1:-1, 1:-1].any()


def test_the_cut_is_the_cheapest() -> None:
    """All sixteen divisions of 2x2 pixels, by hand."""
    image = np.array([[[0, 0, 0], [90, 90, 90]], [[20, 20, 20], [200, 200, 200]]], np.uint8)
    rng = np.random.default_rng(1)
    nobody = Seeds(np.zeros((2, 2), bool), np.zeros((2, 2), bool))
    import cv2

    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(float)
    pairs = [((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0), (1, 0)), ((0, 1), (1, 1))]
    contrast = [((lab[p] - lab[q]) ** 2).sum() for p, q in pairs]
    beta = 1 / (2 * np.mean(contrast))
    for _ in range(20):
        on, off = rng.uniform(0, 3, (2, 2, 2))
        costs = {}
        for code in range(16):
            inside = np.array([code >> i & 1 for i in range(4)], bool).reshape(2, 2)
            edges = sum(np.exp(-beta * c) for (p, q), c in zip(pairs, contrast, strict=True) if inside[p] != inside[q])
            costs[code] = on[inside].sum() + off[~inside].sum() + edges
        best = min(costs, key=costs.__getitem__)
        found = cut(image, on, off, nobody, smoothness=1.0)
        assert sum(int(v) << i for i, v in enumerate(found.ravel())) == best


def test_a_colour_that_was_seen_costs_less() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 4:] = 250
    cost = colour_cost(image, np.arange(8)[None, :].repeat(4, 0) < 4)
    assert cost[0, 0] < cost[0, 7]
