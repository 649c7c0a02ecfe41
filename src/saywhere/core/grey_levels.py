"""Values of more than 8 bits, and floats, as 8 bits: which range of them is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 65535.0  # of 16 bits
NODATA: Final = frozenset({-999.0, -9999.0, -99999.0, -32767.0, -32768.0, FULL_SCALE})
"""What programs write where nothing was measured, or where the sensor was saturated."""
HUGE = 1e20  # from here on a value is no measurement: netCDF writes 9.97e36 for none, GDAL -3.4e38
OUTLIER_GAP = 20.0  # an extreme value that is this many times the others' range away from them is none of them
MAX_OUTLIERS = 4  # values at most that are left out

Band = NDArray[Any]
Bands = Callable[[], Iterable[Band]]


@dataclass(frozen=True)
class ValueRange:
    """The values that become 0 and 255."""

    low: float
    high: float

    def apply(self, values: Band) -> NDArray[np.uint8]:
        """Scale values to 0 to 255; those outside the range become its ends, NaN becomes 0."""
        wide = np.clip(np.nan_to_num(values.astype(np.float64), nan=self.low), self.low, self.high)
        return np.asarray(np.rint((wide - self.low) * (255.0 / ((self.high - self.low) or 1.0))), np.uint8)


def value_range(bands: Bands, is_integer: bool, nodata: float | None = None) -> ValueRange:
    """The range of an image's values of more than 8 bits that is shown.

    Integers that reach the upper half of 16 bits, or are all equal, are shown by their full scale. All others, such as
    12-bit and scientific images, are shown by the range of their own values, without those that stand for no
    measurement: infinite ones, customary ones such as -9999, and extreme ones far from all others.

    Args:
        bands: returns the values, in any number of parts.
        is_integer: whether they are integers.
        nodata: a further value that stands for no measurement.

    Example:
        >>> value_range(lambda: [np.array([0.25, 0.5, -9999.0, np.inf])], False)
        ValueRange(low=0.25, high=0.5)
        >>> value_range(lambda: [np.array([7, 50_000])], True)
        ValueRange(low=0.0, high=65535.0)
    """
    no_values = NODATA if nodata is None else NODATA | {nodata}
    low, high = _extremes(bands, -HUGE, HUGE)
    if low > high:
        return ValueRange(0.0, 0.0)
    for _ in range(MAX_OUTLIERS):
        # Without the smallest or the largest value: what is left of the range.
        next_low, next_high = _extremes(bands, low, high)
        if next_low > next_high:
            break
        if low in no_values or next_low - low > OUTLIER_GAP * (high - next_low) > 0.0:
            low = next_low
        elif high in no_values or high - next_high > OUTLIER_GAP * (next_high - low) > 0.0:
            high = next_high
        else:
            break
    uses_full_scale = high >= (FULL_SCALE + 1.0) / 2.0 or low == high
    if is_integer and low >= 0.0 and high <= FULL_SCALE and uses_full_scale:
        return ValueRange(0.0, FULL_SCALE)
    return ValueRange(low, high)


def _extremes(bands: Bands, above: float, below: float) -> tuple[float, float]:
    """The smallest and the largest value strictly between two others; in reversed order where there is none."""
    low, high = np.inf, -np.inf
    for band in bands():
        inside = band[(band > above) & (band < below)]
        if inside.size:
            low, high = min(low, float(inside.min())), max(high, float(inside.max()))
    return low, high
