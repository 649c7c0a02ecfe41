"""Our network as an encoder and a decoder in the layouts of SAM's exports. Needs torch and onnx.

Programs that load such files (X-AnyLabeling, AnyLabeling, darktable) then run our network without knowing of it. The
layouts are facts about those programs:

- ``sam``: the encoder takes ``(H, W, 3)`` with values 0 to 255 in 684 x 1024 pixels, into which the image is resized,
  with zeros at its right and below it; the decoder takes ``image_embeddings`` and the prompt by name, with the
  original size, and its first mask is used.
- ``sam2``: the encoder takes ``(1, 3, 1024, 1024)``, normalised as for ImageNet, and gives ``high_res_feats_0``,
  ``high_res_feats_1`` and ``image_embed``; the decoder takes these and the prompt by position, and the mask with the
  highest predicted IoU is used.
- ``darktable``: the same files with a description, in one archive.

In these layouts the network sees the whole image, as it is given, in two resolutions: a decoder takes the features of
the lower one for the first clicks, those of the higher one for later clicks. What Segmenter does besides is lost: the
zoom-in crop, phrases, the radius of a drag, and sequences.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from unittest import mock

import torch
from timm.layers.config import set_exportable
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.core.atomic import write_atomically
from saywhere.core.geometry import ImageSize
from saywhere.core.image_tokens import MULTIPLE
from saywhere.core.mask import NOTHING
from saywhere.core.prompt import BOX_TOP_LEFT
from saywhere.errors import SaywhereError
from saywhere.models import saywhere as network
from saywhere.models.checkpoint import load_model
from saywhere.models.layers.clicks import aggregate
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.export import LEVELS, Encoder, add_member, decode, decoder_inputs, level_counts
from saywhere.runtime.export_postprocess import cropped, fit_to_box, flood_fill, remove_unclicked_components
from saywhere.runtime.fuse import fuse_batch_norms
from saywhere.runtime.onnx_graphs import declare_outputs, select_by_click_count

Layout = Literal["sam", "sam2"]
OPSET = 17
SIDE = 1024  # of the squares that SAM's layouts take
SAM_INPUT = ImageSize(684, SIDE)
LOW_RESOLUTION = 256  # side of the masks that a program gives back
NETWORK_SIDE = 512  # longer side of the image that our network sees at first
HIGH_RESOLUTION_FROM = 4  # the click from which on it sees more pixels: first masks need the whole, later ones edges
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
FEATURES: dict[Layout, tuple[str, ...]] = {
    "sam": ("image_embeddings",),
    "sam2": ("high_res_feats_0", "high_res_feats_1", "image_embed"),
}


@dataclass(frozen=True)
class Packing:
    """Which feature level lies where in the tensors between encoder and decoder.

    Attributes:
        channels: of each level that the decoder needs, by its name.
        strides: image pixels to a cell of each level.
    """

    channels: Mapping[str, int]
    strides: Mapping[str, int]

    def pack(self, levels: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The levels at strides 4, 8 and 16; those at stride 32 are unfolded to stride 16."""
        at = {stride: [levels[n] for n in self.channels if self.strides[n] == stride] for stride in (4, 8, 16, 32)}
        coarse = torch.cat(at[32], 1)
        coarse = F.pad(coarse, (0, 0, 0, 0, 0, -coarse.shape[1] % 4))
        return torch.cat(at[4], 1), torch.cat(at[8], 1), torch.cat([*at[16], F.pixel_shuffle(coarse, 2)], 1)

    def unpack(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> dict[str, Tensor]:
        """The levels by name."""
        counts = {stride: sum(c for n, c in self.channels.items() if self.strides[n] == stride) for stride in (16, 32)}
        coarsest = F.pixel_unshuffle(coarse[:, counts[16] :], 2)[:, : counts[32]]
        levels: dict[str, Tensor] = {}
        for stride, tensor in ((4, fine), (8, middle), (16, coarse[:, : counts[16]]), (32, coarsest)):
            names = [name for name in self.channels if self.strides[name] == stride]
            levels |= dict(zip(names, tensor.split([self.channels[name] for name in names], 1), strict=True))
        return levels


@dataclass(frozen=True)
class Geometry:
    """The sizes of one resolution of a layout.

    Attributes:
        given: what the program gives, in pixels.
        seen: to what that is resized for the network.
        padded: ``seen`` enlarged to multiples of 32.
    """

    given: ImageSize
    seen: ImageSize
    padded: ImageSize

    @classmethod
    def of(cls, layout: Layout, side: int) -> Geometry:
        """The sizes of a layout whose longer side is ``side`` pixels for the network."""
        given = SAM_INPUT if layout == "sam" else ImageSize(SIDE, SIDE)
        seen = ImageSize(round(given.height * side / SIDE), side)
        return cls(given, seen, ImageSize(*(n + -n % MULTIPLE for n in seen)))

    def cells(self, stride: int) -> ImageSize:
        """The cells of a feature level."""
        return ImageSize(self.padded.height // stride, self.padded.width // stride)


class SamEncoder(nn.Module):
    """An image, as a layout has it, to the features that its decoder takes: those of all resolutions."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: Saywhere, layout: Layout, resolutions: Sequence[Geometry], packing: Packing) -> None:
        super().__init__()
        self.levels, self.names = Encoder(model), feature_names(model)
        self.layout, self.resolutions, self.packing = layout, resolutions, packing
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, ...] | Tensor:
        """Values 0 to 255 ``(H, W, 3)`` for ``sam``; normalised ``(1, 3, H, W)`` for ``sam2``."""
        features = self.encode(image)
        return torch.cat([tensor.flatten(1) for tensor in features], 1) if self.layout == "sam" else features

    def encode(self, image: Tensor) -> tuple[Tensor, ...]:
        """``(1, C, N)`` for each of the strides 4, 8 and 16: the cells of all resolutions, one after the other."""
        is_normalised = self.layout == "sam2"
        pixels = (image * self.deviation + self.mean) * 255.0 if is_normalised else image.permute(2, 0, 1)[None]
        model = self.levels.model
        resized = [self._resized(pixels, resolution) for resolution in self.resolutions]
        # The transformer sees an image of one size, whatever the resolution, so that it runs once.
        tokens = model.tokens_of_cells(resized[0] / 255.0, antialias=False) if model.image_tokens else None
        packed = []
        for resolution, image_pixels in zip(self.resolutions, resized, strict=True):
            if tokens is not None:
                tokens = F.interpolate(tokens, resolution.cells(16), mode="bilinear", align_corners=False)
            levels = self.levels(image_pixels.permute(0, 2, 3, 1), tokens)
            packed.append(self.packing.pack(dict(zip(self.names, levels, strict=True))))
        return tuple(torch.cat([tensor.flatten(2) for tensor in each], 2) for each in zip(*packed, strict=True))

    def _resized(self, pixels: Tensor, resolution: Geometry) -> Tensor:
        (height, width), padded = resolution.seen, resolution.padded
        pixels = F.interpolate(pixels, (height, width), mode="bilinear", align_corners=False)
        return F.pad(pixels, (0, padded.width - width, 0, padded.height - height), mode="replicate")


class ResolutionDecoder(nn.Module):
    """Features of one of the resolutions and a prompt to masks, best first, with their predicted IoU."""

    def __init__(self, model: Saywhere, resolutions: Sequence[Geometry], index: int, packing: Packing) -> None:
        super().__init__()
        self.model, self.resolutions, self.index, self.packing = model, resolutions, index, packing
        self.geometry, self.mask_size = resolutions[index], resolutions[-1].seen
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls this compiler old; only its loops become ONNX loops
            self.aggregate = torch.jit.script(aggregate)
            self.flood_fill = torch.jit.script(flood_fill)

    def forward(
        self,
        coarse: Tensor,
        fine: Tensor,
        middle: Tensor,
        points: Tensor,
        labels: Tensor,
        mask: Tensor,
        has_mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``(1, M, H, W)`` logits, ``(1, M)`` predicted IoU and ``(1, M, 256, 256)`` logits of the whole square."""
        levels = self.packing.unpack(self._features(fine, 4), self._features(middle, 8), self._features(coarse, 16))
        logits, scores = self._decode(levels, points, labels, mask, has_mask)
        height, width = self.geometry.seen
        logits = cropped(logits, self.geometry.seen)
        low = F.pad(logits, (0, 0, 0, width - height), value=NOTHING)  # masks of low resolution are of a square
        low = F.interpolate(low, (LOW_RESOLUTION, LOW_RESOLUTION), mode="bilinear", align_corners=False)
        if self.mask_size != self.geometry.seen:
            logits = F.interpolate(logits, self.mask_size, mode="bilinear", align_corners=False)
        return logits, scores, low

    def _features(self, joined: Tensor, stride: int) -> Tensor:
        counts = [resolution.cells(stride).height * resolution.cells(stride).width for resolution in self.resolutions]
        start = sum(counts[: self.index])
        return joined[..., start : start + counts[self.index]].unflatten(2, self.geometry.cells(stride))

    def _decode(
        self, levels: dict[str, Tensor], points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        (height, width), padded = self.geometry.seen, self.geometry.padded
        scale = points.new_tensor([width / self.geometry.given.width, height / self.geometry.given.height])
        # Clicks name pixels, whose centres are half a pixel farther; corners of boxes lie on the edges of pixels.
        offset = (labels < BOX_TOP_LEFT).to(points.dtype)[..., None] * 0.5
        previous = F.interpolate(mask, (width, width), mode="bilinear", align_corners=False).sigmoid()
        previous = cropped(previous, self.geometry.seen)
        previous = F.pad(previous * has_mask.view(1, 1, 1, 1), (0, padded.width - width, 0, padded.height - height))
        given = {
            **levels,
            "points": (points + offset) * scale - 0.5,
            "labels": labels,
            "radii": torch.zeros_like(labels),
            "previous": previous,
        }
        if self.model.relevance_maps:
            sources = self.model.relevance_sources
            given["relevance"] = points.new_zeros(1, sources, padded.height // 8, padded.width // 8)
        if self.model.attention is not None and self.model.phrase_encoder is not None:
            given["context"] = points.new_zeros(1, 2 * self.model.phrase_encoder.hidden)
        with mock.patch.object(network, "aggregate", self.aggregate):
            logits, iou_logits, _ = decode(self.model, given)
        logits = remove_unclicked_components(logits, given["points"], labels, self.flood_fill)
        logits, scores = fit_to_box(logits, iou_logits.sigmoid(), given["points"], labels)
        scores, order = scores.topk(scores.shape[1], dim=1)
        return logits[:, order[0]], scores


class DecoderOfSam(nn.Module):
    """A decoder of the layout ``sam2`` that takes and gives what ``sam`` does.

    Args:
        decoder: that of ``sam2``.
        given: the size of what the encoder takes.
        shapes: of the three tensors that :meth:`SamEncoder.encode` gives.
    """

    def __init__(self, decoder: nn.Module, given: ImageSize, shapes: Sequence[torch.Size]) -> None:
        super().__init__()
        self.decoder, self.given, self.shapes = decoder, given, shapes

    def forward(
        self, embedding: Tensor, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor, original: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`ResolutionDecoder.forward`; logits of the image's own size."""
        parts = embedding.split([shape.numel() for shape in self.shapes], 1)
        fine, middle, coarse = (part.view(shape) for part, shape in zip(parts, self.shapes, strict=True))
        logits, scores, low = self.decoder(coarse, fine, middle, points, labels, mask, has_mask)
        return self._in_original(logits, original), scores, low

    def _in_original(self, logits: Tensor, original: Tensor) -> Tensor:
        """Masks of the original's size, without what was added at its right and below it."""
        given = self.given
        fit = torch.minimum(given.height / original[0], given.width / original[1])
        height, width = ((original[i] * fit + 0.5).floor().long() for i in (0, 1))
        logits = F.interpolate(logits, tuple(given), mode="bilinear", align_corners=False)[..., :height, :width]
        size = cast(list[int], list(original.long()))  # tensors, so that the graph takes any size
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def feature_names(model: Saywhere) -> list[str]:
    """Names of the encoder's feature levels, in order."""
    return [f"{kind}{i}" for kind, count in zip(LEVELS, level_counts(model), strict=True) for i in range(count)]


def high_resolution_side(side: int) -> int:
    """The longer side of the image that the network sees after several clicks: a quarter more, where there is more."""
    return min(round(side * 1.25 / MULTIPLE) * MULTIPLE, SIDE)


def find_packing(model: Saywhere) -> Packing:
    """How the levels that the decoder of a network needs are packed."""
    names, side = feature_names(model), 2 * MULTIPLE
    image = torch.zeros(1, 3, side, side)
    tokens = model.tokens_of_cells(image) if model.image_tokens else None
    levels = dict(zip(names, Encoder(model)(image.permute(0, 2, 3, 1), tokens), strict=True))
    needed = [name for name in decoder_inputs(model) if name in levels]
    return Packing(
        {name: levels[name].shape[1] for name in needed}, {name: side // levels[name].shape[-1] for name in needed}
    )


def export_layout(weights: Path, layout: Layout, side: int = NETWORK_SIDE) -> tuple[bytes, bytes]:
    """Our network's encoder and decoder in one of SAM's layouts.

    Args:
        weights: a weights file of our network.
        layout: "sam" or "sam2".
        side: to how many pixels the image's longer side is resized for the first clicks; a multiple of 32.

    Returns:
        Two ONNX models.

    Raises:
        SaywhereError: the weights are of another network, or cannot be read.
    """
    if side < 2 * MULTIPLE or side > SIDE or side % MULTIPLE:
        raise SaywhereError(f"side {side}: give a multiple of {MULTIPLE} from {2 * MULTIPLE} to {SIDE}")
    with set_exportable(True):
        loaded = load_model(weights)
    if not isinstance(loaded.model, Saywhere):
        raise SaywhereError(
            f"weights '{weights}': network '{loaded.name}' cannot be exported; give weights of saywhere"
        )
    model = loaded.model
    fuse_batch_norms(model).requires_grad_(False)
    resolutions = [Geometry.of(layout, one) for one in dict.fromkeys((side, high_resolution_side(side)))]
    with torch.no_grad():
        packing = find_packing(model)
        encoder = SamEncoder(model, layout, resolutions, packing).eval()
        image = torch.zeros((*resolutions[0].given, 3) if layout == "sam" else (1, 3, *resolutions[0].given))
        features = encoder.encode(image)
        prompt = {
            "point_coords": torch.tensor([[[100.0, 120.0], [300.0, 200.0], [0.0, 0.0]]]),
            "point_labels": torch.tensor([[1.0, 0.0, -1.0]]),
            "mask_input": torch.zeros(1, 1, LOW_RESOLUTION, LOW_RESOLUTION),
            "has_mask_input": torch.zeros(1),
        }
        named = dict(zip(FEATURES["sam2"], features, strict=True))
        inputs = {"image_embed": named.pop("image_embed"), **named, **prompt}
        numbers = range(len(resolutions))
        decoders: list[nn.Module] = [ResolutionDecoder(model, resolutions, i, packing).eval() for i in numbers]
        if layout == "sam":
            sizes = [tensor.shape for tensor in features]
            decoders = [DecoderOfSam(one, resolutions[0].given, sizes) for one in decoders]
            original = {"orig_im_size": torch.tensor([480.0, 640.0])}
            inputs = {"image_embeddings": cast(Tensor, encoder(image)), **prompt, **original}
        count = model.candidates
        shapes = {
            "masks": (1, count, *(("height", "width") if layout == "sam" else resolutions[-1].seen)),
            "iou_predictions": (1, count),
            "low_res_masks": (1, count, LOW_RESOLUTION, LOW_RESOLUTION),
        }
        graphs = [_export(one, inputs, list(shapes)) for one in decoders]
        decoder = graphs[0] if len(graphs) == 1 else select_by_click_count(graphs[0], graphs[1], HIGH_RESOLUTION_FROM)
        image_name = "input_image" if layout == "sam" else "image"
        return _export(encoder, {image_name: image}, FEATURES[layout]), declare_outputs(decoder, shapes)


def _export(module: nn.Module, given: Mapping[str, Tensor], outputs: Sequence[str]) -> bytes:
    axes = {name: {1: "points"} for name in ("point_coords", "point_labels") if name in given}
    content: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter needs no further library, and is called old
        torch.onnx.export(
            module, tuple(given.values()), content, dynamo=False, opset_version=OPSET, do_constant_folding=True,
            input_names=list(given), output_names=list(outputs), dynamic_axes=axes,
        )  # fmt: skip
    return content.getvalue()


def write_sam(weights: Path, layout: Layout, out: Path, side: int = NETWORK_SIDE) -> list[Path]:
    """Write ``encoder.onnx`` and ``decoder.onnx``, and ``model.yaml`` with which X-AnyLabeling loads them.

    Args:
        weights: a weights file of our network.
        layout: "sam" or "sam2".
        out: the folder; it is made where there is none.
        side: see :func:`export_layout`.

    Returns:
        The files.
    """
    encoder, decoder = export_layout(weights, layout, side)
    kind = "segment_anything" if layout == "sam" else "segment_anything_2"
    lines = (
        f"type: {kind}", f"name: saywhere-{layout}", f"display_name: Saywhere ({weights.stem})",
        "encoder_model_path: encoder.onnx", "decoder_model_path: decoder.onnx",
    )  # fmt: skip
    files = {"encoder.onnx": encoder, "decoder.onnx": decoder, "model.yaml": ("\n".join(lines) + "\n").encode()}
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]


def write_darktable(weights: Path, out: Path, side: int = NETWORK_SIDE) -> Path:
    """Write a model package of darktable.

    Args:
        weights: a weights file of our network.
        out: the archive, ``NAME.dtmodel``.
        side: see :func:`export_layout`.

    Returns:
        ``out``.
    """
    encoder, decoder = export_layout(weights, "sam2", side)
    name = f"mask-{weights.stem}"
    description = {
        "id": name, "name": f"Saywhere ({weights.stem})",
        "description": "Object masks by clicks and boxes; small and quick on a processor", "task": "mask",
        "arch": "sam2", "backend": "onnx", "version": "1.0", "tiling": False,
    }  # fmt: skip
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        add_member(archive, f"{name}/config.json", json.dumps(description, indent=2).encode())
        add_member(archive, f"{name}/encoder.onnx", encoder)
        add_member(archive, f"{name}/decoder.onnx", decoder)
    write_atomically(out, content.getvalue())
    return out
