"""The images of tasks: from a folder, or over HTTP from Label Studio and from hosts that are allowed."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from saywhere.core.arrays import ImageArray
from saywhere.core.images import decode_image, read_image
from saywhere.data.files import is_file
from saywhere.data.formats.label_studio import find_task_image
from saywhere.errors import SaywhereError

MAX_BYTES = 500_000_000  # of an image file
TIMEOUT = 30.0  # seconds
PERSONAL_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")  # a JSON Web Token; a legacy token is hexadecimal digits


class ImageSource:
    """Reads the images that tasks name.

    Args:
        folder: where image files lie under the last parts of their addresses; it is looked through first.
        url: of Label Studio, for addresses without a host and for those in its cloud storages.
        key: an access token of Label Studio, personal or legacy; it is sent to ``url`` alone.
        hosts: further hosts from which images may be downloaded, for example ``bucket.s3.amazonaws.com``.

    Raises:
        SaywhereError: the folder is none, or the URL is not of HTTP.
    """

    def __init__(
        self, folder: Path | None = None, url: str | None = None, key: str | None = None, hosts: tuple[str, ...] = ()
    ) -> None:
        if folder is not None and not folder.is_dir():
            raise SaywhereError(f"--images '{folder}': not a folder")
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise SaywhereError(f"--url '{url}': give Label Studio's address, such as http://localhost:8080")
        self._folder, self._key = folder, key
        self._url = None if url is None else url.rstrip("/") + "/"
        self._hosts = {host.lower() for host in hosts}

    def read(self, address: object, task: object = None) -> ImageArray:
        """The image at an address.

        Args:
            address: what the task has, such as ``/data/upload/1/cat.jpg``, ``https://...`` or ``s3://...``.
            task: the id of the task, under which Label Studio finds files in its cloud storages.

        Returns:
            ``(H, W, 3)`` uint8 RGB.

        Raises:
            SaywhereError: there is no such image, or it may not be read from there.
        """
        if not isinstance(address, str) or not address.strip():
            raise SaywhereError(f"task {task}: no image address; the field that the config's Image shows must have one")
        try:
            urlsplit(address)
        except ValueError as error:
            raise SaywhereError(f"image '{address[:200]}': not an address ({error})") from error
        path = None if self._folder is None else _find(address, self._folder)
        if path is not None:
            return read_image(path)
        return decode_image(self._download(self._resolved(address, task)), f"'{address[:200]}'")

    def _resolved(self, address: str, task: object) -> str:
        scheme = urlsplit(address).scheme
        if scheme in ("http", "https"):
            return address
        if self._url is None:
            where = f" is not in '{self._folder}'" if self._folder else ""
            raise SaywhereError(
                f"image '{address[:200]}'{where}; give its folder with --images or Label Studio's --url"
            )
        if not scheme:
            return urljoin(self._url, address.lstrip("/"))
        return urljoin(self._url, f"tasks/{quote(str(task), safe='')}/presign/?fileuri={quote(address, safe='')}")

    def _download(self, address: str) -> bytes:
        is_own = self._url is not None and _origin(address) == _origin(self._url)
        host = (urlsplit(address).hostname or "").lower()
        if not is_own and host not in self._hosts:
            raise SaywhereError(f"image '{address[:200]}': host '{host}' is not allowed; add --allow-host {host}")
        request = urllib.request.Request(address)
        if is_own and self._key:
            # Not sent on by redirects, which lead to other hosts.
            request.add_unredirected_header("Authorization", self._authorization(self._key))
        content = _open(request, f"image '{address[:200]}'")
        if len(content) > MAX_BYTES:
            raise SaywhereError(f"image '{address[:200]}': larger than {MAX_BYTES:,} bytes")
        return content

    def _authorization(self, key: str) -> str:
        """A legacy token is sent as it is; a personal one buys a token for a few minutes."""
        if not PERSONAL_TOKEN.fullmatch(key):
            return f"Token {key}"
        assert self._url is not None, "a key is sent to Label Studio alone"
        body, kind = json.dumps({"refresh": key}).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(urljoin(self._url, "api/token/refresh/"), body, kind)
        try:
            answer: Any = json.loads(_open(request, "access token"))
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("access"), str):
            raise SaywhereError("access token: Label Studio's answer has none; set LABEL_STUDIO_API_KEY to a valid one")
        return f"Bearer {answer['access']}"


def _open(request: urllib.request.Request, what: str) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            content: bytes = response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        hint = "; set LABEL_STUDIO_API_KEY to a valid token" if error.code in (401, 403) else ""
        raise SaywhereError(f"{what}: the server answers {error.code} {error.reason}{hint}") from error
    except (OSError, ValueError) as error:
        raise SaywhereError(f"{what}: cannot be downloaded ({' '.join(str(error).split())})") from error
    return content


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    try:
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError as error:
        raise SaywhereError(f"image '{address[:200]}': not an address ({error})") from error


def _find(address: str, folder: Path) -> Path | None:
    try:
        name, _ = find_task_image(_path_of(address), folder, folder)
    except SaywhereError:
        return None  # its name cannot be that of a file in the folder
    return folder / name if is_file(folder / name) else None


def _path_of(address: str) -> str:
    """An address without host and query; files served from a folder have their name in the query (``?d=``)."""
    return address if "?d=" in address or "://" not in address else urlsplit(address).path
