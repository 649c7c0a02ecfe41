"""Gaussian mixtures of the colours of object and background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import ImageArray
from saywhere.runtime.classical.base import Seeds

COMPONENTS = 5  # Gaussians in a mixture, as in GrabCut
MAX_SAMPLES = 1500  # maximum number of pixels that a mixture is fitted to
SAMPLES_PER_COMPONENT = 10  # least number of pixels for each further Gaussian
MIN_DEVIATION = 8.0  # smallest standard deviation of a Gaussian, in grey levels
UNIFORM_WEIGHT = 0.05  # weight of a uniform distribution in a mixture, for colours that no sample has
COLOUR_COUNT = 256.0**3


def colour_costs(image: ImageArray, seeds: Seeds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The cost of each pixel's colour on the object and on the background.

    The background is sampled in equal parts from the negative clicks, the border and all pixels that were not clicked:
    most of an image is background, and the small disks of a few negative clicks do not represent the rest of it.

    Args:
        image: ``(H, W, 3)`` RGB.
        seeds: pixels to sample.

    Returns:
        ``-log P(colour | object)`` and ``-log P(colour | background)``, ``(H, W)`` each.
    """
    border = np.zeros_like(seeds.foreground)
    border[:2], border[-2:], border[:, :2], border[:, -2:] = True, True, True, True
    regions = (np.ones_like(border), border, seeds.background)
    background = [sample_colours(image, region & ~seeds.foreground) for region in regions]
    object_cost = colour_cost(image, sample_colours(image, seeds.foreground))
    return object_cost, colour_cost(image, np.concatenate(background))


def sample_colours(image: ImageArray, region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Up to :data:`MAX_SAMPLES` colours ``(n, 3)`` of a region ``(H, W)``, at equal intervals."""
    colours = image[region]
    return colours[:: max(-(-len(colours) // MAX_SAMPLES), 1)].astype(np.float32)


def colour_cost(image: ImageArray, colours: NDArray[np.float32], components: int = COMPONENTS) -> NDArray[np.float64]:
    """Negative log-likelihood of each pixel's colour in a Gaussian mixture.

    As in GrabCut, each Gaussian is fitted to the colours of one k-means cluster.

    Args:
        image: ``(H, W, 3)`` RGB.
        colours: ``(n, 3)``, to which the mixture is fitted.
        components: maximum number of Gaussians.

    Returns:
        ``(H, W)``; the same everywhere without colours.
    """
    if len(colours) == 0:
        return np.full(image.shape[:2], np.log(COLOUR_COUNT))
    pixels = image.reshape(-1, 3).astype(np.float32)
    likelihood = np.full(len(pixels), UNIFORM_WEIGHT / COLOUR_COUNT)
    for members in cluster_colours(colours, min(components, 1 + len(colours) // SAMPLES_PER_COMPONENT)):
        centred = members - members.mean(0)
        covariance = centred.T @ centred / len(members) + MIN_DEVIATION**2 * np.eye(3)
        # With it squared Mahalanobis distances become squared lengths.
        whitening = np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)
        share = (1.0 - UNIFORM_WEIGHT) * len(members) / len(colours)
        peak = share / np.sqrt((2.0 * np.pi) ** 3 * np.linalg.det(covariance))
        squared = np.square((pixels - members.mean(0)) @ whitening) @ np.ones(3, np.float32)
        likelihood += peak * np.exp(-0.5 * squared)
    return -np.log(likelihood).reshape(image.shape[:2])


def cluster_colours(colours: NDArray[np.float32], components: int) -> list[NDArray[np.float32]]:
    """Divide colours ``(n, 3)`` into up to ``components`` clusters by k-means."""
    if components == 1:
        return [colours]
    cv2.setRNGSeed(0)  # so that the same clicks give the same centres
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    initial_labels = np.empty((len(colours), 1), np.int32)
    _, nearest, _ = cv2.kmeans(colours, components, initial_labels, stop, 1, cv2.KMEANS_PP_CENTERS)
    clusters = (colours[nearest[:, 0] == number] for number in range(components))
    return [members for members in clusters if len(members)]
