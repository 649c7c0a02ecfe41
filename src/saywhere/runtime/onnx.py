"""Networks run by ONNX Runtime, without torch."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import cv2
import numpy as np
import onnxruntime

from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.image_tokens import LONGER_SIDE, MULTIPLE, image_for_tokens, tokens_in_crop
from saywhere.core.mask import sigmoid
from saywhere.core.processes import renew_after_fork
from saywhere.core.prompt import Prompt, click_arrays
from saywhere.errors import NoMapError, SaywhereError
from saywhere.runtime.artefact import PREFIX, Artefact
from saywhere.runtime.base import Capabilities, Parameters, PurifyingRuntime, vocabulary_of
from saywhere.runtime.threads import get_threads
from saywhere.storage.tensors import check_finite, rename_prefixes
from saywhere.text.words import Words, load_words


@dataclass(frozen=True)
class OnnxFeatures:
    """Features of one image.

    Attributes:
        size: of the image, without padding.
        levels: the encoder's outputs by name.
        cache: outputs of other graphs, computed when first needed.
    """

    size: ImageSize
    levels: Mapping[str, FloatArray]
    cache: dict[str, FloatArray] = field(default_factory=dict)


class Sessions:
    """The graphs of an artefact with weights, ready to run with the present number of threads.

    Args:
        artefact: the graphs.
        weights: the tensors of the weights file, with fused batch norms.
    """

    def __init__(self, artefact: Artefact, weights: Mapping[str, FloatArray]) -> None:
        self.artefact, self.weights = artefact, weights
        self._values: dict[str, onnxruntime.OrtValue] = {}  # ONNX Runtime reads these as long as it runs
        self._sessions: dict[tuple[str, int], onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """New sessions when they are next needed: the threads of those of the parent process are not in this one."""
        abandon(self._sessions)
        self._sessions, self._lock = {}, threading.Lock()

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, FloatArray]:
        """Run a graph.

        Args:
            graph: its name in the artefact.
            inputs: arrays by name; those that the graph does not take are left out.

        Returns:
            Its outputs by name.
        """
        facts = self.artefact.description["graphs"][graph]
        fed = {name: inputs[name] for name in facts["inputs"]}
        return dict(zip(facts["outputs"], self._session(graph).run(None, fed), strict=True))

    def _session(self, graph: str) -> onnxruntime.InferenceSession:
        key = graph, get_threads()
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = self._open(*key)
            return self._sessions[key]

    def _open(self, graph: str, threads: int) -> onnxruntime.InferenceSession:
        names = self.artefact.description["graphs"][graph]["weights"]
        for name in names:
            if name not in self._values:
                tensor = np.array(self.weights[name.removeprefix(PREFIX)], np.float32, order="C")
                self._values[name] = onnxruntime.OrtValue.ortvalue_from_numpy(tensor)
        options = session_options(threads)
        options.add_external_initializers(names, [self._values[name] for name in names])
        content = self.artefact.graphs[graph]
        try:
            return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions have no common class
            reason = " ".join(str(error).split())[:200]
            raise SaywhereError(
                f"ONNX graphs '{self.artefact.path}': graph '{graph}' does not run with these weights ({reason})"
            ) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # nothing in it changes

    def __getstate__(self) -> dict[str, Any]:
        return {"artefact": self.artefact, "weights": self.weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How every graph is run: quietly, with a number of threads that do not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait take time from other threads and processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def abandon(sessions: Mapping[tuple[str, int], onnxruntime.InferenceSession]) -> None:
    """In a forked process, never release the sessions of its parent: that would wait for threads that are not there.

    ONNX Runtime waits for such threads when a process exits too, so this one exits without its libraries' destructors.
    """
    if not sessions:
        return
    for session in sessions.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session._sess))
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has on_exit, whose handler gets the exit status
        libc = ctypes.CDLL(None)
        libc.on_exit(libc._exit, None)


class OnnxRuntime(PurifyingRuntime):
    """Runs our network by ONNX Runtime on the processor.

    Args:
        artefact: the graphs of the network.
        weights: the tensors of a weights file.
        name: what tables and messages call it.
        digest: names the weights.
        metadata: of the weights file.

    Raises:
        SaywhereError: the weights are of another architecture than the graphs.
    """

    def __init__(
        self, artefact: Artefact, weights: Mapping[str, Any], name: str, digest: str, metadata: Mapping[str, Any]
    ) -> None:
        self.name, self.digest, self.metadata = name, digest, metadata
        self.description = artefact.description
        renamed = rename_prefixes(weights, self.description["renamed_parameters"])
        try:
            with np.errstate(all="ignore"):
                fused = fuse_batch_norms(renamed, self.description["fused"])
        except (ValueError, LookupError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise SaywhereError(
                f"weights '{name}': of another architecture than '{artefact.path}' ({reason})"
            ) from error
        check_finite(fused, f"weights '{name}'")
        needed = {n.removeprefix(PREFIX) for facts in self.description["graphs"].values() for n in facts["weights"]}
        if missing := sorted(needed - fused.keys()):
            raise SaywhereError(
                f"weights '{name}': lack {missing[0]} and {len(missing) - 1} more tensors that the ONNX graphs "
                f"'{artefact.path}' need; export the graphs of these weights"
            )
        self.sessions = Sessions(artefact, fused)
        self.words: Words | None = None
        if self.description["phrases"]:
            self.words = load_words(metadata["options"].get("words"))
        self.purification: Parameters | None = None  # None: that of the weights
        self.capabilities = Capabilities(
            phrases=self.description["phrases"],
            words=self.words,
            vocabulary=vocabulary_of(metadata, self.words) if self.description["relevance"] else None,
            relevance=self.description["relevance"],
            calibrated_relevance=self.description["relevance"],
            salient=bool(metadata["options"].get("salient")),
            boxes=self.description["boxes"],
            candidates=self.description["candidates"],
            image_tokens="tokens" in self.description["graphs"],
            purification_strides=tuple(self.description["strides"]),
            backend="onnxruntime",
        )

    # Encoding

    def encode(self, image: ImageArray) -> OnnxFeatures:
        if self.capabilities.image_tokens:
            return self.encode_crop(image, Crop.whole(image), self.tokens(image))
        return self._encode(image, {})

    def tokens(self, image: ImageArray) -> FloatArray:
        return self.sessions.run("tokens", {"image": image_for_tokens(image)[None]})["tokens"][0]

    def encode_crop(self, image: ImageArray, crop: Crop, tokens: FloatArray) -> OnnxFeatures:
        sampled = tokens_in_crop(tokens, ImageSize(*image.shape[:2]), crop)
        return self._encode(crop.crop(image), {"tokens": sampled[None]})

    def _encode(self, image: ImageArray, further: Mapping[str, FloatArray]) -> OnnxFeatures:
        """Run the encoder.

        Args:
            image: of any size.
            further: its inputs beside the image.
        """
        h, w = image.shape[:2]
        padded = cv2.copyMakeBorder(image, 0, -h % MULTIPLE, 0, -w % MULTIPLE, cv2.BORDER_REPLICATE)
        features = OnnxFeatures(ImageSize(h, w), self.sessions.run("encoder", {"image": padded[None], **further}))
        return features if self.purification is None else self.purify(features)

    def cost(self, size: ImageSize) -> dict[str, int]:
        pixels = (size.height + -size.height % MULTIPLE) * (size.width + -size.width % MULTIPLE)
        per_pixel = self.description["multiply_adds_per_pixel"]  # but those of tokens, which are for each token
        tokens = LONGER_SIDE**2 * min(size) / max(size)
        return {
            "parameters": self.description["parameters"],
            "encode_multiply_adds": round(pixels * per_pixel["encode"] + tokens * per_pixel.get("tokens", 0.0)),
            "decode_multiply_adds": round(pixels * per_pixel["decode"]),
        }

    # Decoding

    def decode(self, features: OnnxFeatures, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        logits, iou_logits = self._decode(features, prompt, previous)
        return logits[iou_logits.argmax()]

    def decode_candidates(
        self, features: OnnxFeatures, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        logits, iou_logits = self._decode(features, prompt, previous)
        return logits, sigmoid(iou_logits)

    def _decode(
        self, features: OnnxFeatures, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """The candidates' logits ``(n, H, W)``, and the logits of their predicted IoU ``(n,)``."""
        h, w = features.size
        inputs = {**features.levels, **click_arrays([prompt])._asdict()}
        inputs["previous"] = np.zeros((1, 1, h + -h % MULTIPLE, w + -w % MULTIPLE), np.float32)
        if previous is not None:
            inputs["previous"][0, 0, :h, :w] = previous
        if self.capabilities.phrases:
            inputs |= self._phrase_inputs(features, prompt.phrase)
        outputs = self.sessions.run("decoder", inputs)
        return np.ascontiguousarray(outputs["logits"][0, :, :h, :w]), outputs["iou_logits"][0]

    def relevance(self, features: OnnxFeatures, phrase: str) -> FloatArray:
        if not self.capabilities.relevance:
            raise NoMapError(f"phrase {phrase!r}: these weights have no relevance map")
        h, w = features.size
        logits = self._phrase_inputs(features, phrase)["relevance"][0]
        padded = w + -w % MULTIPLE, h + -h % MULTIPLE
        maps = [cv2.resize(sigmoid(one), padded, interpolation=cv2.INTER_LINEAR) for one in logits]
        return np.asarray(np.mean(maps, axis=0)[:h, :w], np.float32)

    def _phrase_inputs(self, features: OnnxFeatures, phrase: str | None) -> dict[str, FloatArray]:
        """The decoder's inputs ``context`` and ``relevance``; zeros without a known word."""
        encoded = self._encode_phrase(phrase)
        if not self.capabilities.relevance:
            return encoded
        if not encoded["present"].any():
            _, _, h, w = features.levels["pure1"].shape
            sources = len(self.description["graphs"]["relevance_features"]["outputs"])
            return {**encoded, "relevance": np.zeros((1, sources, h, w), np.float32)}
        if not features.cache:
            features.cache.update(self.sessions.run("relevance_features", features.levels))
        return {**encoded, **self.sessions.run("relevance", {**encoded, **features.cache})}

    def _encode_phrase(self, phrase: str | None) -> dict[str, FloatArray]:
        """``context``, ``meaning`` and ``present`` of :class:`saywhere.models.layers.phrase.EncodedPhrases`."""
        if self.words is None:
            return {}
        vectors = self.words.phrase_vectors(phrase)
        if not len(vectors):
            context = np.zeros((1, 2 * self.description["hidden"]), np.float32)
            return {
                "context": context,
                "meaning": np.zeros((1, self.words.dimensions), np.float32),
                "present": np.zeros(1, np.float32),
            }
        return {**self.sessions.run("phrase", {"words": vectors[None]}), "present": np.ones(1, np.float32)}

    # The purification layer

    def purification_parameters(self) -> Parameters:
        if self.purification is not None:
            return self.purification
        names = [name for name in self.description["graphs"]["purify"]["inputs"] if not name.startswith("raw")]
        return {name: self.sessions.weights[f"purification.{name}"] for name in names}

    def with_purification(self, parameters: Parameters) -> Self:
        other = copy.copy(self)
        other.purification = {name: np.asarray(value, np.float32) for name, value in parameters.items()}
        return other

    def levels(self, features: OnnxFeatures, kind: str) -> list[FloatArray]:
        return [features.levels[name][0] for name in self._level_names(kind)]

    def _level_names(self, kind: str) -> list[str]:
        return [name for name in self.description["graphs"]["encoder"]["outputs"] if name.startswith(kind)]

    def purified(self, level: int, vectors: FloatArray) -> FloatArray:
        parameters = self.purification_parameters()
        weight, bias = parameters[f"{level}.0.weight"][:, :, 0, 0], parameters[f"{level}.0.bias"]
        return np.asarray(np.maximum(vectors @ weight.T + bias, 0.0), np.float32)

    def purify(self, features: OnnxFeatures) -> OnnxFeatures:
        raw = {name: features.levels[name] for name in self._level_names("raw")}
        purified = self.sessions.run("purify", {**raw, **self.purification_parameters()})
        return OnnxFeatures(features.size, {**raw, **purified})

    def purification_gradient(
        self, raw: Sequence[FloatArray], prompt: Prompt, target: BoolArray, counted: BoolArray
    ) -> tuple[float, Parameters]:
        learning = self.description["learning"]
        clicks = click_arrays([prompt])
        points = clicks.labels.shape[1]
        if target.shape != (learning["side"], learning["side"]) or points > learning["clicks"]:
            raise SaywhereError(
                f"learning from an image of {target.shape} with {points} clicks: the ONNX graph takes a "
                f"side of {learning['side']} and {learning['clicks']} clicks; use these, or the backend torch"
            )
        missing = learning["clicks"] - points
        inputs: dict[str, Any] = {f"raw{i}": level[None] for i, level in enumerate(raw)}
        inputs["points"] = np.pad(clicks.points, ((0, 0), (0, missing), (0, 0)))
        inputs["labels"] = np.pad(clicks.labels, ((0, 0), (0, missing)), constant_values=-1.0)
        inputs["radii"] = np.pad(clicks.radii, ((0, 0), (0, missing)))
        inputs |= {"target": target[None, None].astype(np.float32), "counted": counted[None, None].astype(np.float32)}
        inputs |= self._encode_phrase(prompt.phrase)
        outputs = self.sessions.run("purification_gradient", {**inputs, **self.purification_parameters()})
        return float(outputs["loss"]), {name: outputs[f"gradient.{name}"] for name in self.purification_parameters()}


