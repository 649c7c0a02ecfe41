"""Drags for networks that know none: further clicks inside the region that a drag shows."""

from __future__ import annotations

from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click

DIRECTIONS = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
REACH = 0.6  # distance of the further clicks from the centre, over the drag's radius


def further_clicks(click: Click, size: ImageSize) -> list[Click]:
    """Clicks around the centre of a drag, within its radius and the image; none for a click.

    A drag ends at the nearest boundary of its region, so that all of them are on it.

    Args:
        click: in pixels of the image.
        size: of the image.

    Example:
        >>> [(c.x, c.y) for c in further_clicks(Click(5, 5, True, 10), ImageSize(20, 20))]
        [(11.0, 5.0), (5.0, 11.0)]
    """
    if click.radius is None:
        return []
    reach = REACH * click.radius
    around = [(click.x + reach * dx, click.y + reach * dy) for dx, dy in DIRECTIONS]
    inside = [(x, y) for x, y in around if -0.5 <= x < size.width - 0.5 and -0.5 <= y < size.height - 0.5]
    return [Click(x, y, click.positive) for x, y in inside]
