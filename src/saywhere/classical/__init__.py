"""Methods from before networks, behind the same Segmenter: the first rows of every paper's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from saywhere.classical.base import Seeds
from saywhere.classical.geodesic import Geodesic
from saywhere.classical.grabcut import GrabCut
from saywhere.classical.graphcut import GraphCut
from saywhere.classical.randomwalker import RandomWalker
from saywhere.scene import Runner
from saywhere.segmenter import Settings

CLASSICAL: Final[Mapping[str, type[Runner]]] = {
    "graph-cut": GraphCut,
    "grabcut": GrabCut,
    "random-walker": RandomWalker,
    "geodesic": Geodesic,
}
# They have nothing to look closer with, and their answers are as sharp as the photograph they are given.
SETTINGS: Final = Settings(size=256, zoom=False, enlarge=False, previous_from=2)

__all__ = ["CLASSICAL", "SETTINGS", "Geodesic", "GrabCut", "GraphCut", "RandomWalker", "Seeds"]
