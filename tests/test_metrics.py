import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saywhere import SaywhereError
from saywhere.metrics import MeanIoU, NoC, iou


def test_iou_by_hand() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[0, :3], b[0, 1:] = True, True
    assert iou(a, b) == 2 / 4
    ignore = np.zeros((4, 4), bool)
    ignore[0, 0] = True
    assert iou(a, b, ignore) == 2 / 3
    assert iou(a, b) == iou(b, a)


def test_an_empty_union_is_an_error_and_no_division() -> None:
    with pytest.raises(SaywhereError, match="empty union"):
        iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool))


def test_noc_by_hand() -> None:
    noc = NoC(0.9)
    noc.update([0.5, 0.91, 0.3])  # the first time counts, whatever comes after
    noc.update([0.9])
    noc.update([0.1] * 19 + [0.95])  # reached at the last one
    noc.update([0.1] * 20)
    assert noc.interactions == [2, 1, 20, 20]
    assert noc.compute() == 43 / 4
    assert noc.failures == 1


def test_miou_keeps_the_last_of_an_object_that_was_finished() -> None:
    mean = MeanIoU(3)
    mean.update([0.5, 1.0])
    mean.update([0.1, 0.2, 0.6, 0.9])
    assert mean.compute() == pytest.approx(0.8)


@given(ious=st.lists(st.floats(0, 1), min_size=1, max_size=25), more=st.floats(0, 0.5))
def test_noc_never_rises_when_iou_does(ious: list[float], more: float) -> None:
    worse, better = NoC(0.85), NoC(0.85)
    worse.update(ious)
    better.update([min(v + more, 1.0) for v in ious])
    assert better.compute() <= worse.compute()
