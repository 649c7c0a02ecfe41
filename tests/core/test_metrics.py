import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from saywhere import SaywhereError
from saywhere.core.metrics import (
    AuC,
    MeanIoU,
    NoC,
    NoF,
    PerObject,
    area,
    bootstrap_interval,
    boundary_iou,
    by_class,
    iou,
    seen_unseen,
)

masks = st.lists(st.booleans(), min_size=48, max_size=48).map(lambda v: np.array(v).reshape(6, 8))
unit = st.floats(0, 1)
runs = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.lists(unit, min_size=1, max_size=20), min_size=1)
KINDS = (lambda: NoC(0.85), lambda: NoF(0.9), lambda: MeanIoU(3), lambda: AuC(20))


def rectangle(height: int, width: int, x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y : y + h, x : x + w] = True
    return mask


def test_iou_by_hand() -> None:
    a, b = rectangle(4, 4, 0, 0, 3, 1), rectangle(4, 4, 1, 0, 3, 1)
    assert iou(a, b) == 2 / 4
    assert iou(a, b, rectangle(4, 4, 0, 0, 1, 1)) == 2 / 3


def test_an_empty_union_is_an_error() -> None:
    with pytest.raises(SaywhereError, match="empty union"):
        iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool))


@given(a=masks, b=masks)
def test_iou_is_symmetric_and_between_0_and_1(a: np.ndarray, b: np.ndarray) -> None:
    if (a | b).any():
        assert iou(a, b) == iou(b, a)
        assert 0.0 <= iou(a, b) <= 1.0
        assert (iou(a, b) == 1.0) == np.array_equal(a, b)


def test_boundary_iou_by_hand() -> None:
    # 60 x 80: the diagonal is 100 and the rim 2 wide. A 20 x 20 square's rim has 400 - 256 = 144 pixels.
    target = rectangle(60, 80, 20, 20, 20, 20)
    assert boundary_iou(target, target) == 1.0
    # Moved by a pixel to the right: of each rim's 144 pixels, rows 0, 1, 18 and 19 share 19 each; of the 16 rows
    # between, columns {0, 1, 18, 19} and {1, 2, 19, 20} share 2.
    moved = rectangle(60, 80, 21, 20, 20, 20)
    shared = 4 * 19 + 16 * 2
    assert boundary_iou(moved, target) == pytest.approx(shared / (2 * 144 - shared))
    # Interiors do not count: the boundaries of two large squares of different sizes have a low IoU.
    assert boundary_iou(rectangle(60, 80, 22, 22, 16, 16), target) < iou(rectangle(60, 80, 22, 22, 16, 16), target)


def test_the_border_of_the_photograph_is_a_boundary() -> None:
    everything = np.ones((60, 80), bool)
    assert boundary_iou(everything, everything) == 1.0
    assert boundary_iou(rectangle(60, 80, 0, 0, 78, 60), everything) < 0.9


def filled(metric: PerObject, *runs: list[float]) -> PerObject:
    for number, ious in enumerate(runs):
        metric.update(str(number), ious)
    return metric


def test_noc_and_nof_by_hand() -> None:
    some = [[0.5, 0.91, 0.3], [0.9], [0.1] * 19 + [0.95], [0.1] * 20]
    noc, nof = filled(NoC(0.9), *some), filled(NoF(0.9), *some)
    assert list(noc.values.values()) == [2, 1, 20, 20]  # the first time counts; at the last one is in time
    assert noc.compute() == 43 / 4
    assert nof.compute() == 1


def test_miou_uses_the_last_iou_of_a_finished_object() -> None:
    assert filled(MeanIoU(3), [0.5, 1.0], [0.1, 0.2, 0.6, 0.9]).compute() == pytest.approx(0.8)


def test_auc_by_hand() -> None:
    assert area([0.5, 1.0], 3) == pytest.approx((0.75 + 1.0) / 2)
    assert area([0.4], 1) == 0.4
    assert filled(AuC(20), [1.0]).compute() == 1.0


def test_means_of_classes_by_hand() -> None:
    classes = by_class({"1": 1.0, "2": 3.0, "3": 5.0, "4": 9.0}, {"1": "cat", "2": "cat", "3": "dog", "4": None})
    assert classes == {"cat": 2.0, "dog": 5.0}
    assert seen_unseen(classes, {"cat"}) == (2.0, 5.0)
    assert seen_unseen(classes, set()) == (None, 3.5)


@given(runs=runs, seed=st.integers(0, 100), make=st.sampled_from(KINDS))
def test_merging_in_any_order_gives_the_same_to_the_last_digit(runs, seed, make) -> None:  # type: ignore[no-untyped-def]
    whole = make()
    for name, ious in runs.items():
        whole.update(name, ious)
    rng = np.random.default_rng(seed)
    parts = [make() for _ in range(3)]
    for name in rng.permutation(sorted(runs)).tolist():
        for part in parts[: 1 + int(rng.integers(2))]:  # some objects are measured twice
            part.update(name, runs[name])
    first = parts[0].merge(parts[1]).merge(parts[2])
    assert first.compute() == whole.compute()


@given(ious=st.lists(unit, min_size=1, max_size=25), more=st.floats(0, 0.5))
def test_more_iou_never_costs_more_interactions(ious: list[float], more: float) -> None:
    better = [min(v + more, 1.0) for v in ious]
    assert filled(NoC(0.85), better).compute() <= filled(NoC(0.85), ious).compute()
    assert filled(AuC(20), better).compute() >= filled(AuC(20), ious).compute() - 1e-12


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(SaywhereError, match="no objects"):
        NoC(0.9).compute()
    with pytest.raises(SaywhereError, match="no interaction"):
        NoC(0.9).update("cat", [])


@pytest.mark.parametrize("count", [2, 7, 50])
def test_the_interval_equals_scipys(count: int) -> None:
    values = np.random.default_rng(count).random(count)
    rng = np.random.default_rng(0)
    theirs = bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=rng, batch=200)
    expected = theirs.confidence_interval
    assert bootstrap_interval(values.tolist()) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_the_interval_contains_the_mean_and_narrows_with_more_objects() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(5, 2, 30), rng.normal(5, 2, 3000)
    low, high = bootstrap_interval(few.tolist())
    assert low < few.mean() < high
    # Of a mean of n values with deviation s, 95 % lie within 1.96 s / sqrt(n).
    assert high - low == pytest.approx(2 * 1.96 * few.std() / math.sqrt(30), rel=0.15)
    narrow = bootstrap_interval(many.tolist())
    assert narrow[1] - narrow[0] < 0.2 * (high - low)
    assert bootstrap_interval([3.0]) == bootstrap_interval([3.0, 3.0]) == (3.0, 3.0)
