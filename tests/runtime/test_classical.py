"""Classical methods do what their names say on a photograph that is easy for them."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.segmentation import random_walker

from conftest import disc
from saywhere import Click, Prompt, Segmenter
from saywhere.core import metrics
from saywhere.core.graphcut import boundary_weights, cut
from saywhere.runtime.classical import CLASSICAL, SETTINGS, Seeds
from saywhere.runtime.classical.colours import MIN_DEVIATION, UNIFORM_WEIGHT, colour_cost, sample_colours
from saywhere.runtime.classical.randomwalker import BETA, RandomWalker, object_probability


@pytest.fixture
def small() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = disc(96, 128, 60, 50, 25)
    photo = np.where(target[..., None], (210, 60, 40), (40, 90, 170)) + rng.normal(0, 8, (96, 128, 3))
    return np.clip(photo, 0, 255).astype(np.uint8), target


def encoded(behind: list[tuple[int, int, int]], *on: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A disc of one colour or two before four quarters of the colours ``behind``."""
    rng = np.random.default_rng(0)
    target = disc(180, 240, 120, 90, 45)
    rows, columns = np.mgrid[:180, :240]
    quarters = np.array(behind)[2 * (rows >= 90) + (columns >= 120)]
    photo = np.where(target[..., None], np.where((rows < 85)[..., None], on[0], on[-1]), quarters)
    return np.clip(photo + rng.normal(0, 8, photo.shape), 0, 255).astype(np.uint8), target


COLOURFUL = encoded([(40, 90, 170), (60, 150, 60), (120, 120, 120), (230, 220, 120)], (210, 60, 40))
DULL = encoded([(100, 115, 125)] * 4, (150, 110, 95))


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
        runtime = CLASSICAL[name]()
        features = runtime.encode(np.full((*size, 3), 90, np.uint8))
        assert runtime.decode(features, Prompt((Click(0, 0),)), None).shape == size


def test_a_later_seed_overrules_an_earlier_one() -> None:
    seeds = Seeds.from_prompt(Prompt((Click(10, 10, True, 8.0), Click(10, 10, False))), (30, 30))
    assert seeds.background[10, 10]
    assert not seeds.foreground[10, 10]
    assert seeds.foreground[10, 16]
    assert not (seeds.foreground & seeds.background).any()


class TestBorder:
    def test_it_is_off_whatever_else_is_clicked(self) -> None:
        seeds = Seeds.from_prompt(Prompt((Click(40, 40), Click(20, 60, False))), (80, 100)).with_border()
        assert seeds.background[0].all()
        assert seeds.background[:, -1].all()
        assert seeds.background[60, 20]
        assert seeds.background[1:-1, 1:-1].sum() < 20

    def test_near_a_positive_click_it_may_be_the_objects(self) -> None:
        seeds = Seeds.from_prompt(Prompt((Click(4, 40),)), (80, 100)).with_border()
        assert not seeds.background[40, 0]
        assert seeds.background[0, 0]
        assert seeds.background[:, -1].all()


@pytest.mark.parametrize("name", sorted(CLASSICAL))
class TestAllSides:
    @pytest.mark.parametrize("made", [COLOURFUL, DULL], ids=["colourful", "dull"])
    def test_a_negative_click_spoils_nothing_elsewhere(self, name: str, made: tuple[np.ndarray, np.ndarray]) -> None:
        """It names one corner of one quarter; the other sides stay off the object, in all their colours."""
        photo, target = made
        segmenter = Segmenter(CLASSICAL[name](), SETTINGS).set_image(photo)
        before = metrics.iou(segmenter.click(120, 90).array, target)
        after = metrics.iou(segmenter.click(15, 15, positive=False).array, target)
        assert before > 0.6
        assert after > before - 0.05

    def test_an_object_that_runs_off_the_photograph(self, name: str) -> None:
        photo, target = (a[:, 120:] for a in DULL)
        segmenter = Segmenter(CLASSICAL[name](), SETTINGS).set_image(photo)
        segmenter.drag(15, 90, radius=15)
        segmenter.click(3, 60)
        mask = segmenter.click(3, 120)
        assert mask.array[60:120, 0].all()
        assert metrics.iou(mask.array, target) > 0.85


@pytest.mark.parametrize("name", ["graph-cut", "grabcut"])
def test_a_thing_alike_elsewhere_was_not_asked_for(name: str) -> None:
    target, other = disc(96, 128, 35, 50, 20), disc(96, 128, 95, 50, 20)
    rng = np.random.default_rng(0)
    photo = np.where((target | other)[..., None], (210, 60, 40), (40, 90, 170)) + rng.normal(0, 8, (96, 128, 3))
    segmenter = Segmenter(CLASSICAL[name](), SETTINGS).set_image(np.clip(photo, 0, 255).astype(np.uint8))
    mask = segmenter.drag(35, 50, radius=15)
    assert metrics.iou(mask.array, target) > 0.9
    assert not mask.array[other].any()


