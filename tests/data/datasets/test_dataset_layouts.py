"""Each reader of mask images on a tiny tree in the layout that the data set's makers chose, built here."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from trees import BOX, OTHER, SIZE, box, coco_json, only, same, save_image, save_mask

from saywhere import SaywhereError
from saywhere.data.datasets import load_dataset


class TestFolders:
    """Photographs in one folder, masks of the same names in another."""

    @pytest.mark.parametrize(
        ("name", "photographs", "masks"),
        [
            ("grabcut", "GrabCut/data_GT", "GrabCut/boundary_GT"),
            ("berkeley", "Berkeley/images", "Berkeley/masks"),
            ("davis", "DAVIS/img", "DAVIS/gt"),
            ("coco-mval", "COCO_MVal/img", "COCO_MVal/gt"),
            ("msra10k", "MSRA10K_Imgs_GT/Imgs", "MSRA10K_Imgs_GT/Imgs"),
            ("ecssd", "ecssd/images", "ecssd/ground_truth_mask"),
        ],
    )
    def test_masks_are_exact(self, root: Path, name: str, photographs: str, masks: str) -> None:
        for stem, mask in (("a_1", BOX), ("b", OTHER)):
            save_image(root / photographs / f"{stem}.jpg")
            save_mask(root / masks / f"{stem}.png", np.where(mask, 255, 0))
        first, second = load_dataset(name)
        assert (first.name, second.name) == ("a_1", "b")
        assert first.image_path == root / photographs / "a_1.jpg"
        assert second.source == root / masks / "b.png"
        assert first.group == name
        assert same(first.target(), BOX)
        assert same(second.target(), OTHER)

    @pytest.mark.parametrize(("name", "folder"), [("grabcut", "boundary_GT"), ("berkeley", "masks")])
    def test_value_128_is_not_counted(self, root: Path, name: str, folder: str) -> None:
        save_image(root / name / {"boundary_GT": "data_GT", "masks": "images"}[folder] / "a.jpg")
        save_mask(root / name / folder / "a.png", np.where(BOX, 255, np.where(OTHER, 128, 64)))
        sample = only(name)
        assert same(sample.target(), BOX)
        assert same(sample.ignore(), OTHER)

    def test_davis_takes_every_colour_for_the_object(self, root: Path) -> None:
        save_image(root / "davis/img/bear_00001.jpg")
        colours = np.zeros((*SIZE, 3), np.uint8)
        colours[BOX] = (0, 0, 3)
        save_mask(root / "davis/gt/bear_00001.png", colours)
        assert same(only("davis").target(), BOX)
        assert only("davis").ignore() is None

    def test_salient_objects_end_half_way(self, root: Path) -> None:
        save_image(root / "msra10k/Imgs/7.jpg")
        save_mask(root / "msra10k/Imgs/7.png", np.where(BOX, 200, np.where(OTHER, 100, 0)))
        assert same(only("msra10k").target(), BOX)

    def test_several_masks_of_one_photograph(self, root: Path) -> None:
        save_image(root / "berkeley/images/3096.jpg")
        for number, mask in ((1, BOX), (2, OTHER)):
            save_mask(root / f"berkeley/masks/3096-{number}.png", np.where(mask, 255, 0))
        first, second = load_dataset("berkeley")
        assert (first.name, second.name) == ("3096-1", "3096-2")
        assert first.image_path == second.image_path == root / "berkeley/images/3096.jpg"
        assert same(second.target(), OTHER)

    @pytest.mark.parametrize(
        ("name", "photographs", "masks"), [("cosod3k", "Image", "GroundTruth"), ("coca", "image", "binary")]
    )
    def test_groups_of_photographs(self, root: Path, name: str, photographs: str, masks: str) -> None:
        for group, mask in (("axe", BOX), ("pineapple", OTHER)):
            save_image(root / name / photographs / group / "1.jpg")
            save_mask(root / name / masks / group / "1.png", np.where(mask, 255, 0))
        first, second = load_dataset(name)
        assert [(s.name, s.label, s.group) for s in (first, second)] == [
            ("axe/1", "axe", "axe"),
            ("pineapple/1", "pineapple", "pineapple"),
        ]
        assert second.image_path == root / name / photographs / "pineapple/1.jpg"
        assert same(first.target(), BOX)
        assert same(second.target(), OTHER)

    @pytest.mark.parametrize("name", ["cosod3k", "coca"])
    def test_instances_of_one_mask_are_counted(self, root: Path, name: str) -> None:
        save_image(root / name / "image/axe/1.jpg")
        speck = np.zeros_like(BOX)
        speck[19, 29] = True
        save_mask(root / name / "binary/axe/1.png", np.where(BOX | OTHER | speck, 255, 0))
        first, second = load_dataset(name)
        assert (first.name, second.name, second.label) == ("axe/1/1", "axe/1/2", "axe")
        assert same(first.target() | second.target(), BOX | OTHER)
        assert same(first.target(), OTHER)

    def test_instances_that_touch_have_numbers(self, root: Path) -> None:
        save_image(root / "coca/image/axe/1.jpg")
        save_mask(root / "coca/binary/axe/1.png", np.where(BOX, 255, 0))
        left = BOX.copy()
        left[:, 18:] = False
        save_mask(root / "coca/instances/axe/1.png", np.where(left, 7, np.where(BOX, 3, 0)))
        first, second = load_dataset("coca")
        assert same(first.target(), BOX & ~left)
        assert same(second.target(), left)

    def test_parts_of_msra10k_do_not_overlap(self, root: Path) -> None:
        for number in range(20):
            save_image(root / f"msra10k/Imgs/{number}.jpg")
            save_mask(root / f"msra10k/Imgs/{number}.png", np.where(BOX, 255, 0))
        parts = {part: {s.name for s in load_dataset(f"msra10k:{part}")} for part in ("train", "val", "test")}
        assert [len(names) for names in parts.values()] == [16, 2, 2]
        assert len(set.union(*parts.values())) == 20

    def test_what_has_no_counterpart_is_named(self, root: Path) -> None:
        save_image(root / "coca/image/axe/1.jpg")
        save_mask(root / "coca/binary/axe/2.png", BOX)
        with pytest.raises(SaywhereError, match=r"image/GROUP/NAME\.jpg and binary/GROUP.*unpaired: axe/1, axe/2$"):
            load_dataset("coca")

    def test_a_long_list_of_these_is_cut(self, root: Path) -> None:
        for number in range(13):
            save_image(root / f"davis/img/{number:02}.jpg")
        with pytest.raises(SaywhereError, match=r"unpaired: 00, .*, 09 and 3 more$"):
            load_dataset("davis")

    def test_phrases_that_are_no_json_are_named(self, root: Path) -> None:
        save_image(root / "grabcut/data_GT/a.jpg")
        save_mask(root / "grabcut/boundary_GT/a.png", BOX)
        (root / "grabcut/phrases.json").write_text("{")
        with pytest.raises(SaywhereError, match=r"phrases\.json.*JSON"):
            load_dataset("grabcut")


class TestLeeds:
    def test_as_its_makers_lay_it_out(self, root: Path) -> None:
        for name, mask in (("0010001", BOX), ("0100002", OTHER)):
            save_image(root / f"leedsbutterfly/images/{name}.png")
            save_mask(root / f"leedsbutterfly/segmentations/{name}_seg0.png", np.where(mask, 255, 0))
        save_mask(root / "leedsbutterfly/segmentations/0010001_seg1.png", OTHER)  # another's, not the makers'
        first, second = load_dataset("leeds-butterfly")
        assert (first.name, first.label) == ("0010001", "Danaus plexippus")
        assert (second.name, second.label) == ("0100002", "Vanessa cardui")
        assert first.image_path == root / "leedsbutterfly/images/0010001.png"
        assert same(second.target(), OTHER)

    def test_a_species_that_is_none(self, root: Path) -> None:
        save_image(root / "leeds-butterfly/images/0110001.png")
        save_mask(root / "leeds-butterfly/segmentations/0110001_seg0.png", BOX)
        with pytest.raises(SaywhereError, match=r"0110001.*001 to 010"):
            load_dataset("leeds-butterfly")

    def test_as_coco_json(self, root: Path) -> None:
        coco_json(root / "leeds-butterfly/instances.json", {"id": 1, "file_name": "photos/0010001.webp"})
        sample = only("leeds-butterfly")
        assert sample.image_path == root / "leeds-butterfly/photos/0010001.webp"
        assert same(sample.target(), BOX)


class TestPascal:
    @pytest.fixture
    def voc(self, root: Path) -> Path:
        """Two photographs, three objects: number 1 a cat that a chair's pixels reach into, number 3 a sofa."""
        folder = root / "VOCdevkit/VOC2012"
        objects, classes = np.zeros(SIZE, int), np.zeros(SIZE, int)
        objects[BOX], classes[BOX] = 1, 8
        objects[OTHER], classes[OTHER] = 3, 18
        classes[5:7, 10:25] = 9
        objects[16], classes[16] = 255, 255
        for name in ("2007_000033", "2007_000042", "2007_000061"):
            save_image(folder / f"JPEGImages/{name}.jpg")
            save_mask(folder / f"SegmentationObject/{name}.png", objects, palette=True)
            save_mask(folder / f"SegmentationClass/{name}.png", classes, palette=True)
            objects, classes = np.where(OTHER, 1, 0), np.where(OTHER, 15, 0)
        lists = folder / "ImageSets/Segmentation"
        lists.mkdir(parents=True)
        (lists / "val.txt").write_text("2007_000033\n2007_000042\n")
        (lists / "train.txt").write_text("2007_000061\n")
        return folder

    def test_voc(self, voc: Path) -> None:
        cat, sofa, person = load_dataset("voc2012:val")
        assert [(s.name, s.label) for s in (cat, sofa, person)] == [
            ("2007_000033/1", "cat"), ("2007_000033/3", "sofa"), ("2007_000042/1", "person")]  # fmt: skip
        assert cat.image_path == voc / "JPEGImages/2007_000033.jpg"
        assert same(cat.target(), BOX)
        assert same(sofa.target(), OTHER)
        assert same(cat.ignore(), box(0, 16, 30, 17))
        assert same(person.ignore(), np.zeros(SIZE, bool))
        assert only("voc2012:train").name == "2007_000061/1"

    def test_voc_without_its_parts(self, voc: Path) -> None:
        (voc / "SegmentationClass/2007_000042.png").unlink()
        with pytest.raises(SaywhereError, match=r"SegmentationClass/2007_000042\.png"):
            load_dataset("voc2012:val")
        (voc / "ImageSets/Segmentation/val.txt").unlink()
        with pytest.raises(SaywhereError, match=r"expected ImageSets/Segmentation/val\.txt, JPEGImages"):
            load_dataset("voc2012:val")

    def test_voc_with_its_colours_burnt_in(self, voc: Path) -> None:
        path = voc / "SegmentationObject/2007_000033.png"
        Image.open(path).convert("RGB").save(path)
        with pytest.raises(SaywhereError, match="RGB image; expected a palette PNG"):
            load_dataset("voc2012:val")

    def sbd(self, folder: Path, name: str, segmentation: np.ndarray, kinds: list[int]) -> None:
        save_image(folder / f"img/{name}.jpg")
        (folder / "inst").mkdir(exist_ok=True)
        found = {"Segmentation": segmentation.astype(np.uint8), "Categories": np.array(kinds, np.uint8)[:, None]}
        savemat(folder / f"inst/{name}.mat", {"GTinst": found})

    def test_sbd(self, root: Path) -> None:
        folder = root / "SBD/dataset"
        self.sbd(folder, "2008_000002", BOX * 1 + OTHER * 2, [20, 15])
        self.sbd(folder, "2008_000003", OTHER * 1, [1])
        (folder / "val.txt").write_text("2008_000002\n")
        (folder / "train.txt").write_text("2008_000003\n")
        screen, person = load_dataset("sbd:val")
        assert [(s.name, s.label) for s in (screen, person)] == [
            ("2008_000002/1", "tvmonitor"), ("2008_000002/2", "person")]  # fmt: skip
        assert screen.image_path == folder / "img/2008_000002.jpg"
        assert same(screen.target(), BOX)
        assert same(person.target(), OTHER)
        assert person.ignore() is None
        plane = only("sbd:train")
        assert (plane.name, plane.label) == ("2008_000003/1", "aeroplane")
        assert same(plane.target(), OTHER)

    @pytest.mark.parametrize("content", [b"", b"no mat file", None])
    def test_sbd_that_cannot_be_read(self, root: Path, content: bytes | None) -> None:
        (root / "sbd/inst").mkdir(parents=True)
        (root / "sbd/val.txt").write_text("a\n")
        if content is None:
            savemat(root / "sbd/inst/a.mat", {"GTcls": 1})
        else:
            (root / "sbd/inst/a.mat").write_bytes(content)
        with pytest.raises(SaywhereError, match=r"a\.mat.*GTinst"):
            load_dataset("sbd:val")

    def test_sbd_without_its_list(self, root: Path) -> None:
        (root / "sbd").mkdir()
        with pytest.raises(SaywhereError, match=r"expected val\.txt, img and inst"):
            load_dataset("sbd:val")


def test_masks_wait_until_they_are_asked_for(root: Path) -> None:
    save_image(root / "davis/img/a.jpg")
    path = root / "davis/gt/a.png"
    path.parent.mkdir()
    path.write_text("no image")
    sample = only("davis")
    with pytest.raises(SaywhereError, match=r"gt/a\.png': missing or not an image"):
        sample.target()
    save_mask(path, BOX)
    assert same(pickle.loads(pickle.dumps(sample)).target(), BOX)
