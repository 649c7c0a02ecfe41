"""The robot user: simulates a person's clicks from the ground truth.

All masks are ``(H, W)`` bool. The robot never clicks on pixels of ``ignore``, which do not count. For evaluation it is
deterministic (:func:`first_click`, :func:`next_click`); for training it samples clicks as Xu et al. (2016) do, whom
PhraseClick and Text+Click cite.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray
from saywhere.core.deprecation import renamed_arguments
from saywhere.core.geometry import Box
from saywhere.core.prompt import Click
from saywhere.errors import SaywhereError

MAX_TRIES = 20  # of a tap; if all miss the object, the tap is moved onto it
TAP_DEPTH = 0.5  # least distance of a tap from the boundary, over that of the centre
RIM_DEPTH, RIM_PIXELS = 0.2, 3.0  # largest distance of a click near the rim: over that of the centre, or in pixels
TAP_JITTER = 50.0  # largest offset of a tap from the centre of mass on each axis, in pixels (Multi-Stage Fusion)
ClickPlace = Literal["centre", "tap", "uniform", "rim", "tap-50"]
"""Where a single first click is, see :func:`click_at`."""
NEGATIVE_STRATEGIES = ("rim", "objects", "anywhere")


def _distances(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The distance from each pixel ``(H, W)`` to the nearest pixel that is 0, correctly rounded.

    Squared distances are whole numbers. OpenCV's square roots are sometimes wrong in the last bit, which differs from
    call to call, but of several equally distant pixels the robot must always choose the same one.
    """
    distances = cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.sqrt(np.rint(np.square(distances))), np.float32)


def boundary_distance(region: BoolArray) -> NDArray[np.float32]:
    """Distance from each pixel of a region to its boundary.

    Args:
        region: ``(H, W)``.

    Returns:
        ``(H, W)``, pixels to the nearest pixel outside the region or the image; 0 outside the region.
    """
    pixels = region.astype(np.uint8)
    distance = np.zeros(region.shape, np.float32)
    # The region's bounding box is enough: its border is nearer than any pixel outside it.
    x, y, w, h = cv2.boundingRect(pixels)
    if w:
        padded = np.pad(pixels[y : y + h, x : x + w], 1)
        distance[y : y + h, x : x + w] = _distances(padded)[1:-1, 1:-1]
    return distance


def _centre(region: BoolArray, positive: bool, drag: bool) -> Click:
    """A click at the point of a region farthest from its boundary."""
    distance = boundary_distance(region)
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    radius = float(distance[row, column]) if drag else None
    return Click(float(column), float(row), positive, radius)


def first_click(target: BoolArray, ignore: BoolArray | None = None, drag: bool = False) -> Click:
    """The first click: the point of the object farthest from its boundary.

    Args:
        target: the object.
        ignore: pixels that do not count.
        drag: whether the click is dragged to the boundary.

    Raises:
        SaywhereError: the object has no counted pixel.

    Example:
        >>> target = np.zeros((20, 30), bool)
        >>> target[5:14, 10:19] = True
        >>> click = first_click(target)
        >>> click.x, click.y
        (14.0, 9.0)
    """
    region = target if ignore is None else target & ~ignore
    if not region.any():
        raise SaywhereError("empty target: the object has no counted pixel, so no click can be placed; check the mask")
    return _centre(region, True, drag)


def click_at(place: ClickPlace, target: BoolArray, rng: np.random.Generator) -> Click:
    """One click on the object, where people click.

    Args:
        place: "centre", the pixel farthest from the boundary; "tap", a pixel at least half as far from it; "uniform",
            any pixel; "rim", a pixel near the boundary; "tap-50", see :func:`tap`.
        target: ``(H, W)``, the object; it has a pixel.
        rng: decides the rest.
    """
    if place == "centre":
        return first_click(target)
    if place == "tap-50":
        return tap(target, rng)
    depth = boundary_distance(target)
    deepest = float(depth.max())
    pixels = {
        "tap": depth >= TAP_DEPTH * deepest,
        "uniform": target,
        "rim": target & (depth <= max(RIM_DEPTH * deepest, RIM_PIXELS)),
    }[place]
    flat = np.flatnonzero(pixels)
    row, column = divmod(int(flat[rng.integers(flat.size)]), target.shape[1])
    return Click(float(column), float(row))


