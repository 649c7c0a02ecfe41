"""The tokens of training images, computed once and kept: the vision transformer that gives them does not learn."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from saywhere.core.atomic import write_atomically
from saywhere.core.geometry import ImageSize
from saywhere.core.image_tokens import LONGER_SIDE, STRIDE, image_for_tokens, tokens_at
from saywhere.core.images import read_image
from saywhere.errors import SaywhereError
from saywhere.models.checkpoint import load_state, read_tensors
from saywhere.models.layers.tokens import TokenEncoder
from saywhere.storage.cache import cache_folder
from saywhere.training.augment import Affine
from saywhere.training.initialise import find_start
from saywhere.training.pretrained import find_pretrained
from saywhere.training.recipe import Recipe

VERSION = "2"  # of the kept files
PREFIX = "token_encoder."  # of the transformer's tensors in weights of our network
BATCH = 4  # images whose tokens are computed at once


class TokenMaps:
    """Computes tokens of images and keeps them.

    Args:
        name: the transformer's in timm.
        weights: its tensors by timm's names, or weights of our network that have them.
        cache: the folder where tokens are kept; about 450 KB for an image.
    """

    def __init__(self, name: str, weights: Path, cache: Path) -> None:
        self.name, self.weights, self.cache = name, weights, cache

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> TokenMaps | None:
        """Those that a recipe's network needs; None for a network without tokens.

        Raises:
            SaywhereError: neither the recipe nor the weights that it starts from have those of the transformer, or
                crops are composed.
        """
        name, weights = recipe.model.options.get("tokens"), recipe.model.pretrained_tokens
        if not name:
            if recipe.image_tokens.alone:
                raise SaywhereError("recipe: image_tokens.alone trains the tokens' masks; set model.options.tokens")
            return None
        if recipe.crop.copy_paste_prob:
            raise SaywhereError("recipe: composed crops have no tokens; set crop.copy_paste_prob to 0")
        cache = cache_folder(recipe.image_tokens.cache, "image-tokens")
        if weights is not None:
            return cls(name, find_pretrained(weights), cache)
        start = find_start(recipe.model.weights) if recipe.model.weights else None
        if start is None or not any(tensor.startswith(PREFIX) for tensor in read_tensors(start)[0]):
            raise SaywhereError(f"recipe: model.options.tokens '{name}' needs model.pretrained_tokens, its weights")
        return cls(name, start, cache)

    def is_kept(self, image_path: Path) -> bool:
        """Whether the tokens of an image are in the cache."""
        return image_path.is_file() and self.file(image_path).is_file()

    def file(self, image_path: Path) -> Path:
        """Where the tokens of an image are kept."""
        key = f"{VERSION} {self._digest} {LONGER_SIDE} {image_path.resolve()} {image_path.stat().st_size}"
        return self.cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"

    def read(self, image_path: Path) -> NDArray[np.float16]:
        """``(C, h, w)``: the tokens of an image, out of the cache if they are there."""
        file = self.file(image_path)
        if not file.is_file():
            self._write([(image_path, image_for_tokens(read_image(image_path)))])
        return np.load(file, mmap_mode="r")

    def keep(self, image_paths: Iterable[Path]) -> Iterator[int]:
        """Compute the tokens of images that are not kept yet, several at once.

        Args:
            image_paths: of images; each is computed once.

        Yields:
            After each batch, how many were computed so far.
        """
        waiting: dict[tuple[int, ...], list[tuple[Path, NDArray[np.uint8]]]] = {}
        done = 0
        for path in dict.fromkeys(image_paths):
            if self.is_kept(path):
                continue
            image = image_for_tokens(read_image(path))
            batch = waiting.setdefault(image.shape, [])
            batch.append((path, image))
            if len(batch) == BATCH:
                self._write(waiting.pop(image.shape))
                done += BATCH
                yield done
        for batch in waiting.values():
            self._write(batch)
            done += len(batch)
            yield done

    def _write(self, batch: Sequence[tuple[Path, NDArray[np.uint8]]]) -> None:
        """Compute and keep the tokens of images, given as :func:`image_for_tokens` makes them, all of one size."""
        for (path, _), tokens in zip(batch, self.compute(np.stack([image for _, image in batch])), strict=True):
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(tokens))
            write_atomically(self.file(path), buffer.getvalue())

    def in_crop(self, image_path: Path, image_size: ImageSize, transform: Affine, size: int) -> NDArray[np.float16]:
        """The tokens of a training crop.

        Args:
            image_path: of the image.
            image_size: of the image.
            transform: ``(2, 3)``, from pixels of the image to pixels of the crop.
            size: the side of the crop, in pixels.

        Returns:
            ``(C, size/16, size/16)``.
        """
        tokens = self.read(image_path)
        height, width = image_size
        cells = (np.arange(size // STRIDE) + 0.5) * STRIDE
        x, y = np.meshgrid(cells, cells)
        # Pixel i of an image reaches from i - 0.5 to i + 0.5 in the transform, and from i to i + 1 in a grid of tokens.
        places = np.stack([x, y]).reshape(2, -1) - 0.5
        inverse = np.linalg.inv(transform[:, :2])
        xs, ys = inverse @ (places - transform[:, 2:]) + 0.5
        columns, rows = xs * tokens.shape[2] / width - 0.5, ys * tokens.shape[1] / height - 0.5
        return tokens_at(np.asarray(tokens, np.float32), columns, rows).reshape(-1, *x.shape).astype(np.float16)

    @torch.inference_mode()
    def compute(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The tokens ``(B, C, h, w)`` of images ``(B, 14 h, 14 w, 3)`` RGB, see :func:`image_for_tokens`."""
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
        # With AMX bfloat16 takes a third of float32's time; with AVX-512 alone it takes twice as long.
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_amx_tile_supported()):
            return self._encoder(pixels).float().numpy().astype(np.float16)

    @cached_property
    def _encoder(self) -> TokenEncoder:
        encoder = TokenEncoder(self.name)
        tensors = read_tensors(self.weights)[0]
        own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
        load_state(encoder, own or encoder.load_timm(tensors), self.weights)
        return encoder.eval()

    @cached_property
    def _digest(self) -> str:
        """Of the transformer's parameters: weights with the same one share what is kept."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._encoder.state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()
