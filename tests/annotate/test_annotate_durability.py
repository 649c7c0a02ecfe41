"""Nothing that was answered is ever lost: killed servers, PostgreSQL, and whatever the API description allows."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import kill_server
import pytest
import schemathesis
from annotator import PartsRuntime, Server, act, click, make, make_folder, open_client
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi import checks as openapi
from starlette.testclient import TestClient

from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.web.app import make_app

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def check_kills(folder: Path, kills: int, longest: float) -> None:
    outcome = kill_server.run(folder, kills, longest=longest)
    assert outcome.faults == []
    assert outcome.kills == kills
    assert outcome.answers >= kills


def test_killed_under_load(tmp_path: Path) -> None:
    check_kills(tmp_path, kills=8, longest=0.4)


@pytest.mark.slow
def test_killed_under_load_many_times(tmp_path: Path) -> None:
    check_kills(tmp_path, kills=200, longest=0.8)


class Cluster:
    """A PostgreSQL server of this test alone, on a socket in its own folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        # PostgreSQL refuses to run as root.
        self.user = pwd.getpwnam("postgres").pw_name if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(folder, self.user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._do("initdb", "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "--no-sync")
        settings = f"-p {self.port} -k {folder} -c listen_addresses=127.0.0.1"
        self._do("pg_ctl", "-D", str(folder / "data"), "-w", "-o", settings, "-l", str(folder / "log"), "start")

    def _do(self, name: str, *arguments: str) -> None:
        command = [str(self.programs / name), *arguments]
        subprocess.run(command, user=self.user, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, timeout=120)

    @property
    def url(self) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        self._do("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if not SERVERS:
        pytest.skip("PostgreSQL is not installed under /usr/lib/postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with tempfile.TemporaryDirectory() as folder:
        try:
            cluster = Cluster(Path(folder), SERVERS[0])
        except (KeyError, subprocess.SubprocessError) as error:
            pytest.skip(f"PostgreSQL does not start here: {error}")
        yield cluster
        cluster.stop()


def test_postgresql(cluster: Cluster, tmp_path: Path) -> None:
    """Two servers on one database: what one stores the other shows, and neither overwrites the other."""
    folder = make_folder(tmp_path / "photos")
    one, two = (Server(folder, "--database", cluster.url, model="annotator:parts") for _ in range(2))
    anna, ben = one.client("anna-page"), two.client("ben-page-1")
    label = anna.post("/api/labels", json={"name": "ball"}).json()["id"]
    act(anna, 1, click(300, 200, label=label)).raise_for_status()
    state = ben.get("/api/images/1").json()["state"]
    assert state["objects"][0]["label"] == label
    assert act(ben, 1, click(310, 200, object=1)).status_code == 423
    anna.delete("/api/images/1/lock")
    assert act(ben, 1, click(310, 200, object=1)).status_code == 200
    ben.delete("/api/images/1/lock")
    assert act(anna, 1, click(320, 200, object=1), base=1).status_code == 409
    one.kill()
    assert ben.get("/api/images/1").json()["state"]["seq"] == 2
    assert ben.get("/api/stats").json()["objects"][0]["clicks"] == 2
    act(ben, 1, {"kind": "box", "box": [230, 130, 370, 270], "object": 1}).raise_for_status()
    act(ben, 1, {"kind": "candidate", "object": 1, "index": 2}).raise_for_status()
    (found,) = ben.get("/api/images/1").json()["state"]["objects"]
    assert (found["box"], found["choices"]) == ([230, 130, 370, 270], 1)
    assert not (folder / ".saywhere").exists()
    two.stop()


def test_two_servers_add_the_same_at_once(cluster: Cluster, tmp_path: Path) -> None:
    """Transactions that collide are done again; what is new to both is added once."""
    folder = make_folder(tmp_path / "photos")
    servers = [make(folder, Database(cluster.url)) for _ in range(2)]
    clients = [open_client(server, name=f"the-page-{number}") for number, server in enumerate(servers)]
    statuses: list[int] = []

    def work(client: TestClient) -> None:
        for step in range(6):
            statuses.append(client.post("/api/labels", json={"name": f"label {step}"}).status_code)
            statuses.append(client.post("/api/rescan").status_code)
            statuses.append(client.post("/api/images/2/lock?take=true").status_code)

    for number in range(20):
        (folder / f"new-{number}.png").write_bytes((folder / "a-one.png").read_bytes())
    threads = [threading.Thread(target=work, args=(client,)) for client in clients * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 201}
    assert clients[0].get("/api/images").json()["total"] == 23
    assert [label.name for label in servers[1].store.visible_labels()] == [f"label {step}" for step in range(6)]
    for server in servers:
        server.close()
        server.store.database.close()


HEADERS = {"Host": "127.0.0.1", "X-Saywhere-Client": "schema-test"}


CHECKS = [
    schemathesis.checks.not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance,
    openapi.response_schema_conformance,
]  # fmt: skip


def test_what_changed_between_two_exports_conforms_to_the_api_description(tmp_path: Path) -> None:
    """Generated requests seldom name two exports that are there."""
    folder = make_folder(tmp_path / "photos")
    annotator = make(folder, Database(default_database_url(folder)), runtime=PartsRuntime())
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", make_app(annotator), headers=HEADERS)
    for kind in ("coco", "yolo"):
        schema["/api/exports"]["POST"].Case(body={"format": kind}).call_and_validate(headers=HEADERS, checks=CHECKS)
    changes = schema["/api/exports/{version}/changes"]["GET"]
    case = changes.Case(path_parameters={"version": 2}, query={"since": 1})
    assert case.call_and_validate(headers=HEADERS, checks=CHECKS).json()["options"] == {"format": ["coco", "yolo"]}
    annotator.close()


def test_responses_conform_to_the_api_description(tmp_path: Path) -> None:
    """No 5xx, and no status, type or form of a response that the description does not name."""
    folder = make_folder(tmp_path / "photos")
    annotator = make(folder, Database(default_database_url(folder)), runtime=PartsRuntime())
    annotator.store.add_label("ball")
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", make_app(annotator), headers=HEADERS)
    tested = 0
    for operation in schema.get_all_operations():

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy())
        def send(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=HEADERS, checks=CHECKS)

        send()
        tested += 1
    assert tested >= 17
    annotator.close()
