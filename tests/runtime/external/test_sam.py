"""Exports of SAM's family through ``sam:ENCODER,DECODER``, as tiny networks with the inputs and outputs of each."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from external_models import EXPORTS

import saywhere
from conftest import disc
from saywhere.core.metrics import iou
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.external.names import load_external
from saywhere.runtime.external.phrases import PhraseRuntime
from saywhere.runtime.external.sam import SamRuntime
from saywhere.runtime.registry import find_method

FAMILIES = {
    "sam, samexporter": ("sam", 4), "sam, samexporter without preprocessing": ("sam", 4), "sam, one mask": ("sam", 1),
    "sam, extra metrics": ("sam", 4), "mobile-sam, X-AnyLabeling": ("sam", 4), "sam-hq, X-AnyLabeling": ("sam-hq", 1),
    "sam-hq, stacked": ("sam-hq", 1), "edge-sam": ("edge-sam", 4), "sam2, samexporter": ("sam2", 3),
    "sam2, size asked for": ("sam2", 3), "efficient-sam": ("efficient-sam", 3),
    "efficient-sam, labelme": ("efficient-sam", 3),
}  # fmt: skip
Files = tuple[Path, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Files]:
    """Encoder and decoder of an export, written once."""
    written: dict[str, Files] = {}

    def find(name: str) -> Files:
        if name not in written:
            written[name] = EXPORTS[name](tmp_path_factory.mktemp("export"))
        return written[name]

    return find


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray]:
    """A red disc and a green one on blue, 640x426, and the mask of the red one."""
    image = np.zeros((426, 640, 3), np.uint8)
    image[...] = (20, 40, 160)
    red = disc(426, 640, 420, 240, 130)
    image[red] = (220, 30, 20)
    image[disc(426, 640, 120, 120, 70)] = (30, 200, 40)
    return image, red


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("turned", [False, True], ids=["wide", "tall"])
def test_a_click_finds_the_object(
    files: Callable[[str], Files], name: str, turned: bool, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    """In the right place and size, whatever the export's geometry is, for images of either shape."""
    image, red = (np.ascontiguousarray(each.swapaxes(0, 1)) if turned else each for each in picture)
    x, y = (240, 420) if turned else (420, 240)
    runtime = SamRuntime(*files(name))
    family, candidates = FAMILIES[name]
    assert (runtime.layout.family, runtime.capabilities.candidates) == (family, candidates)
    segmenter = Segmenter(runtime).set_image(image)
    assert segmenter.settings.size == 1024
    assert not segmenter.settings.zoom
    found = segmenter.click(x, y)
    assert iou(found.array, red) > 0.85  # the stand-ins know cells of 16 pixels
    rows, columns = np.nonzero(found.array)
    assert abs(columns.mean() - x) < 2.0
    assert abs(rows.mean() - y) < 2.0