def jittered_box(target: BoolArray, jitter: float, rng: np.random.Generator) -> Box:
    """A box around an object as a person draws it.

    Args:
        target: ``(H, W)``, the object; it has a pixel.
        jitter: standard deviation of the edges over the object's width or height, at most 0.2. No edge is off by more
            than twice as much.
        rng: decides.
    """
    x, y, w, h = cv2.boundingRect(target.astype(np.uint8))
    noise = np.clip(rng.normal(0.0, 1.0, 4), -2.0, 2.0) * jitter
    x0, y0, x1, y1 = np.array([x, y, x + w, y + h]) + noise * np.array([w, h, w, h])
    return float(x0), float(y0), float(x1), float(y1)


def next_click(
    target: BoolArray, predicted: BoolArray, ignore: BoolArray | None = None, drag: bool = False
) -> Click | None:
    """The next click: the centre of the largest connected region of wrong pixels.

    Args:
        target: the object.
        predicted: the mask so far.
        ignore: pixels that do not count.
        drag: whether the click is dragged to the boundary of its region.

    Returns:
        A positive click where the mask lacks a part of the object, a negative one where it exceeds the object; None
        when no counted pixel is wrong.
    """
    missing, extra = target & ~predicted, predicted & ~target
    if ignore is not None:
        missing, extra = missing & ~ignore, extra & ~ignore
    best: tuple[int, BoolArray, bool] | None = None
    for region, positive in ((missing, True), (extra, False)):
        count, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=8)
        if count > 1:
            # connectedComponentsWithStats would take ten times as long.
            areas = np.bincount(labels[region])
            largest = int(areas.argmax())
            area = int(areas[largest])
            if best is None or area > best[0]:
                best = area, labels == largest, positive
    return None if best is None else _centre(best[1], best[2], drag)


def signed_click(
    target: BoolArray, predicted: BoolArray, positive: bool, ignore: BoolArray | None = None, drag: bool = False
) -> Click | None:
    """A click of a given sign, for prompts with fixed numbers of positive and negative clicks.

    Args:
        target: the object.
        predicted: the mask so far.
        positive: the sign.
        ignore: pixels that do not count.
        drag: whether the click is dragged to the boundary of its region.

    Returns:
        Positive: the centre of the largest region that the mask lacks, or of the mask's largest region on the object
        where it lacks none. Negative: the centre of the largest region by which the mask exceeds the object, or of the
        background where it exceeds it nowhere. None where no counted pixel is of that sign.
    """
    region = target if positive else ~target
    wrong = region & (~predicted if positive else predicted)
    for candidates in (wrong, region):
        counted = candidates if ignore is None else candidates & ~ignore
        nothing = np.zeros_like(target)
        click = next_click(counted, nothing, None, drag)
        if click is not None:
            return replace(click, positive=positive)
    return None


