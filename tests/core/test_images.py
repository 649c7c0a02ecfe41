"""Reading images: modes, orientations, arrays, and files that are no images."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from saywhere import SaywhereError
from saywhere.core.geometry import ImageSize
from saywhere.core.images import (
    IMAGE_SUFFIXES,
    PILLOW_FORMATS,
    ImageHeader,
    image_digest,
    list_images,
    read_header,
    read_image,
    read_image_and_digest,
)


@pytest.fixture
def red(tmp_path: Path) -> Image.Image:
    return Image.new("RGB", (32, 20), (200, 30, 40))


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "YCbCr", "I;16"])
def test_every_mode_becomes_rgb(red: Image.Image, tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(red.convert("L")).astype(np.uint16) * 257)
    elif mode in ("P", "LA"):
        image = red.convert("RGBA").convert("LA") if mode == "LA" else red.quantize(8)
    else:
        image = red.convert(mode)
    suffix = ".jpg" if mode in ("CMYK", "YCbCr") else ".png"
    array = read_image(saved(image, tmp_path / f"photo{suffix}"))
    assert array.shape == (20, 32, 3)
    assert array.dtype == np.uint8
    expected = np.asarray(
        red.convert("1" if mode == "1" else "L" if mode in ("L", "LA", "I;16") else "RGB").convert("RGB")
    )
    assert np.abs(array.astype(int) - expected).max() <= 6


def test_transparent_pixels_become_white() -> None:
    array = read_image(Image.new("RGBA", (3, 3), (0, 0, 0, 0)))
    assert (array == 255).all()
    assert (read_image(np.zeros((3, 3, 4), np.uint8)) == 255).all()


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown upright after a rotation by 90 degrees clockwise
    array = read_image(saved(image, tmp_path / "turned.png", exif=exif))
    assert array.shape == (40, 20, 3)
    assert tuple(array[0, 19]) == (255, 0, 0)


@pytest.mark.parametrize(
    "array",
    [
        np.full((4, 5), 7, np.uint8),
        np.full((4, 5, 1), 7, np.uint8),
        np.full((4, 5, 3), 7, np.uint8),
        np.full((4, 5), True),
        np.full((4, 5), 40000, np.uint16),
        np.full((4, 5, 3), 40000, np.uint16),
    ],
)
def test_arrays_of_many_types(array: np.ndarray) -> None:
    read = read_image(array)
    assert read.shape == (4, 5, 3)
    assert read.dtype == np.uint8


def test_16_bit_values_keep_their_order() -> None:
    ramp = np.linspace(0, 65535, 300).astype(np.uint16).reshape(1, -1)
    read = read_image(ramp)[0, :, 0].astype(int)
    assert read[0] == 0
    assert read[-1] == 255
    assert (np.diff(read) >= 0).all()


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0), (5, 5, 2), (5,), (2, 3, 4, 3)])
def test_arrays_of_another_shape_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(SaywhereError, match="shape"):
        read_image(np.zeros(shape, np.uint8))


def test_floats_are_an_error() -> None:
    with pytest.raises(SaywhereError, match="float64"):
        read_image(np.zeros((4, 4, 3)))


def jpeg(tmp_path: Path) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("keep", [0, 1, 20, 300, 2000])
def test_truncated_files_are_errors_that_name_them(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(jpeg(tmp_path)[:keep])
    with pytest.raises(SaywhereError, match=r"cut\.jpg"):
        read_image(path)


def test_other_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("milk, bread")
    for bad in (tmp_path / "notes.jpg", tmp_path / "missing.png", tmp_path):
        with pytest.raises(SaywhereError, match="photograph"):
            read_image(bad)
    with pytest.raises(SaywhereError, match="int"):
        read_image(3)  # type: ignore[arg-type]


def test_a_decompression_bomb_is_an_error_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(SaywhereError, match="bomb"):
        read_image(tmp_path / "bomb.png")


class TestFolder:
    def test_every_image_below_it_and_nothing_else(self, tmp_path: Path) -> None:
        names = ["a.jpg", "B.PNG", "in/c.jfif", "in/deep/d.gif", "in/e.Tiff"]
        others = ["notes.txt", ".hidden.jpg", "._a.jpg", ".ipynb_checkpoints/f.jpg", "jpg", "in/g.eps"]
        for name in [*names, *others]:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "folder.png").mkdir()
        assert list_images(tmp_path) == sorted(names)

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        errors: list[OSError] = []
        assert list_images(tmp_path / "none", errors.append) == []
        assert isinstance(errors[0], FileNotFoundError)

    @pytest.mark.parametrize("suffix", [s for s in IMAGE_SUFFIXES if s not in (".jp2", ".avif", ".heic", ".heif")])
    def test_every_listed_type_is_read(self, red: Image.Image, tmp_path: Path, suffix: str) -> None:
        path = saved(red, tmp_path / f"a{suffix}") if suffix != ".pnm" else saved(red, tmp_path / "a.pnm", format="PPM")
        assert read_header(path).size == read_image(path).shape[:2] == (20, 32)


def test_formats_that_run_programs_are_errors(red: Image.Image, tmp_path: Path) -> None:
    """Pillow passes EPS to Ghostscript, whatever the file's name is."""
    path = saved(red, tmp_path / "a.jpg", format="EPS")
    for read in (read_image, read_header):
        with pytest.raises(SaywhereError, match=r"a\.jpg': not an image"):
            read(path)