def fuse_batch_norms(tensors: Mapping[str, Any], pairs: Sequence[Sequence[Any]]) -> dict[str, FloatArray]:
    """Fuse batch norms into the convolutions before them.

    Args:
        tensors: of a weights file, by name.
        pairs: module names of convolution and batch norm, and the batch norm's epsilon.

    Returns:
        The tensors in float32, with the convolutions' new weights and biases.

    Raises:
        ValueError: a convolution has another number of channels than its batch norm.
    """
    fused = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    for conv, norm, epsilon in pairs:
        if f"{norm}.running_var" not in fused or f"{conv}.weight" not in fused:
            continue  # named among the missing tensors afterwards
        if fused[f"{conv}.weight"].shape[:1] != fused[f"{norm}.running_var"].shape:
            raise ValueError(f"{conv}.weight and {norm}.running_var of different lengths")
        scale = fused[f"{norm}.weight"] / np.sqrt(fused[f"{norm}.running_var"] + np.float32(epsilon))
        bias = fused.get(f"{conv}.bias", np.float32(0.0))
        fused[f"{conv}.weight"] = fused[f"{conv}.weight"] * scale[:, None, None, None]
        fused[f"{conv}.bias"] = (bias - fused[f"{norm}.running_mean"]) * scale + fused[f"{norm}.bias"]
    return fused
