"""The nearest point of a ring is the one SciPy finds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from saywhere.core.polygons import NearestPoint


@pytest.mark.parametrize("count", [1, 3, 500])
def test_distances_are_scipys(count: int) -> None:
    rng = np.random.default_rng(count)
    ring, points = (rng.integers(0, 4000, (n, 2)).astype(float) / 2 for n in (count, 300))
    squared, numbers = NearestPoint(ring).query(points)
    expected, _ = cKDTree(ring).query(points)
    assert np.sqrt(squared) == pytest.approx(expected, rel=1e-6)
    assert np.hypot(*(ring[numbers] - points).T) == pytest.approx(expected, rel=1e-6)
