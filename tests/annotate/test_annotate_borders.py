"""The annotator's borders: the folder, the database, the inference queue, and who may ask."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from annotator import act, click, make, make_folder, open_client, picture
from PIL import Image
from sqlalchemy import Connection, event
from starlette.testclient import TestClient

from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.db.tables import SchemaRow
from saywhere.annotate.image_folder import ImageFolder
from saywhere.annotate.inference.queue import InferenceQueue, SupersededError
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.server import Options, serve
from saywhere.errors import SaywhereError
from saywhere.runtime.threads import get_threads


class TestFolder:
    def test_only_images_of_the_folder(self, tmp_path: Path) -> None:
        folder, outside = make_folder(tmp_path / "photos"), tmp_path / "secret.png"
        Image.new("RGB", (8, 8)).save(outside)
        (folder / "link.png").symlink_to(outside)
        (folder / "up").symlink_to(tmp_path)
        (folder / "inside.png").symlink_to(folder / "a-one.png")
        (folder / ".hidden").mkdir()
        Image.new("RGB", (8, 8)).save(folder / ".hidden" / "x.png")
        (folder / "notes.txt").write_text("no")
        os.mkfifo(folder / "pipe.png")
        (folder / "sub dir").mkdir()
        Image.new("RGB", (8, 8)).save(folder / "sub dir" / "<b>ü'\".jpg")
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(outside.read_bytes())
        expected = ["a-one.png", "b-two.png", "c-none.png", "inside.png", "sub dir/<b>ü'\".jpg"]
        assert ImageFolder(folder).list_paths() == expected

    def test_a_listed_image_that_became_a_link_out_is_rejected(self, annotator: Annotator, tmp_path: Path) -> None:
        secret = tmp_path / "secret.png"
        Image.new("RGB", (8, 8)).save(secret)
        listed = tmp_path / "photos" / "a-one.png"
        listed.unlink()
        listed.symlink_to(secret)
        client = open_client(annotator)
        for path in ("", "/picture", "/thumbnail"):
            refused = client.get(f"/api/images/1{path}")
            assert refused.status_code == 422
            assert "leads out of the folder" in refused.json()["error"]
            assert str(tmp_path) not in refused.text

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not an image"),
            (b"hello", "not an image"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
            ("cut", "cut short"),
            ("bomb", "decompression bomb"),
            (None, "not there any more"),
        ],
    )
    def test_a_file_that_is_no_image_is_a_fault_in_the_list(
        self, tmp_path: Path, content: bytes | str | None, words: str
    ) -> None:
        folder = make_folder(tmp_path / "photos")
        bad = folder / "d-bad.png"
        whole = (folder / "a-one.png").read_bytes()
        if content == "bomb":
            # A header that promises 60,000 x 60,000 pixels.
            side = (60_000).to_bytes(4, "big")
            head = whole[:12] + b"IHDR" + side + side + whole[24:29]
            bad.write_bytes(head + zlib.crc32(head[12:]).to_bytes(4, "big") + whole[33:])
        else:
            bad.write_bytes(whole[: len(whole) // 2] if content == "cut" else bytes(content or b"x"))
        database = Database(default_database_url(folder))
        annotator = make(folder, database)
        if content is None:
            bad.unlink()
        client = open_client(annotator)
        refused = client.get("/api/images/4")
        assert refused.status_code == 422
        assert words in refused.json()["error"]
        assert words in client.get("/api/images").json()["images"][3]["fault"]
        assert act_refused(client) == 422
        annotator.close()

    def test_unusual_images_are_read(self, tmp_path: Path) -> None:
        folder = tmp_path / "odd"
        folder.mkdir()
        grey = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
        Image.fromarray(grey).save(folder / "deep.png")
        Image.new("CMYK", (60, 40), (0, 90, 90, 0)).save(folder / "print.jpg")
        Image.new("RGBA", (60, 40), (255, 0, 0, 10)).save(folder / "clear.png")
        Image.new("P", (60, 40)).save(folder / "palette.gif")
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (60, 40)).save(folder / "turned.jpg", exif=exif)
        Image.new("RGB", (1, 1)).save(folder / "dot.png")
        database = Database(default_database_url(folder))
        annotator = make(folder, database)
        client = open_client(annotator)
        for row in client.get("/api/images").json()["images"]:
            opened = client.get(f"/api/images/{row['id']}").json()
            expected = {"turned.jpg": (40, 60), "dot.png": (1, 1)}.get(row["path"], (60, 40))
            assert (opened["width"], opened["height"]) == expected
            assert client.get(f"/api/images/{row['id']}/picture").status_code == 200
            assert client.get(f"/api/images/{row['id']}/thumbnail").status_code == 200
            assert act(client, row["id"], click(0, 0)).status_code == 200
        annotator.close()

    def test_a_file_that_was_replaced(self, client: TestClient, tmp_path: Path) -> None:
        act(client, 1, click(300, 200)).raise_for_status()
        place = tmp_path / "photos" / "a-one.png"
        Image.fromarray(picture([(200, 200, 60)])).save(place)
        assert client.get("/api/images/1").json()["changed"] is True
        Image.new("RGB", (30, 30)).save(place)
        refused = client.get("/api/images/1")
        assert refused.status_code == 422
        assert "was 640x480" in refused.json()["error"]

    def test_rescan(self, client: TestClient, tmp_path: Path) -> None:
        (tmp_path / "photos" / "a-one.png").unlink()
        Image.new("RGB", (9, 9)).save(tmp_path / "photos" / "new.png")
        assert client.post("/api/rescan").json()["images"] == 4
        rows = client.get("/api/images").json()["images"]
        assert [(r["path"], r["missing"]) for r in rows if r["missing"] or r["path"] == "new.png"] == [
            ("a-one.png", True),
            ("new.png", False),
        ]

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="is not there"):
            ImageFolder(tmp_path / "nowhere")
        (tmp_path / "file").touch()
        with pytest.raises(SaywhereError, match="is a file"):
            ImageFolder(tmp_path / "file")


def act_refused(client: TestClient) -> int:
    body = {"key": "key-12345", "base": 0, "action": click(1, 1)}
    return client.post("/api/images/4/events", json=body).status_code


class TestDatabase:
    @pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/x", "sqlite://", "postgresql://127.0.0.1:1/none"])
    def test_what_cannot_be_used_is_said(self, url: str) -> None:
        with pytest.raises(SaywhereError, match="database"):
            Database(url)

    def test_damaged_and_newer_files(self, tmp_path: Path) -> None:
        damaged = tmp_path / "damaged.sqlite"
        damaged.write_bytes(b"no database at all, " * 100)
        with pytest.raises(SaywhereError, match="not a database"):
            Database(f"sqlite:///{damaged}")
        database = Database(f"sqlite:///{tmp_path / 'newer.sqlite'}")
        with database.write_session() as session:
            session.execute(SchemaRow.__table__.update().values(version=99))
        database.close()
        with pytest.raises(SaywhereError, match="version 99"):
            Database(f"sqlite:///{tmp_path / 'newer.sqlite'}")

    def test_a_full_disk_loses_nothing_that_was_answered(self, annotator: Annotator, client: TestClient) -> None:
        engine = annotator.store.database._engine

        def no_more(connection: Connection) -> None:
            connection.exec_driver_sql("PRAGMA max_page_count=1")  # SQLite takes the pages that there are

        event.listen(engine, "begin", no_more)
        answered, refused = 0, None
        for step in range(300):
            answer = act(client, 1, click(300, 200, object=1 if step else None, positive=step % 2 == 0))
            if answer.status_code != 200:
                refused = answer
                break
            answered = answer.json()["seq"]
        assert refused is not None
        assert refused.status_code == 503
        assert "nothing is lost" in refused.json()["error"]
        assert answered > 0
        assert client.get("/api/images/1").json()["state"]["seq"] == answered
        event.remove(engine, "begin", no_more)
        with annotator.store.database.read_session() as session:
            session.connection().exec_driver_sql("PRAGMA max_page_count=1000000")
        assert act(client, 1, click(310, 200, object=1)).json()["seq"] == answered + 1

    def test_a_locked_database_is_waited_for_and_then_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("saywhere.annotate.db.database.BUSY_TIMEOUT", 1)
        database = Database(default_database_url(make_folder(tmp_path / "photos")))
        annotator = make(tmp_path / "photos", database)
        client = open_client(annotator)
        client.get("/api/images/1").raise_for_status()
        other = sqlite3.connect(database.display_name, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        body = {"key": "while-it-is-locked", "base": 0, "action": click(300, 200)}
        refused = client.post("/api/images/1/events", json=body)
        assert refused.status_code == 503
        assert client.get("/api/images/1").json()["state"]["seq"] == 0, "others can still look"
        other.execute("ROLLBACK")
        other.close()
        assert client.post("/api/images/1/events", json=body).json()["seq"] == 1
        annotator.close()
        database.close()

    def test_a_port_in_use_is_said(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            options = Options(make_folder(tmp_path / "photos"), port=port, browser=False)
            with pytest.raises(SaywhereError, match=rf"--port {port}.*give another --port"):
                serve(options, print)

    def test_events_wait_for_the_disk(self, annotator: Annotator) -> None:
        with annotator.store.database.read_session() as session:
            connection = session.connection()
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def hold_a_worker(queue: InferenceQueue) -> threading.Event:
    """Keep one worker busy with a request of page "one" until the event is set."""
    began, gate = threading.Event(), threading.Event()
    queue.submit("one", lambda: (began.set(), gate.wait()))
    assert began.wait(60)
    return gate


class TestInferenceQueue:
    def test_latest_first_among_one_page_and_fair_among_pages(self) -> None:
        queue, served = InferenceQueue(), []
        gate = hold_a_worker(queue)
        jobs = [queue.submit(page, lambda w=(page, n): served.append(w)) for page in ("one", "two") for n in (1, 2)]
        background = queue.submit_background(lambda: served.append("background"))
        gate.set()
        for job in [*jobs, background]:
            job.result(60)
        assert served == [("one", 2), ("two", 2), ("one", 1), ("two", 1), "background"]
        queue.close()

    def test_a_superseded_request_is_cancelled(self) -> None:
        queue = InferenceQueue()
        gate = hold_a_worker(queue)
        stale, other = queue.submit("one", lambda: 1, "relevance"), queue.submit("two", lambda: 2, "relevance")
        latest = queue.submit("one", lambda: 3, "relevance")
        gate.set()
        assert (latest.result(60), other.result(60)) == (3, 2)
        with pytest.raises(SupersededError):
            stale.result(60)
        queue.close()

    def test_different_images_are_worked_on_at_once(self) -> None:
        queue, both = InferenceQueue(2), threading.Barrier(2, timeout=60)
        jobs = [queue.submit(f"client {image}", both.wait, image=image) for image in ("one", "two")]
        assert sorted(job.result(60) for job in jobs) == [0, 1]
        queue.close()

    def test_of_an_image_one_request_is_served_at_a_time(self) -> None:
        queue, at_once, most = InferenceQueue(3), [], []

        def work() -> None:
            at_once.append(1)
            most.append(len(at_once))
            time.sleep(0.005)
            at_once.pop()

        jobs = [queue.submit(f"client {number}", work, image="one") for number in range(12)]
        jobs += [queue.submit_background(work, image="one") for _ in range(4)]
        for job in jobs:
            job.result(60)
        assert max(most) == 1
        queue.close()

    def test_several_workers_share_the_processor_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("saywhere.runtime.threads._threads", 2)
        queue = InferenceQueue(2)
        assert queue.submit("alone", get_threads).result(60) == 2
        gate = hold_a_worker(queue)
        assert queue.submit("two", get_threads).result(60) == 1
        gate.set()
        queue.close()

    def test_an_error_is_the_askers_alone(self) -> None:
        queue = InferenceQueue()
        with pytest.raises(ZeroDivisionError):
            queue.submit("one", lambda: 1 // 0).result(60)
        assert queue.submit("one", lambda: 7).result(60) == 7
        queue.close()
        with pytest.raises(SaywhereError, match="closing"):
            queue.submit("one", lambda: 7)


class TestGuard:
    def test_other_hosts_and_origins(self, client: TestClient) -> None:
        assert client.get("/api/project", headers={"Host": "evil.example"}).status_code == 403
        assert client.get("/api/project", headers={"Host": "localhost:8765"}).status_code == 200
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"X-Saywhere-Client": ""}):
            assert client.post("/api/labels", json={"name": "x"}, headers=headers).status_code == 403
        assert client.get("/api/project").json()["labels"] == []

    def test_every_answer_is_guarded(self, client: TestClient) -> None:
        for path in ("/", "/stats", "/api/project", "/static/main.js", "/api/images/99", "/nowhere"):
            headers = client.get(path).headers
            assert "script-src 'self'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"]

    def test_bodies_are_limited(self, client: TestClient) -> None:
        assert client.post("/api/labels", content=b"x" * 600_000).status_code == 413

        def pieces() -> Iterator[bytes]:
            for _ in range(20):
                yield b"x" * 50_000

        assert client.post("/api/labels", content=pieces()).status_code == 413

    @pytest.mark.parametrize(
        "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "//etc/passwd"]
    )
    def test_no_file_outside_the_page(self, client: TestClient, path: str) -> None:
        assert client.get(path).status_code == 404

    def test_a_token_opens_once_and_stays_in_a_cookie(self, annotator: Annotator) -> None:
        client = open_client(annotator, token="a-long-enough-token")
        assert client.get("/api/project").status_code == 401
        assert client.get("/", headers={"Accept": "text/html"}, follow_redirects=False).headers["location"] == "/login"
        wrong = client.post("/login", data={"token": "guess"}, follow_redirects=False)
        assert wrong.headers["location"] == "/login?again=1"
        right = client.post("/login", data={"token": "a-long-enough-token"}, follow_redirects=False)
        cookie = right.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "a-long-enough-token" not in cookie
        assert client.get("/api/project").status_code == 200
        other = open_client(annotator, token="a-long-enough-token")
        other.cookies.set("saywhere", "0" * 64)
        assert other.get("/api/project").status_code == 401
