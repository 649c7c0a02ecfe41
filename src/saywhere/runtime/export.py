"""Our network as ONNX graphs, which :class:`saywhere.runtime.onnx.OnnxRuntime` runs. Needs torch and onnx.

The graphs hold no weights: those come from the safetensors file when they are loaded. So one artefact serves all
weights of a network with the same options.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import onnx
import torch
from timm.layers.config import set_exportable
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from saywhere.core.atomic import write_atomically
from saywhere.core.image_tokens import LONGER_SIDE, PATCH, STRIDE
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError
from saywhere.models import RENAMED_OPTIONS
from saywhere.models import saywhere as network
from saywhere.models.base import Candidates
from saywhere.models.checkpoint import load_model
from saywhere.models.layers.clicks import ClickTensors, aggregate
from saywhere.models.layers.phrase import EncodedPhrases
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.artefact import DESCRIPTION, PREFIX, VERSION, options_of_graph
from saywhere.runtime.export_gradient import export_gradient
from saywhere.runtime.fuse import find_fusible, fuse_batch_norms

OPSET = 18
LEARNING_SIDE, LEARNING_CLICKS = 320, 10  # of the images that sequences learn from, as SequenceOptions has it
TRIAL = 128, 192  # height and width of the image that the graphs are traced with; they take any multiple of 32
LEVELS = ("raw", "pure", "fused", "keys")


class Encoder(nn.Module):
    """An image to all feature levels."""

    folding: Tensor

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model
        channels = model.encoder.feature_info.channels()[0]  # type: ignore[union-attr,operator]
        self.register_buffer("folding", torch.eye(4 * channels).view(-1, channels, 2, 2))

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode.

        Args:
            image: ``(B, H, W, 3)`` uint8 RGB.
            tokens: ``(B, C, H/16, W/16)``; None for a network without tokens.

        Returns:
            The tensors of :class:`saywhere.models.saywhere.FeatureLevels`, in order.
        """
        pixels = image.permute(0, 3, 1, 2).float() * (2.0 / 255.0) - 1.0
        # ONNX Runtime takes ten times as long to transpose as to fold pixels into channels by a convolution.
        with mock.patch.object(F, "pixel_unshuffle", lambda x, _: F.conv2d(x, self.folding, stride=2)):
            raw = self.model.encode_levels(pixels, tokens)
        return tuple(x for level in self.model.purify_levels(raw) for x in level)


class Tokens(nn.Module):
    """A whole image ``(B, 14 h, 14 w, 3)`` uint8 RGB to its tokens ``(B, C, h, w)``."""

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model.encode_tokens(image.permute(0, 3, 1, 2).float() / 255.0)


class Purify(nn.Module):
    """Raw levels to the others, with the parameters of the purification layer as inputs."""

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        count = len(inputs) - 2 * len(self.model.purification)
        raw, parameters = inputs[:count], inputs[count:]
        with replaced_purification(self.model, parameters):
            features = self.model.purify_levels(raw)
        return *features.pure, *features.fused, *features.keys


class Decoder(nn.Module):
    """Features and a prompt to all candidates' logits ``(B, n, H, W)`` and the logits of their IoU ``(B, n)``."""

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls this compiler old; only its loops become ONNX loops
            self.aggregate = torch.jit.script(aggregate)  # a loop over clicks, whatever their number

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(decoder_inputs(self.model), inputs, strict=True))
        with mock.patch.object(network, "aggregate", self.aggregate):
            candidates = decode(self.model, given)
        return candidates.logits, candidates.iou_logits


class RelevanceFeatures(nn.Module):
    """What phrases are compared with; see :meth:`saywhere.models.saywhere.Saywhere.relevance_features`."""

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, pure1: Tensor, pure2: Tensor, pure3: Tensor, raw3: Tensor, raw4: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return self.model.relevance_features((pure1, pure1, pure2, pure3), raw3, raw4)


class Phrase(nn.Module):
    """One phrase's word vectors ``(1, T, D)`` to its context and meaning."""

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        assert self.model.phrase_encoder is not None
        return self.model.phrase_encoder.encode_words(words)


class Relevance(nn.Module):
    """Relevance features and an encoded phrase to the logits of its relevance."""

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model

    def forward(self, context: Tensor, meaning: Tensor, *maps: Tensor) -> Tensor:
        return self.model.phrase_logits(maps, EncodedPhrases(context, meaning, torch.ones(1)))


def level_counts(model: Saywhere) -> tuple[int, int, int, int]:
    """How many tensors each of :data:`LEVELS` has; tokens are one more, which the purification layer leaves alone."""
    tokens = int(model.token_encoder is not None)
    return 4 + tokens, 4, 4 + tokens, (3 if model.keys else 0) + tokens