def test_grabcut_leaves_an_answer_that_collapsed() -> None:
    photo, target = encoded(
        [(40, 90, 170), (60, 150, 60), (120, 120, 120), (230, 220, 120)], (210, 60, 40), (190, 80, 180)
    )
    runtime, prompt = CLASSICAL["grabcut"](), Prompt((Click(120, 75), Click(30, 150, False)))
    only_the_seed = Seeds.from_prompt(prompt, target.shape).foreground.astype(np.float32)
    found = runtime.decode(runtime.encode(photo), prompt, only_the_seed) > 0
    assert metrics.iou(found, target) > 0.9


def test_the_walk_is_scikit_images(small: tuple[np.ndarray, np.ndarray]) -> None:
    photo, target = small
    seeds = Seeds.from_prompt(Prompt((Click(60, 50), Click(60, 20, False))), target.shape).with_border()
    labels = np.where(seeds.background, 2, seeds.foreground.astype(int))
    theirs = random_walker(photo / 255.0, labels, beta=BETA, mode="bf", return_full_prob=True, channel_axis=-1)[0]
    ours = object_probability(RandomWalker().encode(photo), seeds)
    assert np.abs(ours - theirs).max() < 0.02
    again = object_probability(RandomWalker().encode(photo), seeds, ours.astype(np.float32)[::-1])  # from a bad guess
    assert np.abs(again - theirs).max() < 0.02


def test_the_cut_is_the_cheapest() -> None:
    """All sixteen divisions of 2x2 pixels, by hand."""
    image = np.array([[[0, 0, 0], [90, 90, 90]], [[20, 20, 20], [200, 200, 200]]], np.uint8)
    rng = np.random.default_rng(1)
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
        found = cut(image, on, off, smoothness=1.0)
        assert sum(int(v) << i for i, v in enumerate(found.ravel())) == best


def test_the_cut_is_the_cheapest_in_a_strip_of_many_pixels() -> None:
    """Dynamic programming over a strip of 1x40 pixels gives the same division."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        image = rng.integers(0, 255, (1, 40, 3)).astype(np.uint8)
        on, off = rng.uniform(0, 3, (2, 1, 40))
        weights = boundary_weights(image, 1.5)[0][0]
        cost, choices = np.array([off[0, 0], on[0, 0]]), []
        for k in range(1, 40):
            paths = cost[:, None] + weights[k - 1] * np.array([[0, 1], [1, 0]])
            choices.append(paths.argmin(0))
            cost = paths.min(0) + np.array([off[0, k], on[0, k]])
        best = [int(cost.argmin())]
        for choice in reversed(choices):
            best.append(int(choice[best[-1]]))
        assert cut(image, on, off, smoothness=1.5)[0].tolist() == [bool(side) for side in reversed(best)]


def test_seeds_overrule_any_cost() -> None:
    image = np.full((3, 3, 3), 90, np.uint8)
    one, other = np.zeros((3, 3), bool), np.zeros((3, 3), bool)
    one[0, 0], other[2, 2] = True, True
    costs = np.full((3, 3), 1e9)
    inside = cut(image, costs, np.zeros((3, 3)), one, other)
    assert inside[0, 0]
    assert inside.sum() == 1
    inside = cut(image, np.zeros((3, 3)), costs, one, other)
    assert not inside[2, 2]
    assert inside.sum() == 8


def test_equal_costs_give_the_smaller_object() -> None:
    image, nothing = np.full((2, 2, 3), 90, np.uint8), np.zeros((2, 2))
    assert not cut(image, nothing, nothing).any()


def test_a_colour_that_was_seen_costs_less() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 4:] = 250
    cost = colour_cost(image, sample_colours(image, np.arange(8)[None, :].repeat(4, 0) < 4))
    assert cost[0, 0] < cost[0, 7]


def test_a_mixture_of_one_gaussian_by_hand() -> None:
    """Grey 100 and 110, alike often: mean 105, variance 25 + MIN_DEVIATION^2 along grey, MIN_DEVIATION^2 across it."""
    image = np.array([[[100] * 3, [110] * 3, [105] * 3]], np.uint8)
    cost = colour_cost(image, np.repeat(image[0, :2], 50, axis=0).astype(np.float32), components=1)
    along, across = 3 * 25 + MIN_DEVIATION**2, MIN_DEVIATION**2
    peak = (1 - UNIFORM_WEIGHT) / np.sqrt((2 * np.pi) ** 3 * along * across**2)
    assert cost[0, 2] == pytest.approx(-np.log(peak + UNIFORM_WEIGHT / 256**3), rel=1e-5)
    away = peak * np.exp(-0.5 * 3 * 5**2 / along)
    assert cost[0, 0] == pytest.approx(-np.log(away + UNIFORM_WEIGHT / 256**3), rel=1e-5)
