"""Reading images: modes, orientations, arrays, and files that are no images."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saywhere import SaywhereError
from saywhere.core.images import IMAGE_SUFFIXES, list_images, read_header, read_image


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

    @pytest.mark.parametrize("suffix", [s for s in IMAGE_SUFFIXES if s not in (".jp2", ".avif")])
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
    opened: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: (opened.append(self), read_bytes(self))[1])
    assert read_image(read_image(path)).shape == (20, 32, 3)
    assert opened == [path]
