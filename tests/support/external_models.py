"""Stand-ins for exports of SAM's family: tiny networks with the inputs and outputs that each project's script writes.

The networks know colours alone: an encoder averages cells of 16 x 16 pixels, and a decoder finds the cells whose colour
is like that under the clicks, or in the middle of a box. Names, shapes, types and orders are facts about the scripts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
SIDE, CELL = 1024, 16
NEAR = (0.12, 0.3, 0.6)  # how far from a click's colour a cell of each candidate may be
Axes = Mapping[str, Mapping[int, str]]


class Encoder(nn.Module):
    """Normalised ``(1, 3, 1024, 1024)`` to the mean colour of each cell, in the first 3 of 256 channels."""

    channels = 256

    def embed(self, image: Tensor) -> Tensor:
        pixels = image * DEVIATION.view(1, 3, 1, 1) + MEAN.view(1, 3, 1, 1)
        cells = F.avg_pool2d(pixels, CELL)
        return F.pad(cells, (0, 0, 0, 0, 0, self.channels - 3))

    def forward(self, image: Tensor) -> Any:
        return self.embed(image)


class PreprocessingEncoder(Encoder):
    """samexporter with ``--use-preprocess``: ``(H, W, 3)``, values 0 to 255, normalised and then padded with zeros."""

    def forward(self, image: Tensor) -> Tensor:
        pixels = ((image / 255.0 - MEAN) / DEVIATION).permute(2, 0, 1)[None]
        return self.embed(F.pad(pixels, (0, SIDE - pixels.shape[3], 0, SIDE - pixels.shape[2])))


class HqEncoder(PreprocessingEncoder):
    """HQ-SAM: also the features of four blocks of a ViT-B, one output each, or stacked in one."""

    def __init__(self, stacked: bool) -> None:
        super().__init__()
        self.stacked = stacked

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        embedding = super().forward(image)
        early = embedding.permute(0, 2, 3, 1).repeat(1, 1, 1, 3)
        blocks = [early * k for k in (1.0, 0.5, 0.25, 0.125)]
        return (embedding, torch.stack(blocks)) if self.stacked else (embedding, *blocks)


class Sam2Encoder(Encoder):
    """samexporter for SAM 2: features at three strides."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        cells = self.embed(image)
        fine, middle = (F.interpolate(cells[:, :count], scale_factor=scale) for count, scale in ((32, 4), (64, 2)))
        return fine, middle, cells


class EfficientEncoder(Encoder):
    """EfficientSAM: values 0 to 1 of any size, squeezed to the square in the graph."""

    def forward(self, image: Tensor) -> Tensor:
        pixels = F.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return self.embed((pixels - MEAN.view(1, 3, 1, 1)) / DEVIATION.view(1, 3, 1, 1))


def find_alike(cells: Tensor, points: Tensor, labels: Tensor) -> Tensor:
    """``(1, 3, 256, 256)`` logits of the cells whose colour is like that of the positive clicks.

    Args:
        cells: ``(1, C, 64, 64)``.
        points: ``(1, N, 2)`` in pixels of the square.
        labels: ``(1, N)`` as SAM has them.
    """
    colours = cells[0, :3]
    rows, columns = torch.arange(64)[:, None] + 0.5, torch.arange(64)[None] + 0.5
    corner = [(points[0] * (labels[0] == k)[:, None]).sum(0) / CELL for k in (2.0, 3.0)]
    has_box = (labels == 2.0).any()
    middle = (corner[0] + corner[1]) / 2.0
    places = torch.cat([(points[0] + 0.5) / CELL, middle[None]]).clamp(0.0, 63.9).long()
    kinds = torch.cat([labels[0], torch.where(has_box, 1.0, -1.0)[None]])
    under = colours.flatten(1)[:, places[:, 1] * 64 + places[:, 0]]
    distances = (colours[:, :, :, None] - under[:, None, None]).abs().amax(0)
    far = torch.full_like(distances, 2.0)
    positive = torch.where(kinds == 1.0, distances, far).amin(-1)
    negative = torch.where(kinds == 0.0, distances, far).amin(-1)
    outside = has_box & (
        (columns < corner[0][0]) | (columns > corner[1][0]) | (rows < corner[0][1]) | (rows > corner[1][1])
    )
    logits = torch.stack([torch.minimum(torch.tensor(near), negative - 1e-3) - positive for near in NEAR])
    logits = torch.where(outside, torch.tensor(-1.0), logits) * 20.0
    return F.interpolate(logits[None], (256, 256), mode="bilinear", align_corners=False)


def scores_of(logits: Tensor) -> Tensor:
    """``(1, n)``: the surer, the higher."""
    return logits.abs().mean((2, 3)).clamp(max=10.0) / 20.0 + 0.4


