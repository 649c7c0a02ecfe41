"""Colour mixtures: how likely a colour is on the object or off it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import ImageArray
from saywhere.runtime.classical.base import Seeds

PARTS = 5  # Gaussians in a mixture, as in GrabCut
MOST = 1500  # pixels of one kind that a mixture is fitted to
FEWEST = 10  # pixels that make one more Gaussian worth having
NOISE = 8.0  # smallest standard deviation of a Gaussian, in grey levels
STRANGE = 0.05  # share of colours that no sample foretold, all equally likely
LEVELS = 256.0**3


def colour_costs(image: ImageArray, seeds: Seeds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``-log P(colour | on)`` and ``-log P(colour | off)`` of each pixel, ``(H, W)`` each.

    What is off the object is sampled alike from the negative clicks, the border and all that was not clicked: most
    of a photograph is off it, and a few negative clicks, each a spot of a few pixels, are no sample of the rest.
    """
    border = np.zeros_like(seeds.on)
    border[:2], border[-2:], border[:, :2], border[:, -2:] = True, True, True, True
    kinds = [sample(image, where & ~seeds.on) for where in (np.ones_like(border), border, seeds.off)]
    return colour_cost(image, sample(image, seeds.on)), colour_cost(image, np.concatenate(kinds))


def sample(image: ImageArray, where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Up to ``MOST`` colours of the pixels ``where``, evenly spread: ``(n, 3)``."""
    found = image[where]
    return found[:: max(-(-len(found) // MOST), 1)].astype(np.float32)


def colour_cost(image: ImageArray, colours: NDArray[np.float32], parts: int = PARTS) -> NDArray[np.float64]:
    """``-log`` of each pixel's colour in a mixture of Gaussians fitted to ``colours``, ``(n, 3)``.

    As in GrabCut, each Gaussian is fitted to the colours that are nearest to one centre.
    """
    if len(colours) == 0:
        return np.full(image.shape[:2], np.log(LEVELS))
    pixels = image.reshape(-1, 3).astype(np.float32)
    chance = np.full(len(pixels), STRANGE / LEVELS)
    for members in grouped(colours, min(parts, 1 + len(colours) // FEWEST)):
        apart = members - members.mean(0)
        spread = apart.T @ apart / len(members) + NOISE**2 * np.eye(3)
        # Columns in which the Gaussian is round.
        rounder = np.linalg.cholesky(np.linalg.inv(spread)).astype(np.float32)
        height = (1.0 - STRANGE) * len(members) / len(colours) / np.sqrt((2.0 * np.pi) ** 3 * np.linalg.det(spread))
        squared = np.square((pixels - members.mean(0)) @ rounder) @ np.ones(3, np.float32)
        chance += height * np.exp(-0.5 * squared)
    return -np.log(chance).reshape(image.shape[:2])


def grouped(colours: NDArray[np.float32], parts: int) -> list[NDArray[np.float32]]:
    """Colours, ``(n, 3)``, by the nearest of up to ``parts`` centres."""
    if parts == 1:
        return [colours]
    cv2.setRNGSeed(0)  # the same centres every time, or runs could not be repeated
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    unused = np.empty((len(colours), 1), np.int32)
    _, nearest, _ = cv2.kmeans(colours, parts, unused, stop, 1, cv2.KMEANS_PP_CENTERS)
    found = (colours[nearest[:, 0] == part] for part in range(parts))
    return [members for members in found if len(members)]
