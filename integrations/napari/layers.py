"""Points on and off an object and a box around it, as layers of napari; masks go into a labels layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from saywhere import SaywhereError, Segmenter
from saywhere.core.arrays import BoolArray
from saywhere.core.prompt import Click

NEXT_KEY = "Shift-N"
POINT_SIZE = 1 / 80  # of the image's longer side
DONE = ("added", "removed", "changed")  # actions of napari's events after which data is as it stays


class SegmentationLayers:
    """Adds layers for an image to a viewer, and keeps the mask up to date with the points and the box.

    Args:
        viewer: a ``napari.Viewer``, or its model without a window.
        segmenter: with an image that is set.
        name: of the image's layer.

    Attributes:
        on, off: points layers: on the object, off it.
        box: a shapes layer; the box around its last shape counts.
        objects: a labels layer with a number for each object.
        number: of the object that is worked on.

    Raises:
        SaywhereError: the segmenter has no image.
    """

    def __init__(self, viewer: ViewerModel, segmenter: Segmenter, name: str = "image") -> None:
        image = segmenter.encoded.image
        size = max(2.0, max(image.shape[:2]) * POINT_SIZE)
        viewer.add_image(image, rgb=True, name=name)
        self.objects = viewer.add_labels(np.zeros(image.shape[:2], np.uint16), name="objects")
        self.box = viewer.add_shapes(name="box", ndim=2, face_color="transparent", edge_color="yellow")
        self.off = viewer.add_points(name="off the object", ndim=2, face_color="red", size=size)
        self.on = viewer.add_points(name="on the object", ndim=2, face_color="lime", size=size)
        self.number = 1
        self._segmenter, self._changing = segmenter, False
        for layer in (self.on, self.off, self.box):
            layer.events.data.connect(self._on_data)
        viewer.bind_key(NEXT_KEY, lambda _viewer: self.next_object())

    def next_object(self) -> None:
        """Keep the present mask, and begin the next object."""
        if not (self.objects.data == self.number).any():
            show_warning("no mask yet: add a point on the object, or a box")
            return
        self._changing = True
        try:
            self.on.data, self.off.data, self.box.data = np.zeros((0, 2)), np.zeros((0, 2)), []
        finally:
            self._changing = False
        self.number = int(self.objects.data.max()) + 1
        self.objects.selected_label = self.number

    def say(self, phrase: str) -> int:
        """Add every object that a phrase names.

        Returns:
            How many there are.

        Raises:
            SaywhereError: the network does not know the phrase.
        """
        found = self._segmenter.instances(phrase)
        data = self.objects.data.copy()
        for each in found:
            data[each.mask.array & (data == 0)] = self.number
            self.number += 1
        self._draw(data)
        return len(found)

    def _on_data(self, event: Any) -> None:
        if self._changing or str(getattr(event.action, "value", event.action)) not in DONE:
            return
        try:
            mask = self._mask()
        except SaywhereError as error:
            show_warning(str(error))
            return
        data = self.objects.data.copy()
        data[data == self.number] = 0
        data[mask & (data == 0)] = self.number
        self._draw(data)

    def _draw(self, data: NDArray[np.uint16]) -> None:
        self.objects.data = data
        self.objects.selected_label = self.number

    def _mask(self) -> BoolArray:
        """The mask for the layers as they are. napari has (row, column), with whole numbers at centres of pixels."""
        segmenter = self._segmenter.new_object()
        if len(self.box.data):
            corners = np.asarray(self.box.data[-1], float)
            (y0, x0), (y1, x1) = corners.min(axis=0) + 0.5, corners.max(axis=0) + 0.5
            segmenter.box(x0, y0, x1, y1)
        for layer, positive in ((self.on, True), (self.off, False)):
            for row, column in layer.data:
                if positive or segmenter.mask is not None:
                    segmenter.add(Click(float(column), float(row), positive))
        mask = segmenter.mask
        return np.zeros(self.objects.data.shape, np.bool_) if mask is None else mask.array
