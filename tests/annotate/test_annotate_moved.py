"""A project survives what happens to its folder: moved, renamed and copied folders, renamed and damaged images."""

from __future__ import annotations

import io
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import act, click, make, make_folder, open_client, picture
from PIL import Image

from saywhere.annotate import image_folder
from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.image_folder import DecodeLimit, ImageFolder
from saywhere.annotate.service import Annotator
from saywhere.errors import SaywhereError

Opened = Callable[..., Annotator]


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Opened:
    """Opens the project of a folder, in its own database or another one."""

    def open_project(folder: Path, database: Path | None = None) -> Annotator:
        one = Database(default_database_url(folder) if database is None else f"sqlite:///{database}")
        annotator = make(folder, one)
        request.addfinalizer(one.close)
        request.addfinalizer(annotator.close)
        return annotator

    return open_project


def annotate(annotator: Annotator) -> dict[str, Any]:
    """One object with a label on the first image; what the page shows of it."""
    client = open_client(annotator)
    label = client.post("/api/labels", json={"name": "disc"}).json()["id"]
    act(client, 1, click(300, 200, label=label)).raise_for_status()
    shown = state_of(annotator, "a-one.png")
    annotator.store.database.close()
    return shown


def rows_of(annotator: Annotator) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in open_client(annotator).get("/api/images").json()["images"]}


def state_of(annotator: Annotator, path: str) -> dict[str, Any]:
    opened = open_client(annotator).get(f"/api/images/{rows_of(annotator)[path]['id']}")
    opened.raise_for_status()
    state: dict[str, Any] = opened.json()["state"]
    return state


class TestFolders:
    @pytest.mark.parametrize("inside", [True, False])
    def test_a_moved_folder_keeps_its_project(self, opened: Opened, tmp_path: Path, inside: bool) -> None:
        database = None if inside else tmp_path / "elsewhere.sqlite"
        folder = make_folder(tmp_path / "photos")
        before = annotate(opened(folder, database))
        folder = folder.rename(tmp_path / "renamed")
        annotator = opened(folder, database)
        assert state_of(annotator, "a-one.png") == before
        assert "continuing the annotations" in annotator.store.notes[0]
        assert open_client(annotator).get("/api/project").json()["labels"][0]["name"] == "disc"
        assert opened(folder, database).store.notes == (), "the place is known from now on"

    def test_a_copied_folder_has_a_copy_of_the_project(self, opened: Opened, tmp_path: Path) -> None:
        folder = make_folder(tmp_path / "photos")
        before = annotate(opened(folder))
        shutil.copytree(folder, tmp_path / "copy")
        copy = opened(tmp_path / "copy")
        assert state_of(copy, "a-one.png") == before
        act(open_client(copy, name="copy-page"), 2, click(180, 200)).raise_for_status()
        assert rows_of(opened(folder))["b-two.png"]["objects"] == 0, "each has its own from then on"

    def test_a_copy_with_a_shared_database_is_named(self, opened: Opened, tmp_path: Path) -> None:
        folder, database = make_folder(tmp_path / "photos"), tmp_path / "shared.sqlite"
        annotate(opened(folder, database))
        shutil.copytree(folder, tmp_path / "copy")
        copy = opened(tmp_path / "copy", database)
        assert rows_of(copy)["a-one.png"]["objects"] == 0
        assert f"annotated in this database as '{folder}'" in copy.store.notes[0]

    def test_other_images_get_a_project_of_their_own(self, opened: Opened, tmp_path: Path) -> None:
        folder, database = make_folder(tmp_path / "photos"), tmp_path / "shared.sqlite"
        annotate(opened(folder, database))
        shutil.rmtree(folder)
        other = tmp_path / "other"
        other.mkdir()
        Image.new("RGB", (64, 48)).save(other / "a-one.png")
        annotator = opened(other, database)
        assert rows_of(annotator)["a-one.png"]["objects"] == 0
        assert len(rows_of(annotator)) == 1

    def test_work_that_an_earlier_version_lost_comes_back(self, opened: Opened, tmp_path: Path) -> None:
        """Earlier versions began an empty project in a folder that was moved."""
        folder = make_folder(tmp_path / "photos")
        before = annotate(opened(folder))
        folder = folder.rename(tmp_path / "renamed")
        with sqlite3.connect(str(default_database_url(folder).database)) as connection:
            connection.execute("INSERT INTO saywhere_project (folder) VALUES (?)", (str(folder),))
            connection.execute("INSERT INTO saywhere_label (project_id, name, colour, key, hidden) VALUES (2, 'new', "
                               "'#000000', '', 0)")  # fmt: skip
            connection.execute("INSERT INTO saywhere_image (project_id, path, missing, seq, state, objects) VALUES "
                               "(2, 'a-one.png', 0, 0, 'new', 0)")  # fmt: skip
        connection.close()
        annotator = opened(folder)
        assert state_of(annotator, "a-one.png") == before
        assert [one["name"] for one in open_client(annotator).get("/api/project").json()["labels"]] == ["disc", "new"]

    def test_everything_renamed_at_once(self, opened: Opened, tmp_path: Path) -> None:
        folder, database = make_folder(tmp_path / "photos"), tmp_path / "elsewhere.sqlite"
        before = annotate(opened(folder, database))
        folder = folder.rename(tmp_path / "renamed")
        for number, path in enumerate(sorted(folder.glob("*.png"))):
            path.rename(folder / f"IMG_{number:04}.png")
        assert state_of(opened(folder, database), "IMG_0000.png") == before


