"""Shards: written, read, by address, and damaged. Training on them is training on what they were made of."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recipes import recipe_for

from saywhere import SaywhereError
from saywhere.data.datasets import load_dataset
from saywhere.data.datasets.shard_writer import write_shards
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.loader import loader

BOX = [[10, 5, 25, 5, 25, 15, 10, 15]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def shards(coco: Path, tmp_path: Path) -> Path:
    """The data of ``coco``, with a second object in one image and pixels that do not count, in three shards."""
    content = json.loads(coco.read_text())
    first = content["annotations"][0]
    more = {"id": 99, "segmentation": [[30, 25, 40, 25, 40, 40]], "ignore_region": [[60, 20, 70, 20, 70, 50]]}
    content["annotations"].append({**first, **more})
    coco.write_text(json.dumps(content))
    assert write_shards(load_dataset(str(coco)), tmp_path / "shards", images=2) == 3
    return tmp_path / "shards"


def picture(name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 10, 10)).save(buffer, name)
    return buffer.getvalue()


def tar(path: Path, mode: str = "w", **members: bytes) -> str:
    """A tar file; ``_`` in names stands for a dot."""
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(f"folder/{name.replace('_', '.')}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return str(path)


def same(one: CropDataset, other: CropDataset, numbers: range = range(6)) -> bool:
    pairs = [(one[n], other[n]) for n in numbers]
    return all(
        torch.equal(a.image, b.image)
        and torch.equal(a.target, b.target)
        and torch.equal(a.ignore, b.ignore)
        and (a.prompt, a.is_part) == (b.prompt, b.is_part)
        for a, b in pairs
    )


def test_training_sees_the_same_as_from_files(coco: Path, shards: Path) -> None:
    files = CropDataset(recipe_for(coco))
    for name in ("*.tar", "{00000..00002}.tar"):
        of_shards = CropDataset(recipe_for(shards / name))
        assert [t.box for t in of_shards.targets] == [t.box for t in files.targets]
        assert (of_shards.labels, of_shards.trained_on) == (files.labels, files.trained_on)
        assert same(files, of_shards)


def test_the_same_data_gives_the_same_bytes(coco: Path, shards: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_shards(load_dataset(str(shards / "*.tar")), again, images=2)  # from shards, too
    for file in shards.iterdir():
        with tarfile.open(file) as one, tarfile.open(again / file.name) as other:
            images = [m for m in one.getmembers() if m.name.endswith(".png")]
            assert images
            assert [one.extractfile(m).read() for m in images] == [other.extractfile(m.name).read() for m in images]
    assert len(load_dataset(str(again / "*.tar"))) == 7


def test_the_layout_of_sa_1b(tmp_path: Path) -> None:
    annotation = {"id": 5, "segmentation": {"size": [20, 30], "counts": [40, 10, 550]}, "predicted_iou": 0.9}
    described = {
        "image": {"image_id": 1, "width": 30, "height": 20, "file_name": "sa_1.jpg"},
        "annotations": [annotation],
    }
    name = tar(tmp_path / "sa.tar", one_json=json.dumps(described).encode(), one_jpg=picture("JPEG"))
    (sample,) = load_dataset(name)
    assert (sample.name, sample.label, sample.region().area) == ("5", None, 10)
    assert sample.member is not None
    assert sample.member.read_image().shape == (20, 30, 3)


def test_masks_as_images(tmp_path: Path) -> None:
    numbers = np.zeros((20, 30), np.uint8)
    numbers[2:5, 3:9], numbers[10:12, :4] = 7, 9
    buffer = io.BytesIO()
    Image.fromarray(numbers).save(buffer, "PNG")
    name = tar(tmp_path / "m.tar", one_png=picture(), one_mask_png=buffer.getvalue())
    samples = load_dataset(name)
    assert [(s.name, s.region().box) for s in samples] == [
        ("folder/one/7", (3, 2, 6, 3)),
        ("folder/one/9", (0, 10, 4, 2)),
    ]


def test_a_shard_that_changes_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    for count in (1, 2):
        annotations = [{"id": i, "segmentation": BOX} for i in range(count)]
        described = {"image": {"width": 30, "height": 20}, "annotations": annotations}
        samples = load_dataset(tar(path, one_png=picture(), one_json=json.dumps(described).encode()))
        assert len(samples) == count
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SaywhereError, match=r"a\.tar': has .* bytes .*; it was changed"):
        samples[0].region()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"one_png": b""}, r"1 images lack annotations, the first 'folder/one.png'; expected a member KEY.json"),
        ({"one_png": b"", "one_json": b"{"}, r"'folder/one.json' in '.*a.tar': expected image with width and height"),
        ({"one_png": b"", "one_json": b'{"image": {"width": 3}, "annotations": []}'}, "width 3, height None"),
        ({"one_png": b"", "one_mask_png": b"no image"}, "no PNG image"),
        ({"one_txt": b"text"}, "holds no image"),
    ],
)
def test_what_is_no_shard(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    with pytest.raises(SaywhereError, match=words):
        load_dataset(tar(tmp_path / "a.tar", **members))


def test_compressed_cut_short_and_missing(tmp_path: Path) -> None:
    with pytest.raises(SaywhereError, match="uncompressed tar file"):
        load_dataset(tar(tmp_path / "a.tar", "w:gz", one_png=picture()))
    tar(tmp_path / "0.tar", one_png=picture())
    with pytest.raises(SaywhereError, match=r"1 of its tar files are there, expected 3"):
        load_dataset(str(tmp_path / "{0..2}.tar"))
    with pytest.raises(SaywhereError, match="0 of its tar files are there"):
        load_dataset(str(tmp_path / "nothing-*.tar"))


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves files and parts of them, as object stores do."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        first, last = 0, len(content) - 1
        if asked := self.headers.get("Range"):
            first, last = (int(part) for part in asked.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content[first : last + 1])))
        self.end_headers()
        self.wfile.write(content[first : last + 1])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def served(shards: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=str(shards)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_by_address_and_in_a_loading_process(served: str, coco: Path) -> None:
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    recipe = recipe_for(f"{served}/{{00000..00002}}.tar", workers=1)
    crops = CropDataset(recipe)
    assert same(CropDataset(recipe_for(coco)), crops, range(2))
    batch = next(iter(loader(crops, 0, launch(recipe))))
    assert torch.equal(batch.image[1], crops[1].image)