def decoder_inputs(model: Saywhere) -> list[str]:
    """Names of the decoder's inputs, in order."""
    _, _, fused, keys = level_counts(model)
    names = [f"fused{i}" for i in range(fused)] + [f"keys{i}" for i in range(keys)]
    names += [f"pure{i}" for i in (1, 2, 3)] if model.film is not None else []
    names += ["points", "labels", "radii", "previous"]
    names += ["relevance"] if model.relevance_maps else []
    return names + (["context"] if model.attention is not None else [])


def decode(model: Saywhere, given: Mapping[str, Tensor]) -> Candidates:
    """All candidates from tensors by name; see :func:`decoder_inputs`."""
    _, _, fused_count, keys_count = level_counts(model)
    fused = [given[f"fused{i}"] for i in range(fused_count)]
    return model.decode_levels(
        [fused[0], *(given.get(f"pure{i}", fused[0]) for i in (1, 2, 3))],
        fused,
        [given[f"keys{i}"] for i in range(keys_count)],
        ClickTensors(given["points"], given["labels"], given["radii"]),
        given["previous"],
        given.get("relevance", fused[1][:, :0]),
        given.get("context"),
    )


def replaced_purification(model: Saywhere, parameters: Sequence[Tensor]) -> ExitStack:
    """A context in which the purification layer computes with other parameters.

    Args:
        model: with fused batch norms.
        parameters: weight and bias of each level in turn.
    """
    stack = ExitStack()
    for layer, weight, bias in zip(model.purification, parameters[::2], parameters[1::2], strict=True):

        def forward(x: Tensor, weight: Tensor = weight, bias: Tensor = bias) -> Tensor:
            return F.relu(F.conv2d(x, weight, bias))

        stack.enter_context(mock.patch.object(layer, "forward", forward))
    return stack


