"""Each reader of JSON, pickle or CSV on a tiny tree in the layout that the data set's makers chose, built here."""

from __future__ import annotations

import csv
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import BOX, OTHER, SIZE, coco_json, only, same, save_image, save_mask

from conftest import polygon_of
from saywhere import SaywhereError
from saywhere.data.datasets import load_dataset


class TestCoco:
    def test_coco_in_its_folders(self, root: Path) -> None:
        taken = save_image(root / "coco/val2017/000000000139.jpg")
        image = {"id": 139, "file_name": taken.name}
        coco_json(root / "coco/annotations/instances_val2017.json", image, {"id": 8, "iscrowd": 1})
        sample = only("coco:val2017")
        assert (sample.name, sample.label, sample.image_path, sample.group) == ("7", "cat", taken, "val2017")
        assert same(sample.target(), BOX)

    def test_coco_without_its_photographs(self, root: Path) -> None:
        coco_json(root / "coco/annotations/instances_val2017.json", {"id": 1, "file_name": "1.jpg"})
        with pytest.raises(SaywhereError, match=r"expected its photographs in .*coco/val2017"):
            load_dataset("coco:val2017")

    def test_lvis_takes_photographs_from_both_splits(self, root: Path) -> None:
        image = {"id": 9, "coco_url": "http://images.cocodataset.org/train2017/000000000009.jpg"}
        coco_json(root / "coco/annotations/lvis_v1_val.json", image)
        sample = only("lvis:val")
        assert sample.image_path == root / "coco/train2017/000000000009.jpg"
        assert same(sample.target(), BOX)

    def test_fashionpedia_has_parts(self, root: Path) -> None:
        taken = save_image(root / "fashionpedia/images/test/a.jpg")
        sleeve = {"id": 8, "category_id": 31, "segmentation": polygon_of(0, 0, 6, 4)}
        coco_json(
            root / "fashionpedia/annotations/instances_attributes_val2020.json", {"id": 1, "file_name": "a.jpg"}, sleeve
        )
        whole, part = load_dataset("fashionpedia:val")
        assert whole.image_path == part.image_path == taken
        assert (part.label, same(part.target(), OTHER)) == ("sleeve", True)

    def test_an_object_without_polygons_is_empty(self, root: Path) -> None:
        coco_json(root / "a.json", {"id": 1, "file_name": "a.jpg"}, {"id": 8, "segmentation": []})
        _, nothing = load_dataset("a.json")
        assert same(nothing.target(), np.zeros(SIZE, bool))


