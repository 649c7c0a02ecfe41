"""Colour mixtures: how likely a colour is on the object or off it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import ImageArray
from saywhere.runtime.classical.base import Seeds

COMPONENTS = 5  # Gaussians in a mixture, as in GrabCut
MAX_SAMPLES = 1500  # pixels of one kind that a mixture is fitted to
SAMPLES_PER_COMPONENT = 10  # pixels that make one more Gaussian worth having
MIN_DEVIATION = 8.0  # smallest standard deviation of a Gaussian, in grey levels
UNIFORM_WEIGHT = 0.05  # weight of a uniform distribution: colours that no sample holds
LEVELS = 256.0**3


def colour_costs(image: ImageArray, seeds: Seeds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``-log P(colour | on)`` and ``-log P(colour | off)`` of each pixel, ``(H, W)`` each.

    What is off the object is sampled alike from the negative clicks, the border and all that was not clicked: most
    of a photograph is off it, and a few negative clicks, each a spot of a few pixels, are no sample of the rest.
    """
    border = np.zeros_like(seeds.on)
    border[:2], border[-2:], border[:, :2], border[:, -2:] = True, True, True, True
    samples = [sample(image, where & ~seeds.on) for where in (np.ones_like(border), border, seeds.off)]
    return colour_cost(image, sample(image, seeds.on)), colour_cost(image, np.concatenate(samples))


def sample(image: ImageArray, where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Up to ``MAX_SAMPLES`` colours of the pixels ``where``, evenly spread: ``(n, 3)``."""
    colours = image[where]
    return colours[:: max(-(-len(colours) // MAX_SAMPLES), 1)].astype(np.float32)


def colour_cost(image: ImageArray, colours: NDArray[np.float32], components: int = COMPONENTS) -> NDArray[np.float64]:
    """``-log`` of each pixel's colour in a mixture of Gaussians fitted to ``colours``, ``(n, 3)``.

    As in GrabCut, each Gaussian is fitted to the colours that are nearest to one centre.
    """
    if len(colours) == 0:
        return np.full(image.shape[:2], np.log(LEVELS))
    pixels = image.reshape(-1, 3).astype(np.float32)
    likelihood = np.full(len(pixels), UNIFORM_WEIGHT / LEVELS)
    for members in cluster_colours(colours, min(components, 1 + len(colours) // SAMPLES_PER_COMPONENT)):
        centred = members - members.mean(0)
        covariance = centred.T @ centred / len(members) + MIN_DEVIATION**2 * np.eye(3)
        # A linear map under which the Gaussian is round.
        whitening = np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)
        share = (1.0 - UNIFORM_WEIGHT) * len(members) / len(colours)
        peak = share / np.sqrt((2.0 * np.pi) ** 3 * np.linalg.det(covariance))
        squared = np.square((pixels - members.mean(0)) @ whitening) @ np.ones(3, np.float32)
        likelihood += peak * np.exp(-0.5 * squared)
    return -np.log(likelihood).reshape(image.shape[:2])


def cluster_colours(colours: NDArray[np.float32], components: int) -> list[NDArray[np.float32]]:
    """Colours, ``(n, 3)``, by the nearest of up to ``components`` centres."""
    if components == 1:
        return [colours]
    cv2.setRNGSeed(0)  # the same centres every time, or runs could not be repeated
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    unused = np.empty((len(colours), 1), np.int32)
    _, nearest, _ = cv2.kmeans(colours, components, unused, stop, 1, cv2.KMEANS_PP_CENTERS)
    clusters = (colours[nearest[:, 0] == number] for number in range(components))
    return [members for members in clusters if len(members)]