class SamDecoder(nn.Module):
    """Meta's script for SAM 1: masks of the original size, predicted IoU, and logits of low resolution."""

    def __init__(self, masks: int = 4, extra: bool = False) -> None:
        super().__init__()
        self.masks, self.extra = masks, extra

    def forward(
        self, embedding: Tensor, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor, original: Tensor
    ) -> tuple[Tensor, ...]:
        low = find_alike(embedding, points, labels) + 30.0 * has_mask * mask.clamp(min=0.0)
        low = torch.cat([low[:, :1], low], 1)[:, : self.masks]
        whole = F.interpolate(low, (SIDE, SIDE), mode="bilinear", align_corners=False)
        fit = torch.floor(original * (SIDE / original.max()) + 0.5).long()
        whole = whole[..., : fit[0], : fit[1]]
        size: Any = list(original.long())
        masks, scores = F.interpolate(whole, size, mode="bilinear", align_corners=False), scores_of(low)
        if self.extra:  # the script names three of these five outputs
            return masks, scores, scores * 0.5, (masks > 0.0).sum((2, 3)), low
        return masks, scores, low


class HqDecoder(SamDecoder):
    """HQ-SAM: early features beside the embedding; one mask."""

    def forward(self, embedding: Tensor, early: Tensor, *prompt: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        shown = early[0].permute(0, 3, 1, 2)[:, :256]  # the same colours, so that both inputs have to be right
        return super().forward((embedding + shown) / 2.0, *prompt)


class EdgeDecoder(nn.Module):
    """EdgeSAM: scores come first, then four masks of low resolution; neither mask nor size is asked for."""

    def forward(self, embedding: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        low = find_alike(embedding, points, labels)
        low = torch.cat([low[:, :1], low], 1)
        return scores_of(low), low


class Sam2Decoder(nn.Module):
    """samexporter for SAM 2: three masks of the square. Earlier exports ask for the size of the masks."""

    def forward(
        self, embedding: Tensor, fine: Tensor, middle: Tensor, points: Tensor, labels: Tensor, mask: Tensor,
        has_mask: Tensor, original: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        shown = (fine[:, :3, ::4, ::4] + middle[:, :3, ::2, ::2] + embedding[:, :3]) / 3.0
        low = find_alike(shown, points, labels) + 30.0 * has_mask.view(-1, 1, 1, 1) * mask.clamp(min=0.0)
        scores = scores_of(low)
        if original is not None:
            size: Any = list(original.long())
            low = F.interpolate(low, size, mode="bilinear", align_corners=False)
        return low, scores


class EfficientDecoder(nn.Module):
    """EfficientSAM: points in pixels of the image, several prompts at once, masks of the original size."""

    def forward(self, embedding: Tensor, points: Tensor, labels: Tensor, original: Tensor) -> tuple[Tensor, ...]:
        height, width = original[0], original[1]
        scale = torch.stack([SIDE / width.float(), SIDE / height.float()])
        low = find_alike(embedding, points[0, :1].reshape(1, -1, 2) * scale, labels[0, :1].reshape(1, -1))
        size: Any = [height, width]
        masks = F.interpolate(low, size, mode="bilinear", align_corners=False)
        return masks[None], scores_of(low)[None], low


POINTS: Axes = {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}}
PROMPT = {
    "point_coords": torch.rand(1, 5, 2) * SIDE,
    "point_labels": torch.tensor([[1.0, 0.0, 2.0, 3.0, -1.0]]),
    "mask_input": torch.zeros(1, 1, 256, 256),
    "has_mask_input": torch.ones(1),
}
EMBEDDING, ORIGINAL = torch.zeros(1, 256, 64, 64), torch.tensor([1500.0, 2250.0])
NAMES = ("masks", "iou_predictions", "low_res_masks")


def export(
    module: nn.Module, path: Path, inputs: Mapping[str, Tensor], outputs: Sequence[str], axes: Axes, opset: int = 17
) -> Path:
    """Write a network as ONNX, as the projects' scripts do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), str(path), dynamo=False, opset_version=opset,
            input_names=list(inputs), output_names=list(outputs), dynamic_axes=dict(axes),
        )  # fmt: skip
    return path


def image_of(height: int, width: int) -> Mapping[str, Tensor]:
    return {"input_image": torch.zeros(height, width, 3)}


DYNAMIC: Axes = {"input_image": {0: "image_height", 1: "image_width"}}
SQUARE = {"input_image": torch.zeros(1, 3, SIDE, SIDE)}
BATCHED: Axes = {"batched_images": {0: "batch", 2: "height", 3: "width"}}


def sam(encoder: nn.Module, image: Mapping[str, Tensor], axes: Axes, **decoder: Any) -> Callable[[Path], Any]:
    """SAM 1 and MobileSAM, by Meta's script and samexporter."""

    def write(folder: Path) -> tuple[Path, Path]:
        given = {"image_embeddings": EMBEDDING, **PROMPT, "orig_im_size": ORIGINAL}
        return (
            export(encoder, folder / "encoder.onnx", image, ["image_embeddings"], axes),
            export(SamDecoder(**decoder), folder / "decoder.onnx", given, NAMES, POINTS),
        )

    return write


def sam_hq(stacked: bool) -> Callable[[Path], Any]:
    """HQ-SAM, by its own script and X-AnyLabeling's encoder."""
    names = ["interm_embeddings"] if stacked else [f"interm_embeddings.{i}" for i in range(1, 5)]

    def write(folder: Path) -> tuple[Path, Path]:
        given = {"image_embeddings": EMBEDDING, "interm_embeddings": torch.zeros(4, 1, 64, 64, 768), **PROMPT,
                 "orig_im_size": ORIGINAL}  # fmt: skip
        encoder = HqEncoder(stacked)
        return (
            export(encoder, folder / "encoder.onnx", image_of(684, SIDE), ["image_embeddings", *names], {}),
            export(HqDecoder(masks=1), folder / "decoder.onnx", given, NAMES, POINTS),
        )

    return write


def edge_sam(folder: Path) -> tuple[Path, Path]:
    """EdgeSAM, by its own script."""
    image = {"image": torch.zeros(1, 3, SIDE, SIDE)}
    given = {"image_embeddings": EMBEDDING, **{name: PROMPT[name] for name in POINTS}}
    return (
        export(Encoder(), folder / "encoder.onnx", image, ["image_embeddings"], {}, opset=11),
        export(EdgeDecoder(), folder / "decoder.onnx", given, ["scores", "masks"], POINTS, opset=11),
    )


def sam2(asks_size: bool) -> Callable[[Path], Any]:
    """SAM 2 and 2.1, by samexporter; with ``asks_size`` by the notebook of which it is made."""

    def write(folder: Path) -> tuple[Path, Path]:
        features = {"image_embed": EMBEDDING, "high_res_feats_0": torch.zeros(1, 32, 256, 256),
                    "high_res_feats_1": torch.zeros(1, 64, 128, 128)}  # fmt: skip
        given = {**features, **PROMPT}
        axes = {name: {0: "num_labels", **POINTS.get(name, {})} for name in PROMPT}
        if asks_size:
            given["orig_im_size"] = torch.tensor([480, 640], dtype=torch.int32)
        image, outputs = (
            {"image": torch.zeros(1, 3, SIDE, SIDE)},
            ["high_res_feats_0", "high_res_feats_1", "image_embed"],
        )
        return (
            export(Sam2Encoder(), folder / "encoder.onnx", image, outputs, {}),
            export(Sam2Decoder(), folder / "decoder.onnx", given, NAMES[:2], axes),
        )

    return write


def efficient_sam(labelme: bool) -> Callable[[Path], Any]:
    """EfficientSAM, by its own script, whose prompts have one point each, or labelme's, with any number of points."""

    def write(folder: Path) -> tuple[Path, Path]:
        shape, axis = ((1, 1, 5), 2) if labelme else ((1, 5, 1), 1)
        names = "batched_point_coords", "batched_point_labels"
        points = {names[0]: torch.rand(*shape, 2) * 400.0, names[1]: torch.ones(shape)}
        axes = {**{name: {axis: "num_points"} for name in names}, "image_embeddings": {0: "batch"}}
        given = {"image_embeddings": EMBEDDING, **points, "orig_im_size": torch.tensor([1080, 1920])}
        image = {"batched_images": torch.zeros(1, 3, 1080, 1920)}
        return (
            export(EfficientEncoder(), folder / "encoder.onnx", image, ["image_embeddings"], BATCHED),
            export(EfficientDecoder(), folder / "decoder.onnx", given, ["output_masks", "iou_predictions"], axes),
        )

    return write


EXPORTS: dict[str, Callable[[Path], tuple[Path, Path]]] = {
    "sam, samexporter": sam(PreprocessingEncoder(), image_of(SIDE, SIDE), DYNAMIC),
    "sam, samexporter without preprocessing": sam(Encoder(), SQUARE, {}),
    "sam, one mask": sam(PreprocessingEncoder(), image_of(SIDE, SIDE), DYNAMIC, masks=1),
    "sam, extra metrics": sam(PreprocessingEncoder(), image_of(SIDE, SIDE), DYNAMIC, extra=True),
    "mobile-sam, X-AnyLabeling": sam(PreprocessingEncoder(), image_of(684, SIDE), {}),
    "sam-hq, X-AnyLabeling": sam_hq(stacked=False),
    "sam-hq, stacked": sam_hq(stacked=True),
    "edge-sam": edge_sam,
    "sam2, samexporter": sam2(asks_size=False),
    "sam2, size asked for": sam2(asks_size=True),
    "efficient-sam": efficient_sam(labelme=False),
    "efficient-sam, labelme": efficient_sam(labelme=True),
}
"""Writes encoder and decoder of an export into a folder, by the name of the export."""