def _sample_pixels(
    candidates: BoolArray, count: int, spacing: float, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Up to ``count`` random pixels ``(x, y)`` of the candidates, each at least ``spacing`` pixels from all others."""
    free = candidates.astype(np.uint8)
    points: list[tuple[int, int]] = []
    for _ in range(count):
        pixels = np.flatnonzero(free)
        if pixels.size == 0:
            break
        row, column = divmod(int(pixels[rng.integers(pixels.size)]), free.shape[1])
        points.append((column, row))
        cv2.circle(free, (column, row), round(spacing), 0, -1)
    return points


@renamed_arguments(apart="spacing")
def positive_clicks(
    target: BoolArray, count: int, rng: np.random.Generator, margin: float = 5.0, spacing: float = 20.0
) -> list[Click]:
    """Random clicks on the object.

    Args:
        target: the object.
        count: maximum number of clicks; a non-empty object always gets one.
        rng: random numbers.
        margin: least distance from the boundary, in pixels; less on an object that is too thin for it.
        spacing: least distance between clicks, in pixels.
    """
    distance = boundary_distance(target)
    max_distance = float(distance.max())
    if max_distance == 0.0:
        return []
    inside = distance >= min(margin, 0.7 * max_distance)
    return [Click(float(x), float(y), True) for x, y in _sample_pixels(inside, count, spacing, rng)]


def tap(target: BoolArray, rng: np.random.Generator, jitter: float = TAP_JITTER) -> Click:
    """A click near the object's centre of mass, on the object (Multi-Stage Fusion, section 3.4).

    Args:
        target: the object.
        rng: random numbers.
        jitter: maximum offset on each axis, in pixels.

    Returns:
        The click; when :data:`MAX_TRIES` offsets miss the object, its pixel nearest to the last one.

    Raises:
        SaywhereError: the object has no pixel.
    """
    rows, columns = np.nonzero(target)
    if not rows.size:
        raise SaywhereError("empty target: the object has no pixel, so no click can be placed; check the mask")
    centre = columns.mean(), rows.mean()
    for _ in range(MAX_TRIES):
        x, y = (round(c + rng.uniform(-jitter, jitter)) for c in centre)
        if 0 <= y < target.shape[0] and 0 <= x < target.shape[1] and target[y, x]:
            return Click(float(x), float(y))
    nearest = int(((columns - x) ** 2 + (rows - y) ** 2).argmin())
    return Click(float(columns[nearest]), float(rows[nearest]))


@renamed_arguments(apart="spacing")
def negative_clicks(
    target: BoolArray,
    count: int,
    rng: np.random.Generator,
    strategy: str = "anywhere",
    others: BoolArray | None = None,
    margin: float = 5.0,
    rim: float = 40.0,
    spacing: float = 10.0,
) -> list[Click]:
    """Random clicks off the object, by one of the strategies of Xu et al. (2016).

    Args:
        target: the object.
        count: maximum number of clicks.
        rng: random numbers.
        strategy: "rim", between ``margin`` and ``rim`` pixels outside the boundary; "objects", on ``others``;
            "anywhere", on any background.
        others: the other objects of the image.
        margin: least distance from the object, in pixels.
        rim: largest distance from the object for "rim", in pixels.
        spacing: least distance between clicks, in pixels.

    Raises:
        SaywhereError: an unknown strategy.
    """
    if strategy not in NEGATIVE_STRATEGIES:
        raise SaywhereError(f"negative strategy '{strategy}': choose one of {', '.join(NEGATIVE_STRATEGIES)}")
    distance = _distances((~target).astype(np.uint8)) if target.any() else np.full(target.shape, np.inf, np.float32)
    candidates = distance >= margin
    if strategy == "rim":
        candidates &= distance <= rim
    if strategy == "objects":
        candidates = candidates & others if others is not None else np.zeros_like(candidates)
    return [Click(float(x), float(y), False) for x, y in _sample_pixels(candidates, count, spacing, rng)]


def training_correction(
    target: BoolArray,
    predicted: BoolArray,
    rng: np.random.Generator,
    ignore: BoolArray | None = None,
    drag: bool = False,
) -> Click | None:
    """A random click in the core of an error region, for iterative training.

    The region is the missing or the extra pixels, whichever reach the larger distance from their boundary (Mahadevan et
    al. 2018, cited by DCT-Net and Sequential Interactive Image Segmentation). Its core are the pixels at least half
    that distance from the boundary.

    Args:
        target: the object.
        predicted: the mask so far.
        rng: random numbers.
        ignore: pixels that do not count.
        drag: whether the click is dragged to the boundary of its region.

    Returns:
        The click; None when no counted pixel is wrong.
    """
    missing, extra = target & ~predicted, predicted & ~target
    if ignore is not None:
        missing, extra = missing & ~ignore, extra & ~ignore
    missing_distance, extra_distance = boundary_distance(missing), boundary_distance(extra)
    positive = bool(missing_distance.max() > extra_distance.max())
    distance = missing_distance if positive else extra_distance
    max_distance = float(distance.max())
    if max_distance == 0.0:
        return None
    pixels = np.flatnonzero(distance >= 0.5 * max_distance)
    row, column = divmod(int(pixels[rng.integers(pixels.size)]), distance.shape[1])
    return Click(float(column), float(row), positive, float(distance[row, column]) if drag else None)