class Spell:
    """An object whose pickle makes a file when it is read without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class TestRefer:
    @pytest.fixture
    def refs(self, root: Path) -> Path:
        folder = root / "refer/refcoco"
        taken = save_image(root / "refer/images/mscoco/images/train2014/COCO_train2014_000000000009.jpg")
        left = {"id": 8, "segmentation": polygon_of(0, 0, 6, 4)}
        coco_json(folder / "instances.json", {"id": 9, "file_name": taken.name}, left)
        references = [
            {"ref_id": 100, "ann_id": 8, "image_id": 9, "category_id": 3, "split": "val", "file_name": "x_8.jpg",
             "sentences": [{"sent": "left cat", "raw": "Left cat!"}, {"sent": "the small one"}]},
            {"ref_id": 101, "ann_id": 7, "image_id": 9, "category_id": 3, "split": "testA", "file_name": "x_7.jpg",
             "sentences": [{"sent": "big cat"}]},
        ]  # fmt: skip
        (folder / "refs(unc).p").write_bytes(pickle.dumps(references, protocol=0))
        return folder / "refs(unc).p"

    def test_the_first_sentence_is_the_phrase(self, refs: Path) -> None:
        sample = only("refcoco:val")
        assert (sample.name, sample.phrase, sample.label, sample.group) == ("100", "left cat", "cat", "refcoco")
        assert sample.image_path.name == "COCO_train2014_000000000009.jpg"
        assert sample.image_path.exists()
        assert same(sample.target(), OTHER)
        assert (only("refcoco:testA").phrase, same(only("refcoco:testA").target(), BOX)) == ("big cat", True)

    def test_texts_of_python_2(self, refs: Path) -> None:
        # As Python 2 writes [{'ref_id': 5, ..., 'sent': 'caf\xc3\xa9'}]: texts of bytes, not of characters.
        fields = b"S'ref_id'\nI5\nsS'ann_id'\nI8\nsS'split'\nS'val'\nsS'sentences'\n(l(dS'sent'\nS'caf\\xc3\\xa9'\nsas"
        refs.write_bytes(b"(l(d" + fields + b"a.")
        assert only("refcoco:val").phrase == "café"

    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_a_pickle_that_runs_code_is_refused(self, refs: Path, tmp_path: Path, protocol: int) -> None:
        spell = pickle.dumps([{"ref_id": Spell(tmp_path / "caught")}], protocol=protocol)
        refs.write_bytes(spell)
        with pytest.raises(SaywhereError, match=r"refs\(unc\)\.p': refused \(it asks for code, .*mkdir\)"):
            load_dataset("refcoco:val")
        assert not (tmp_path / "caught").exists()
        pickle.loads(spell)
        assert (tmp_path / "caught").exists(), "the spell of this test has no power"

    @pytest.mark.parametrize("content", [b"", b"\x80", b"no pickle", pickle.dumps({}), pickle.dumps([1])])
    def test_what_is_no_list_of_references(self, refs: Path, content: bytes) -> None:
        refs.write_bytes(content)
        with pytest.raises(SaywhereError, match=r"refs\(unc\)\.p"):
            load_dataset("refcoco:val")

    def test_what_is_not_there_is_named(self, refs: Path) -> None:
        with pytest.raises(SaywhereError, match="no reference of the split 'testB'"):
            load_dataset("refcoco:testB")
        refs.write_bytes(pickle.dumps([{"ref_id": 1, "ann_id": 99, "split": "val"}]))
        with pytest.raises(SaywhereError, match="99"):
            load_dataset("refcoco:val")
        refs.with_name("instances.json").unlink()
        with pytest.raises(SaywhereError, match=r"expected .*refcoco/instances\.json"):
            load_dataset("refcoco:val")


class TestOpenImages:
    @pytest.fixture
    def folder(self, root: Path) -> Path:
        folder = root / "open-images/validation"
        save_image(folder / "images/0001eeaf4aed83f9.jpg")
        save_mask(folder / "masks/0001_m0cmf2_ab.png", np.where(BOX, 255, 0))
        (root / "open-images/class-descriptions-boxable.csv").write_text('/m/0cmf2,"Airplane, toy"\n')
        rows = [
            ["MaskPath", "ImageID", "LabelName", "BoxID", "BoxXMin"],
            ["0001_m0cmf2_ab.png", "0001eeaf4aed83f9", "/m/0cmf2", "ab", "0.5"],
        ]
        with (folder / "validation-annotations-object-segmentation.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return folder

    def test_open_images(self, folder: Path) -> None:
        sample = only("open-images:validation")
        assert (sample.name, sample.label) == ("0001_m0cmf2_ab", "Airplane, toy")
        assert sample.image_path == folder / "images/0001eeaf4aed83f9.jpg"
        assert same(sample.target(), BOX)

    def test_a_larger_mask_is_brought_to_the_photograph(self, folder: Path) -> None:
        save_mask(folder / "masks/0001_m0cmf2_ab.png", np.kron(BOX * 255, np.ones((3, 3))))
        assert same(only("open-images:validation").target(), BOX)

    def test_a_turned_mask_is_not(self, folder: Path) -> None:
        save_mask(folder / "masks/0001_m0cmf2_ab.png", BOX.T * 255)
        assert same(only("open-images:validation").target(), BOX.T)

    def test_what_is_not_there_is_named(self, folder: Path) -> None:
        table = folder / "validation-annotations-object-segmentation.csv"
        text = table.read_text()
        table.write_text(text.replace("/m/0cmf2", "/m/zzz"))
        with pytest.raises(SaywhereError, match=r"'/m/zzz' is not in .*class-descriptions-boxable"):
            load_dataset("open-images:validation")
        table.write_text(text.replace("MaskPath", "Mask"))
        with pytest.raises(SaywhereError, match="lacks the columns MaskPath"):
            load_dataset("open-images:validation")
        (folder / "images").rename(folder / "photographs")
        with pytest.raises(SaywhereError, match=r"expected images/ID\.jpg"):
            load_dataset("open-images:validation")