class TestImages:
    def test_a_renamed_image_is_found_by_its_hash(self, opened: Opened, tmp_path: Path) -> None:
        folder = make_folder(tmp_path / "photos")
        before = annotate(opened(folder))
        (folder / "sub").mkdir()
        (folder / "a-one.png").rename(folder / "sub" / "new name.png")
        Image.fromarray(picture([(20, 20, 9)])).save(folder / "z-same-size.png")
        annotator = opened(folder)
        assert sorted(rows_of(annotator)) == ["b-two.png", "c-none.png", "sub/new name.png", "z-same-size.png"]
        assert state_of(annotator, "sub/new name.png") == before
        assert not any(row["missing"] for row in rows_of(annotator).values())

    def test_an_image_renamed_under_the_running_server(self, opened: Opened, tmp_path: Path) -> None:
        folder = make_folder(tmp_path / "photos")
        annotate(opened(folder))
        annotator = opened(folder)
        client = open_client(annotator)
        (folder / "a-one.png").rename(folder / "d.png")
        assert client.get("/api/images/1").status_code == 422
        client.post("/api/rescan").raise_for_status()
        assert rows_of(annotator)["d.png"]["id"] == 1
        assert client.get("/api/images/1").status_code == 200

    def test_a_new_row_of_the_same_file_gives_way(self, opened: Opened, tmp_path: Path) -> None:
        """Earlier versions listed a renamed image as missing and as new."""
        folder = make_folder(tmp_path / "photos")
        annotate(opened(folder))
        (folder / "a-one.png").rename(folder / "d.png")
        annotator = opened(folder)
        with sqlite3.connect(str(default_database_url(folder).database)) as connection:
            connection.execute("UPDATE saywhere_image SET path = 'a-one.png', missing = 1 WHERE id = 1")
            connection.execute("INSERT INTO saywhere_image (project_id, path, missing, seq, state, objects) VALUES "
                               "(1, 'd.png', 0, 0, 'new', 0)")  # fmt: skip
        connection.close()
        annotator.rescan()
        rows = rows_of(annotator)
        assert rows["d.png"]["id"] == 1
        assert "a-one.png" not in rows

    @pytest.mark.parametrize("content", [b"", b"cut", None])
    def test_one_damaged_image_holds_no_export_back(
        self, opened: Opened, tmp_path: Path, content: bytes | None
    ) -> None:
        folder = make_folder(tmp_path / "photos")
        annotator = opened(folder)
        client = open_client(annotator)
        for image in (1, 2):
            act(client, image, click(300 if image == 1 else 180, 200)).raise_for_status()
        whole = client.get("/api/export", params={"done": False}).json()
        bad = folder / "a-one.png"
        bad.unlink() if content is None else bad.write_bytes(content and bad.read_bytes()[:90])
        exported = client.get("/api/export", params={"done": False}).json()
        assert [exported[key] for key in ("images", "annotations")] == [whole["images"], whole["annotations"]]
        (note,) = set(exported["info"]["notes"]) - set(whole["info"]["notes"])
        assert "image 'a-one.png'" in note
        assert "stored size, 640x480" in note
        for format in ("voc", "yolo", "labelme", "png"):
            answer = client.get("/api/export", params={"format": format, "done": False})
            assert answer.status_code == 200
            archive = zipfile.ZipFile(io.BytesIO(answer.content))
            assert "stored size, 640x480" in archive.read("notes.txt").decode()

    def test_a_link_is_never_followed_after_it_was_checked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever can write into the folder swaps a file, or the folder above it, between the check and the opening."""
        folder = make_folder(tmp_path / "photos")
        secret = tmp_path / "secret"
        secret.mkdir()
        Image.new("RGB", (8, 8)).save(secret / "a.png")
        for below in ("", "sub"):
            (folder / below).mkdir(exist_ok=True)
            Image.new("RGB", (9, 9)).save(folder / below / "a.png")
        images = ImageFolder(folder)
        locate = images.locate

        def swap(relative: str) -> Path:
            path = locate(relative)
            if relative == "a.png":
                path.unlink()
                path.symlink_to(secret / "a.png")
            else:
                shutil.rmtree(path.parent)
                path.parent.symlink_to(secret)
            return path

        monkeypatch.setattr(images, "locate", swap)
        for relative in ("a.png", "sub/a.png"):
            with pytest.raises(SaywhereError, match="cannot be opened"):
                images.load(relative)

    def test_large_images_are_decoded_one_after_another(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import threading

        (tmp_path / "photos").mkdir()
        for number in range(4):
            Image.fromarray(np.full((300, 400, 3), number, np.uint8)).save(tmp_path / "photos" / f"{number}.png")
        images = ImageFolder(tmp_path / "photos")
        images._decoding = DecodeLimit(300 * 400 + 5)
        at_once, most, lock = 0, 0, threading.Lock()
        decode = image_folder.decode_image

        def slow(content: bytes, name: str) -> Any:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            threading.Event().wait(0.02)
            pixels = decode(content, name)
            with lock:
                at_once -= 1
            return pixels

        monkeypatch.setattr(image_folder, "decode_image", slow)
        threads = [threading.Thread(target=images.load, args=(f"{number}.png",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1