@pytest.mark.parametrize("name", [name for name in EXPORTS if name != "efficient-sam"])
def test_clicks_off_the_object_boxes_and_drags(
    files: Callable[[str], Files], name: str, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    image, red = picture
    runtime = SamRuntime(*files(name))
    segmenter = Segmenter(runtime, Settings(keep_clicked=False, unclicked_components=0.0)).set_image(image)
    segmenter.click(420, 240)
    both = segmenter.click(120, 120).array
    assert both[120, 120]
    assert both[240, 420]
    segmenter.reset()
    segmenter.click(420, 240)
    without = segmenter.click(120, 120, positive=False).array
    assert without[240, 420]
    assert not without[120, 120]
    segmenter.reset()
    assert iou(segmenter.box(285, 105, 555, 375).array, red) > 0.9
    segmenter.reset()
    half = segmenter.box(285, 105, 420, 375).array
    assert half[:, :415].sum() > 0.8 * half.sum() > 0
    segmenter.reset()
    assert iou(segmenter.drag(420, 240, radius=100).array, red) > 0.9


def test_a_drag_becomes_points_around_its_centre(
    files: Callable[[str], Files], picture: tuple[np.ndarray, np.ndarray]
) -> None:
    """A drag over two colours finds both, where a click finds one."""
    image, _ = picture
    image[200:280, 340:380] = (30, 200, 40)  # inside the red disc, 60 pixels left of the drag's centre
    segmenter = Segmenter(SamRuntime(*files("sam2, samexporter")), Settings(unclicked_components=0.0)).set_image(image)
    assert not segmenter.click(420, 240).array[240, 360]
    segmenter.reset()
    assert segmenter.drag(420, 240, radius=100).array[240, 360]


def test_the_last_mask_is_given_back_where_the_decoder_takes_one(
    files: Callable[[str], Files], picture: tuple[np.ndarray, np.ndarray]
) -> None:
    """In the decoder's geometry: the stand-in adds it to its logits, so what it shows elsewhere is found too."""
    image, red = picture
    green = disc(426, 640, 120, 120, 60)
    for name in ("sam, samexporter", "mobile-sam, X-AnyLabeling", "sam2, samexporter", "sam-hq, X-AnyLabeling"):
        runtime = SamRuntime(*files(name))
        assert runtime.metadata["previous_mask_from"] == 2
        prompt = saywhere.Prompt((saywhere.Click(420, 240),))
        features = runtime.encode(image)
        logits = runtime.decode(features, prompt, np.where(green, 0.99, 0.01).astype(np.float32))
        assert iou(logits > 0.0, green | red) > 0.85
        assert not (green & (runtime.decode(features, prompt, None) > 0.0)).any()


def test_one_click_has_candidates_and_several_have_the_first_mask(
    files: Callable[[str], Files], picture: tuple[np.ndarray, np.ndarray]
) -> None:
    segmenter = Segmenter(SamRuntime(*files("sam, samexporter"))).set_image(picture[0])
    assert segmenter.click(420, 240).candidate != 0
    assert segmenter.click(430, 240).candidate == 0
    assert len(segmenter.candidates) == 4
    assert segmenter.choose(2) is segmenter.mask


def test_decoders_with_few_points_say_how_many(files: Callable[[str], Files]) -> None:
    """The script of EfficientSAM fixes one point for each prompt; labelme's takes six."""
    single, several = (SamRuntime(*files(name)).capabilities for name in ("efficient-sam", "efficient-sam, labelme"))
    assert (single.max_clicks, single.boxes) == (1, False)
    assert (several.max_clicks, several.boxes) == (6, True)


def test_by_name_with_phrases_of_our_own_network(
    files: Callable[[str], Files], picture: tuple[np.ndarray, np.ndarray]
) -> None:
    encoder, decoder = files("sam2, samexporter")
    segmenter = saywhere.load(f"sam:{decoder},{encoder}").set_image(picture[0])  # in either order
    assert segmenter.runtime.capabilities.phrases
    assert iou(segmenter.click(420, 240).array, picture[1]) > 0.9
    assert segmenter.say("ball") is segmenter.mask
    assert segmenter.relevance_map("ball").shape == (426, 640)
    assert segmenter.propose("ball").mask.array.shape == (426, 640)
    by_folder, settings = find_method(f"sam:{encoder.parent}", Settings())
    assert by_folder.digest == segmenter.runtime.digest
    assert (settings.size, settings.previous_mask_from) == (1024, 2)
    copy = pickle.loads(pickle.dumps(segmenter))
    assert np.array_equal(copy.mask.array, segmenter.mask.array)


def test_relevance_chooses_among_the_candidates(files: Callable[[str], Files]) -> None:
    """The stand-in's candidates are a disc, and the disc with the ring around it; what the map shows decides."""
    image = np.zeros((426, 640, 3), np.uint8)
    inner, outer = disc(426, 640, 300, 200, 90), disc(426, 640, 300, 200, 170)
    image[outer], image[inner] = (200, 90, 20), (250, 50, 20)

    class Shows(SamRuntime):
        relevance_of: np.ndarray

        def relevance(self, features: object, phrase: str) -> np.ndarray:
            return self.relevance_of.astype(np.float32)

    given = files("sam2, samexporter")
    for wanted in (inner, outer):
        phrases = Shows(*given)
        phrases.relevance_of = wanted
        phrases.capabilities = saywhere.load().runtime.capabilities
        runtime = PhraseRuntime(SamRuntime(*given), phrases)
        features = runtime.encode(image)
        logits = runtime.decode(features, saywhere.Prompt((saywhere.Click(300, 200),), "ball"), None)
        assert iou(logits > 0.0, wanted) > 0.85


@pytest.mark.parametrize("layout", ["sam", "sam2"])
def test_our_own_export_answers_as_the_library_does(tmp_path: Path, layout: str) -> None:
    from saywhere.annotate.sample_images import SAMPLES
    from saywhere.runtime.export_sam import write_sam
    from saywhere.runtime.weights import find_weights

    write_sam(find_weights(), layout, tmp_path)  # type: ignore[arg-type]
    ours = saywhere.load(settings=Settings(size=640, zoom=False))
    exported = saywhere.load(f"sam:{tmp_path}")
    for name, (x, y) in {"chelsea.jpg": (230, 140), "astronaut.jpg": (220, 120)}.items():
        expected = ours.set_image(SAMPLES / name).click(x, y).array
        assert iou(exported.set_image(SAMPLES / name).click(x, y).array, expected) > 0.85
        further = ours.click(x + 8, y + 8).array
        assert iou(exported.click(x + 8, y + 8).array, further) > 0.8


def test_names_that_are_no_models_are_refused_in_one_line(files: Callable[[str], Files], tmp_path: Path) -> None:
    encoder, decoder = files("edge-sam")
    other_encoder, other_decoder = files("sam-hq, stacked")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(encoder.read_bytes()[:500])
    checkpoint = tmp_path / "sam_vit_b.pth"
    checkpoint.write_bytes(b"PK\x03\x04" + bytes(200))
    cases = {
        f"sam:{encoder}": "one file instead of two",
        f"sam:{encoder},": "instead of two|no file",
        f"sam:{encoder},{tmp_path / 'none.onnx'}": r"no file '.*none\.onnx'",
        f"sam:{tmp_path}": r"two ONNX files are expected.*found broken\.onnx",
        f"sam:{encoder},{other_encoder}": "both are encoders",
        f"sam:{decoder},{other_decoder}": "both are decoders",
        f"sam:{encoder},{other_decoder}": r"takes .*interm_embeddings \(4 x 1 x 64 x 64 x 768\).* gives image_embed",
        f"sam:{checkpoint},{decoder}": r"sam_vit_b\.pth': not an ONNX model; export a checkpoint first",
        f"sam:{broken},{decoder}": r"broken\.onnx': not an ONNX model",
    }
    for name, expected in cases.items():
        with pytest.raises(SaywhereError, match=expected) as caught:
            load_external(name)
        assert "\n" not in str(caught.value)
    with pytest.raises(SaywhereError, match="runs on the processor, not on 'cuda'"):
        load_external(f"sam:{encoder},{decoder}", "cuda")