def test_writable_arrays_are_copied(red: Image.Image, tmp_path: Path) -> None:
    writable = np.zeros((4, 5, 3), np.uint8)
    read = read_image(writable)
    writable[:] = 9
    assert not read.any()
    view = writable.view()
    view.flags.writeable = False
    assert not np.shares_memory(read_image(view), writable)
    decoded = read_image(saved(red, tmp_path / "a.png"))
    assert np.shares_memory(read_image(decoded), decoded)


def test_a_file_is_opened_once(red: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(red, tmp_path / "a.png")
    opened: list[object] = []
    open_file = os.open
    monkeypatch.setattr(os, "open", lambda file, *rest: (opened.append(file), open_file(file, *rest))[1])
    assert read_image(read_image(path)).shape == (20, 32, 3)
    assert opened == [path]
    pixels, digest = read_image_and_digest(path)
    assert opened == [path, path]
    assert (pixels == read_image(path)).all()
    assert digest == image_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_the_header_says_the_size_that_is_read(tmp_path: Path, suffix: str, orientation: int) -> None:
    """All eight orientations give the same upright image; of a TIFF, Pillow itself swaps width and height."""
    if suffix == ".avif" and "AVIF" not in PILLOW_FORMATS:
        pytest.skip("this Pillow has no AVIF")
    upright = np.zeros((40, 64, 3), np.uint8)
    upright[:20, :32], upright[:20, 32:], upright[20:, :32] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[0x0112] = inverse
    turning = Image.fromarray(upright)
    turning.getexif()[0x0112] = inverse
    exif[0x0112] = orientation
    path = saved(ImageOps.exif_transpose(turning), tmp_path / f"a{suffix}", exif=exif)
    read = read_image(path)
    assert read.shape == upright.shape
    assert np.abs(read[10:30:19, 16:48:31].astype(int) - upright[10:30:19, 16:48:31]).max() < 30
    assert read_header(path) == ImageHeader(ImageSize(40, 64), orientation != 1)


@pytest.mark.parametrize("order", "<>")
def test_16_bit_tiffs_of_either_byte_order(tmp_path: Path, order: str) -> None:
    """ImageJ writes big-endian ones."""
    values = np.linspace(0, 65535, 2400).reshape(40, 60).astype(f"{order}u2")
    entries = [(256, 60), (257, 40), (258, 16), (259, 1), (262, 1), (273, 122), (277, 1), (278, 40), (279, 4800)]
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(entries))
    head += b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in entries)
    (tmp_path / "a.tif").write_bytes((head + bytes(4)).ljust(122, b"\0") + values.tobytes())
    expected = np.rint(values / 257.0)
    assert (read_image(tmp_path / "a.tif")[:, :, 0] == expected).all()
    assert (read_image(values)[:, :, 0] == expected).all()