def export_graphs(weights: Path, out: Path) -> Path:
    """Write the graphs of a network as one artefact.

    Args:
        weights: a weights file of our network.
        out: the artefact, a zip archive.

    Returns:
        ``out``.

    Raises:
        SaywhereError: the weights are of another network, or a file cannot be read or written.
    """
    with set_exportable(True):  # timm's attention then does without torch's fused one, which cannot be exported
        loaded = load_model(weights)
    if not isinstance(loaded.model, Saywhere):
        raise SaywhereError(f"weights '{weights}': network '{loaded.name}' has no graphs; torch runs it")
    pairs = find_fusible(loaded.model)
    model = loaded.model
    fuse_batch_norms(model).requires_grad_(False)
    with torch.no_grad():
        graphs = trace_all(model)
    graphs["purification_gradient"] = export_gradient(model, LEARNING_SIDE, LEARNING_CLICKS)
    description = {
        "version": VERSION,
        "network": loaded.name,
        "options": options_of_graph(loaded.metadata["options"]),
        "renamed_parameters": dict(model.renamed_parameters),
        "renamed_options": dict(RENAMED_OPTIONS),
        "fused": [list(pair) for pair in pairs],
        "strides": list(model.strides),
        "learning": {"side": LEARNING_SIDE, "clicks": LEARNING_CLICKS},
        "phrases": model.phrases,
        "relevance": model.relevance_maps,
        "boxes": model.boxes,
        "candidates": model.candidates,
        "hidden": model.phrase_encoder.hidden if model.phrase_encoder else 0,
        "parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds_per_pixel": count_multiply_adds(model),
        "graphs": {name: facts for name, (facts, _) in graphs.items()},
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        add_member(archive, DESCRIPTION, json.dumps(description, indent=1).encode())
        for name, (_, graph) in graphs.items():
            add_member(archive, f"{name}.onnx", graph)
    write_atomically(out, content.getvalue())
    return out


def add_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file with a fixed date, so that equal content gives equal archives."""
    info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, content)


def trace_all(model: Saywhere) -> dict[str, tuple[dict[str, Any], bytes]]:
    """Every graph by name: its inputs, outputs and weights, and the graph itself."""
    h, w = TRIAL
    image = torch.randint(0, 255, (1, h, w, 3), dtype=torch.uint8)
    graphs, seen = {}, {"image": image}
    if model.image_tokens:
        whole = image[:, : h // PATCH * PATCH, : w // PATCH * PATCH]
        graphs["tokens"] = trace(Tokens(model), {"image": whole}, ["tokens"])
        channels = Tokens(model)(whole).shape[1]
        seen["tokens"] = torch.rand(1, channels, h // STRIDE, w // STRIDE)
    outputs = Encoder(model)(*seen.values())
    names = [f"{kind}{i}" for kind, count in zip(LEVELS, level_counts(model), strict=True) for i in range(count)]
    tensors = dict(zip(names, outputs, strict=True))
    graphs["encoder"] = trace(Encoder(model), seen, names)
    parameters = {
        f"{i}.0.{part}": getattr(layer[0], part)  # type: ignore[index]
        for i, layer in enumerate(model.purification)
        for part in ("weight", "bias")
    }
    raw = {name: tensors[name] for name in names if name.startswith("raw")}
    graphs["purify"] = trace(Purify(model), {**raw, **parameters}, names[len(raw) :], fixed=list(parameters))
    prompt = Prompt((Click(40, 50, True, 9.0), Click(60, 20, False)), box=(20, 10, 90, 70) if model.boxes else None)
    clicks = ClickTensors.from_prompts([prompt], torch.device("cpu"))
    given = {**tensors, **clicks._asdict(), "previous": torch.rand(1, 1, h, w)}
    if model.phrase_encoder is not None:
        words = torch.rand(1, 3, model.phrase_encoder.words.dimensions)
        context, meaning = Phrase(model)(words)
        graphs["phrase"] = trace(Phrase(model), {"words": words}, ["context", "meaning"])
        given["context"] = context
        if model.relevance_maps:
            of_tokens = ("raw4",) if model.relevance_of_tokens else ()
            used = {name: tensors[name] for name in ("pure1", "pure2", "pure3", "raw3", *of_tokens)}
            maps = RelevanceFeatures(model)(*used.values())
            features = {f"relevance_features{i}": x for i, x in enumerate(maps)}
            graphs["relevance_features"] = trace(RelevanceFeatures(model), used, list(features))
            compared = {"context": context, "meaning": meaning, **features}
            graphs["relevance"] = trace(Relevance(model), compared, ["relevance"])
            given["relevance"] = Relevance(model)(*compared.values())
    used = {name: given[name] for name in decoder_inputs(model)}
    graphs["decoder"] = trace(Decoder(model), used, ["logits", "iou_logits"])
    return graphs


def trace(
    module: nn.Module, given: Mapping[str, Tensor], outputs: Sequence[str], fixed: Sequence[str] = ()
) -> tuple[dict[str, Any], bytes]:
    """Export one graph and take its weights out.

    Args:
        module: what to export.
        given: its inputs by name.
        outputs: names of its outputs.
        fixed: inputs whose shapes never change.

    Returns:
        The names of inputs, outputs and weights, and the ONNX model without weights.
    """
    axes = {name: {0: "batch", 1: f"{name}_1"} for name in given if given[name].ndim in (2, 3)}
    axes |= {name: {0: "batch", 2: f"{name}_h", 3: f"{name}_w"} for name in (*given, *outputs) if name not in axes}
    for name in ("context", "meaning", "iou_logits"):
        axes[name] = {0: "batch"}
    axes |= {"image": {0: "batch", 1: "h", 2: "w"}}
    axes = {name: dims for name, dims in axes.items() if name in (*given, *outputs) and name not in fixed}
    module.eval()
    content: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter needs no further library, and is called old
        torch.onnx.export(
            module, tuple(given.values()), content, dynamo=False, opset_version=OPSET, do_constant_folding=False,
            input_names=list(given), output_names=list(outputs), dynamic_axes=axes,
        )  # fmt: skip
    graph = onnx.load_model_from_string(content.getvalue())
    weights = [tensor for tensor in graph.graph.initializer if tensor.name.startswith(PREFIX)]
    for tensor in weights:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "weights"), ("offset", "0"), ("length", "0")):
            tensor.external_data.add(key=key, value=value)
    inputs = [value.name for value in graph.graph.input]
    facts = {"inputs": inputs, "outputs": list(outputs), "weights": [tensor.name for tensor in weights]}
    return facts, graph.SerializeToString()


def count_multiply_adds(model: Saywhere) -> dict[str, float]:
    """Multiply-adds of encoding and of decoding, for each pixel of the padded crop; those of tokens for each token.

    Tokens are counted for an image of 4:3: what each costs grows a little with their number.
    """
    h, w = TRIAL
    image = torch.zeros(1, 3, h, w)
    rows, columns = LONGER_SIDE * 3 // 4, LONGER_SIDE

    def count(run: Callable[[], Any]) -> float:
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops() / 2

    features = model.encode(image)
    tokens = features.levels["raw"][-1] if model.image_tokens else None
    whole, prompts = torch.zeros(1, 3, rows * PATCH, columns * PATCH), [Prompt((Click(9, 9),))]
    counts = {
        "encode": count(lambda: model.encode_crop(image, tokens)) / (h * w),
        "decode": count(lambda: model.decode(features, prompts, image[:, :1])) / (h * w),
    }
    if model.image_tokens:
        counts["tokens"] = count(lambda: model.encode_tokens(whole)) / (rows * columns)
    return counts
