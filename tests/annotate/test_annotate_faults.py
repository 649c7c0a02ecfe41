"""Faults around a running server: signals, lost and damaged databases, idle connections, cookies, clocks."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from annotator import Server, act, click, make_folder, open_client
from starlette.testclient import TestClient

from saywhere.annotate.db import locks, store
from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.service import Annotator
from saywhere.annotate.web import connections
from saywhere.annotate.web.app import make_app
from saywhere.errors import SaywhereError


def database_path(folder: Path) -> Path:
    return Path(str(default_database_url(folder).database))


class TestDatabase:
    @pytest.mark.parametrize(
        "number", [signal.SIGTERM, signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
    )
    def test_a_stopped_server_leaves_one_whole_file(self, tmp_path: Path, number: int) -> None:
        folder = make_folder(tmp_path / "photos")
        server = Server(folder)
        with server.client() as client:
            act(client, 1, click(300, 200)).raise_for_status()
        os.kill(server.process.pid, number)
        server.process.join(120)
        assert "everything that was answered is saved" in server.output
        alone = shutil.copy(database_path(folder), tmp_path / "alone.sqlite")
        with sqlite3.connect(alone) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT kind FROM saywhere_event").fetchall() == [("click",)]
        connection.close()
        log = database_path(folder).with_name("annotations.sqlite-wal")
        assert not log.exists() or log.stat().st_size == 0

    def test_a_database_deleted_or_replaced_while_running(self, annotator: Annotator) -> None:
        client = open_client(annotator)
        act(client, 1, click(300, 200)).raise_for_status()
        path = Path(annotator.store.database.display_name)
        away = path.rename(path.with_name("away.sqlite"))
        body = {"key": "key-12345", "base": 1, "action": click(310, 200)}
        for answer in (client.get("/api/images"), client.post("/api/images/1/events", json=body)):
            assert answer.status_code == 503
            assert "was deleted or moved away while the annotator was running" in answer.json()["error"]
        path.write_bytes(b"")
        assert "was replaced by another file" in client.get("/api/project").json()["error"]
        away.replace(path)
        assert client.post("/api/images/1/events", json=body).status_code == 200

    def test_damaged_pages_are_named(self, annotator: Annotator) -> None:
        client = open_client(annotator)
        for step in range(12):
            act(client, 1, click(300 + step, 200, object=1 if step else None)).raise_for_status()
        database = annotator.store.database
        database.close()
        path = Path(database.display_name)
        content = bytearray(path.read_bytes())
        content[4096:] = bytes(reversed(content[4096:]))
        path.write_bytes(content)
        refused = client.get("/api/images/2")
        assert refused.status_code == 503
        assert "is damaged (" in refused.json()["error"]
        assert "restore a copy" in refused.json()["error"]
        with pytest.raises(SaywhereError, match=r"annotations.sqlite': is damaged \("):
            Database(database.url)

    def test_a_missing_column_is_named(self, tmp_path: Path) -> None:
        url = default_database_url(make_folder(tmp_path / "photos"))
        Database(url).close()
        with sqlite3.connect(str(url.database)) as connection:
            connection.execute("ALTER TABLE saywhere_image DROP COLUMN fault")
        connection.close()
        with pytest.raises(SaywhereError, match="saywhere_image lacks the column fault"):
            Database(url)

    def test_a_log_without_its_database_is_kept(self, annotator: Annotator, tmp_path: Path) -> None:
        act(open_client(annotator), 1, click(300, 200)).raise_for_status()
        path = Path(annotator.store.database.display_name)
        log = tmp_path / "annotations.sqlite-wal"
        shutil.copy(path.with_name(path.name + "-wal"), log)
        assert log.stat().st_size > 0
        with pytest.raises(SaywhereError, match="write-ahead log"):
            Database(f"sqlite:///{tmp_path / 'annotations.sqlite'}")
        assert log.stat().st_size > 0
        assert not (tmp_path / "annotations.sqlite").exists()

    def test_a_clock_that_was_set_back(self, annotator: Annotator, monkeypatch: pytest.MonkeyPatch) -> None:
        anna, ben = open_client(annotator, name="anna-page"), open_client(annotator, name="ben-page-1")
        anna.post("/api/images/1/lock").raise_for_status()
        hour = 3_600_000
        monkeypatch.setattr(store, "now_ms", lambda: time.time_ns() // 1_000_000 - hour)
        assert ben.post("/api/images/1/lock").status_code == 200
        assert anna.post("/api/images/1/lock").status_code == 423
        assert act(ben, 1, click(300, 200)).status_code == 200
        monkeypatch.setattr(store, "now_ms", lambda: time.time_ns() // 1_000_000 - hour + locks.DURATION_MS + 10)
        assert anna.post("/api/images/1/lock").status_code == 200

    def test_one_request_sent_twice_at_once_is_done_once(self, annotator: Annotator) -> None:
        body = {"key": "the-same-key", "base": 0, "action": click(300, 200)}
        client = open_client(annotator)
        answers = run_at_once([lambda: client.post("/api/images/1/events", json=body)] * 6)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert answers[0].json()["seq"] == 1


def run_at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda call=call: answers.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(calls)
    return answers


@contextmanager
def served(annotator: Annotator) -> Iterator[int]:
    """The annotator behind real sockets in a thread; its port."""
    bound = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(annotator), log_level="warning", http=connections.BoundedConnection, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield bound.getsockname()[1]
    server.should_exit = True
    thread.join(60)


def is_closed(connection: socket.socket) -> bool:
    """Whether the server ends a connection within a minute."""
    connection.settimeout(60)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


class TestConnections:
    def test_idle_connections_refuse_nobody(self, annotator: Annotator) -> None:
        with served(annotator) as port:
            idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections.MAX_WAITING + 60)]
            for number, connection in enumerate(idle):
                if number % 2:
                    connection.sendall(b"GET /api/project HTTP/1.1\r\nHost: 127.0")
            assert httpx.get(f"http://127.0.0.1:{port}/api/project", timeout=60).status_code == 200
            assert is_closed(idle[0]), "those that wait longest give way"
            for connection in idle:
                connection.close()

    @pytest.mark.parametrize(
        ("limit", "sent"),
        [
            ("HEADER_SECONDS", b""),
            ("HEADER_SECONDS", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-"),
            ("NEXT_HEADER_SECONDS", b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("NEXT_HEADER_SECONDS", b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\nX-"),
            ("BODY_SECONDS", b"POST /api/labels HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Saywhere-Client: test-client\r\n"
                             b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"),
        ],
    )  # fmt: skip
    def test_a_connection_that_stops_is_closed(
        self, annotator: Annotator, monkeypatch: pytest.MonkeyPatch, limit: str, sent: bytes
    ) -> None:
        monkeypatch.setattr(connections, limit, 0.3)
        with served(annotator) as port:
            started = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), 60) as connection:
                connection.sendall(sent)
                received = b""
                while part := connection.recv(4096):
                    received += part
            assert time.monotonic() - started > 0.2
            assert received.count(b"HTTP/1.1 404") == (limit == "NEXT_HEADER_SECONDS")

    def test_a_slow_request_is_not_cut(self, annotator: Annotator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "HEADER_SECONDS", 1.5)  # the header arrives earlier on a slow machine too
        monkeypatch.setattr(connections, "BODY_SECONDS", 1.5)
        load = annotator.load_image

        def slow(id: int) -> object:
            time.sleep(2)
            return load(id)

        monkeypatch.setattr(annotator, "load_image", slow)
        with served(annotator) as port:
            answer = httpx.get(f"http://127.0.0.1:{port}/api/images/1/picture", timeout=60)
            assert answer.status_code == 200

    def test_a_client_that_does_not_read_is_cut(self, annotator: Annotator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "WRITE_SECONDS", 0.3)
        with served(annotator) as port, socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.settimeout(60)
            connection.sendall(b"GET /static/stage.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 700)
            assert is_cut(connection)


def is_cut(connection: socket.socket) -> bool:
    """Whether the server ends a connection within a minute while nothing is read from it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            connection.sendall(b"GET")
        except ConnectionError:
            return True
        time.sleep(0.05)
    return False