def test_a_file_that_holds_little_of_what_it_declares_is_refused_at_once(tmp_path: Path) -> None:
    """A TIFF of 9 KB that declares 56x2,097,152 pixels of 32 bits, of which one strip of 40 rows is there."""
    entries = [(256, 56), (257, 2097152), (258, 32), (259, 1), (262, 1), (273, 134), (278, 40), (279, 8960), (339, 2)]
    head = b"II" + struct.pack("<HIH", 42, 8, len(entries))
    head += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    (tmp_path / "a.tif").write_bytes((head + bytes(4)).ljust(134, b"\0") + bytes(8960))
    tracemalloc.start()
    for read in (read_image, read_header):
        with pytest.raises(SaywhereError, match="holds 2,240 of the 117,440,512 pixels"):
            read(tmp_path / "a.tif")
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS"),
        (b"DDS " + struct.pack("<I", 124) + bytes(120), "DDS"),
        (b"BLP2" + bytes(200), "BLP"),
        (b"\0\0\0\x20ftypavif" + bytes(200), "AVIF"),
        (b"\0\0\0\x20ftypheic" + bytes(200), "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"milk, bread", "no known format; what is read is JPEG"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    for read in (read_image, read_header):
        with pytest.raises(SaywhereError, match=rf"a\.jpg': not an image.*{named}"):
            read(tmp_path / "a.jpg")


def test_heic_is_read_where_pillow_can(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    path = saved(Image.new("RGB", (64, 40), (200, 30, 40)), tmp_path / "a.heic")
    assert read_header(path).size == read_image(path).shape[:2] == (40, 64)


@pytest.mark.parametrize("damage", ["cut", "closed", "flipped"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "GIF", "BMP", "DDS", "BLP", "ICO", "PCX", "TGA", "SGI", "EPS"])
def test_damaged_pil_images_are_our_errors(kind: str, damage: str) -> None:
    """Whoever hands over a PIL image has opened it with any of Pillow's formats; its pixels are read only now."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    (image.convert("P") if kind in ("GIF", "BLP") else image).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for trial in range(1 if damage == "closed" else 20):
        if damage == "flipped":
            changed = bytearray(content)
            for place in rng.integers(8, len(content), 20):
                changed[place] = rng.integers(256)
        else:
            changed = content[: len(content) - 37 * (trial + 1)]
        try:
            opened = Image.open(io.BytesIO(changed))
        except Exception:
            continue
        if damage == "closed":
            opened.close()
        with contextlib.suppress(SaywhereError):
            assert read_image(opened).dtype == np.uint8


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path, reason in (
        (tmp_path / "a\0.png", "cannot be opened"),
        (tmp_path / ("x" * 300), "cannot be opened"),
        (tmp_path / "pipe.png", "pipe"),
        (Path("/dev/zero"), "device"),
        (tmp_path, "folder"),
        (tmp_path / "none.png", "no such file"),
    ):
        for read in (read_image, read_header, image_digest):
            with pytest.raises(SaywhereError, match=reason):
                read(path)


def test_large_images_are_converted_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result does not depend on how many rows are converted at once."""
    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 255, (50, 30, 4), dtype=np.uint8)),
        Image.fromarray(rng.integers(0, 5000, (50, 30)).astype(np.uint16)),
        Image.fromarray(rng.random((50, 30)).astype(np.float32)),
        Image.fromarray(rng.integers(0, 255, (50, 30, 3), dtype=np.uint8)),
    ]
    whole = [read_image(image) for image in images]
    monkeypatch.setattr("saywhere.core.rgb.BAND_PIXELS", 100)
    for image, expected in zip(images, whole, strict=True):
        assert (read_image(image) == expected).all()
    expected = rng.integers(0, 255, (50, 30, 3), dtype=np.uint8)
    assert (read_image(expected) == expected).all()


def test_the_old_module_names_the_new_one() -> None:
    with pytest.warns(DeprecationWarning, match=r"use saywhere\.core\.images"):
        importlib.reload(importlib.import_module("saywhere.images"))
