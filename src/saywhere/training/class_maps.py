"""What an ImageNet classifier sees where: the teacher of the relevance map.

As in MaskCLIP (Zhou et al. 2022), the classifier is applied to each cell of its last feature map, before these are
pooled. Pooled over an object's mask instead of the image, the features give the class of that object. Nothing of this
depends on the network that is trained, so it is computed once for an image and kept in a cache.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from saywhere.core.atomic import write_atomically
from saywhere.core.images import read_image
from saywhere.core.rle import RunLengths
from saywhere.models.checkpoint import load_state, read_tensors

ARCHITECTURE = "tf_efficientnet_lite0"
SIDE = 416  # longer side, in pixels, at which images are classified: objects are then about as large as in ImageNet
STRIDE = 32
CLASSES = 8  # that are kept for each cell and object, the most probable ones
INSIDE = 0.5  # cells count for an object that are covered at least half as much by it as the best covered one
VERSION = "1"  # of the cached files


@dataclass(frozen=True)
class TopClasses:
    """The most probable classes of cells or objects, the best first.

    Attributes:
        indices: ``(..., K)`` of the classes.
        probabilities: ``(..., K)``.
    """

    indices: NDArray[np.int16]
    probabilities: NDArray[np.float16]

    @classmethod
    def from_logits(cls, logits: Tensor) -> TopClasses:
        """From ``(..., 1000)`` logits."""
        values, indices = logits.float().softmax(-1).topk(CLASSES)
        return cls(indices.numpy().astype(np.int16), values.numpy().astype(np.float16))


@dataclass(frozen=True)
class ClassMap:
    """The classes of one image.

    Attributes:
        cells: of its cells, ``(h, w, K)``.
        objects: of its labelled objects, by their names in the data set, ``(K,)`` each.
    """

    cells: TopClasses
    objects: Mapping[str, TopClasses]


class ClassMaps:
    """Computes class maps of images and keeps them.

    Args:
        weights: safetensors of timm's ``tf_efficientnet_lite0`` with its classifier.
        cache: the folder where class maps are kept.
    """

    def __init__(self, weights: Path, cache: Path) -> None:
        self.weights, self.cache = weights, cache

    def read(self, image_path: Path, objects: Mapping[str, RunLengths]) -> ClassMap:
        """The class map of an image, out of the cache if it is there.

        Args:
            image_path: the image file.
            objects: the masks of its labelled objects by name.
        """
        key = f"{VERSION} {self.weights.name} {SIDE} {image_path.resolve()} {image_path.stat().st_size}"
        file = self.cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
        if file.is_file():
            kept = _from_bytes(file.read_bytes())
            if objects.keys() <= kept.objects.keys():
                return kept
        computed = self.compute(read_image(image_path), objects)
        write_atomically(file, _to_bytes(computed))
        return computed

    @torch.inference_mode()
    def compute(self, image: NDArray[np.uint8], objects: Mapping[str, RunLengths]) -> ClassMap:
        """The class map of an image ``(H, W, 3)`` RGB; arguments else as for :meth:`read`."""
        height, width = image.shape[:2]
        scale = SIDE / max(height, width) / STRIDE
        rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
        resized = cv2.resize(image, (columns * STRIDE, rows * STRIDE), interpolation=cv2.INTER_AREA)
        x = torch.from_numpy(resized.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1.0)
        with torch.autocast("cpu", torch.bfloat16):
            features = self._classifier.forward_features(x.contiguous(memory_format=torch.channels_last))
        cells = features[0].float().permute(1, 2, 0)
        # The classifier is linear, so the mean of the cells' logits is the logits of their mean features.
        logits = self._classifier.classifier(cells)
        classes = {}
        for name, mask in objects.items():
            covered = cv2.resize(mask.mask().astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
            weights = torch.from_numpy(np.where(covered >= INSIDE * covered.max(), covered, 0.0))[..., None]
            classes[name] = TopClasses.from_logits((logits * weights).sum((0, 1)) / weights.sum().clamp_min(1e-6))
        return ClassMap(TopClasses.from_logits(logits), classes)

    @cached_property
    def _classifier(self) -> Any:
        import timm

        model = timm.create_model(ARCHITECTURE)
        state = {name: t.float() if t.is_floating_point() else t for name, t in read_tensors(self.weights)[0].items()}
        load_state(model, state, self.weights)
        return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _to_bytes(classes: ClassMap) -> bytes:
    names = list(classes.objects)
    top = [classes.objects[name] for name in names]
    empty = np.zeros((0, CLASSES))
    buffer = io.BytesIO()
    np.savez(
        buffer,
        cell_indices=classes.cells.indices,
        cell_probabilities=classes.cells.probabilities,
        names=np.array(names, np.str_),
        object_indices=np.stack([each.indices for each in top]) if top else empty.astype(np.int16),
        object_probabilities=np.stack([each.probabilities for each in top]) if top else empty.astype(np.float16),
    )
    return buffer.getvalue()


def _from_bytes(content: bytes) -> ClassMap:
    with np.load(io.BytesIO(content)) as arrays:
        cells = TopClasses(arrays["cell_indices"], arrays["cell_probabilities"])
        of_objects = zip(arrays["object_indices"], arrays["object_probabilities"], strict=True)
        objects = {str(n): TopClasses(i, p) for n, (i, p) in zip(arrays["names"], of_objects, strict=True)}
    return ClassMap(cells, objects)