class TestRequests:
    @pytest.mark.parametrize(
        "foreign", ['prefs={"theme":"dark"}', "foo=a b", "flag", "a[0]=1", "=", ";;", 'x="', "saywhere=old", "ü=ü"]
    )
    def test_foreign_cookies_do_not_hinder_the_login(self, annotator: Annotator, foreign: str) -> None:
        client = open_client(annotator, token="a-long-enough-token")
        entered = client.post("/login", data={"token": "a-long-enough-token"}, follow_redirects=False)
        own = entered.headers["set-cookie"].split(";")[0]
        for cookies in (f"{foreign}; {own}", f"{own}; {foreign}", f"{own}; {own.split('=')[0]}=other"):
            client.cookies.clear()
            assert client.get("/api/project", headers={"Cookie": cookies.encode()}).status_code == 200
        assert client.get("/api/project", headers={"Cookie": foreign.encode()}).status_code == 401

    def test_two_servers_on_one_host_keep_their_cookies_apart(self, annotator: Annotator) -> None:
        first, second = "a-long-enough-token", "another-long-token"
        client = open_client(annotator, token=first)
        client.post("/login", data={"token": first}).raise_for_status()
        other = TestClient(make_app(annotator, second), base_url="http://127.0.0.1", cookies=client.cookies)
        assert other.get("/api/project", timeout=60).status_code == 401
        other.post("/login", data={"token": second}).raise_for_status()
        client.cookies.update(other.cookies)
        assert client.get("/api/project", timeout=60).status_code == 200

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    @pytest.mark.parametrize("path", ["/api/project", "/api/images/1/picture", "/api/export", "/static/main.js"])
    def test_other_sites_cannot_read(self, client: TestClient, site: str, path: str) -> None:
        assert client.get(path).status_code == 200
        for mode in ("no-cors", "cors", "navigate"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
            assert client.get(path, headers=headers).status_code == 403
        assert client.get(path, headers={"Origin": "http://evil.example"}).status_code == 403
        assert client.get(path, headers={"Origin": "http://[bad"}).status_code == 403
        assert client.get(path, headers={"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}).is_success

    def test_a_link_on_another_site_leads_to_the_page(self, client: TestClient) -> None:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert client.get("/", headers=headers).status_code == 200
        assert client.get("/", headers=headers | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403

    @pytest.mark.parametrize(
        "body",
        [
            b"{", b"", b"\xff\xfe", b"\x00", b"[" * 100_000, b'{"name": ' * 20_000, b"9" * 10_000, b"NaN", b'"\\ud800"',
            b'{"name": "\\ud800"}', json.dumps({"name": "x" * 5000}).encode(),
        ],
    )  # fmt: skip
    def test_what_is_no_json_is_answered_as_described(self, client: TestClient, body: bytes) -> None:
        answer = client.post("/api/labels", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["error"]

    def test_too_many_requests_at_once_are_refused(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("saywhere.annotate.web.security.MAX_REQUESTS", 0)
        refused = client.get("/api/project")
        assert refused.status_code == 503
        assert "at once" in refused.json()["error"]
        monkeypatch.undo()
        assert client.get("/api/project", timeout=60).status_code == 200
