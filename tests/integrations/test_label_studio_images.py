"""Where the backend for Label Studio reads images: a folder, and a real server that stands for Label Studio."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from integrations.label_studio.images import ImageSource
from PIL import Image

from saywhere.errors import SaywhereError

LEGACY, PERSONAL = "0123abcd", "aaa.bbb.ccc"


class Handler(BaseHTTPRequestHandler):
    """Gives an image to who has a token; one address leads to another host, which remembers what it was sent."""

    seen: list[tuple[str, str | None]]
    other: str

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        self.seen.append((self.path, given))
        if self.path.startswith("/tasks/"):
            self.send_response(303)
            self.send_header("Location", f"{self.other}/public.png")
            self.end_headers()
            return
        is_allowed = given in (f"Token {LEGACY}", "Bearer short") or self.path == "/public.png"
        self.send_response(200 if is_allowed else 401)
        self.end_headers()
        if is_allowed:
            content = io.BytesIO()
            Image.new("RGB", (4, 3), (9, 8, 7)).save(content, "PNG")
            self.wfile.write(content.getvalue())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        is_known = self.path == "/api/token/refresh/" and body == {"refresh": PERSONAL}
        self.wfile.write(json.dumps({"access": "short"} if is_known else {}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[type[Handler]]:
    class Own(Handler):
        seen: list[tuple[str, str | None]] = []  # noqa: RUF012

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as running:
        Own.other = f"http://localhost:{running.server_port}"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield Own
        running.shutdown()


def url_of(server: type[Handler]) -> str:
    return server.other.replace("localhost", "127.0.0.1")


def is_the_image(pixels: np.ndarray) -> bool:
    return pixels.shape == (3, 4, 3) and bool((pixels == (9, 8, 7)).all())


@pytest.mark.parametrize("key", [LEGACY, PERSONAL])
def test_uploaded_files_are_read_with_a_token(server: type[Handler], key: str) -> None:
    source = ImageSource(url=url_of(server), key=key)
    assert is_the_image(source.read("/data/upload/1/cat.png"))
    assert is_the_image(source.read(f"{url_of(server)}/data/upload/1/cat.png"))


def test_cloud_storage_is_asked_of_label_studio_and_gets_no_token(server: type[Handler]) -> None:
    assert is_the_image(ImageSource(url=url_of(server), key=LEGACY).read("s3://bucket/a b.png", 12))
    asked, followed = server.seen
    assert asked == ("/tasks/12/presign/?fileuri=s3%3A%2F%2Fbucket%2Fa%20b.png", f"Token {LEGACY}")
    assert followed == ("/public.png", None)


def test_other_hosts_are_asked_only_if_allowed_and_get_no_token(server: type[Handler]) -> None:
    address = f"{server.other}/public.png"
    with pytest.raises(SaywhereError, match="host 'localhost' is not allowed; add --allow-host localhost"):
        ImageSource(url=url_of(server), key=LEGACY).read(address)
    assert server.seen == []
    assert is_the_image(ImageSource(url=url_of(server), key=LEGACY, hosts=("localhost",)).read(address))
    assert server.seen == [("/public.png", None)]


@pytest.mark.parametrize("key", [None, "wrong", "x.y.z"])
def test_a_token_of_no_use_gets_one_line(server: type[Handler], key: str | None) -> None:
    with pytest.raises(SaywhereError, match="set LABEL_STUDIO_API_KEY to a valid"):
        ImageSource(url=url_of(server), key=key).read("/data/upload/1/cat.png")


@pytest.mark.parametrize(
    "address", ["/data/upload/4/0a1b2c3d-cat.png", "/data/local-files/?d=sub/cat.png", "https://host/x/cat.png?sign=1"]
)
def test_a_folder_has_the_files_by_the_ends_of_their_addresses(tmp_path: Path, address: str) -> None:
    for place in (tmp_path, tmp_path / "sub"):
        place.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3), (9, 8, 7)).save(place / "cat.png")
    assert is_the_image(ImageSource(tmp_path).read(address))


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (None, "no image address"),
        ("", "no image address"),
        ("none.png", "give its folder with --images or Label Studio's --url"),
        ("/etc/passwd", "give its folder"),
        ("file:///etc/passwd", "give its folder"),
        ("../secret.png", "give its folder"),
        ("http://[", "not an address"),
    ],
)
def test_an_address_of_no_use_gets_one_line(tmp_path: Path, address: str | None, line: str) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "secret.png")
    with pytest.raises(SaywhereError, match=line) as caught:
        ImageSource(tmp_path / "images").read(address)
    assert "\n" not in str(caught.value)
