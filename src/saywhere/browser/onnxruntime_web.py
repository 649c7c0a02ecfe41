"""The files of onnxruntime-web (MIT), which runs networks in browsers: found, checked, or fetched by npm."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
FETCH_SECONDS = 600
WASM: Final[Mapping[str, str]] = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""What WebAssembly needs, with SHA-256 digests."""
WEBGPU: Final[Mapping[str, str]] = {
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
"""What WebGPU needs besides."""
HOW_TO_GET = f"get it by: npm pack {PACKAGE}, and give --runtime {ARCHIVE}"


def runtime_files(source: Path | None = None, webgpu: bool = False) -> dict[str, bytes]:
    """The files that a page needs.

    Args:
        source: the package's archive, its unpacked folder or the folder ``dist`` of it; None: the archive in the user's
            cache, where npm puts it the first time.
        webgpu: also those for WebGPU.

    Returns:
        Contents by name.

    Raises:
        SaywhereError: a file is missing or is not that of this version, or npm cannot be run or fetches nothing.
    """
    digests = {**WASM, **(WEBGPU if webgpu else {})}
    place = fetched_archive() if source is None else source
    if not place.exists():
        raise SaywhereError(f"--runtime '{place}': there is no such file or folder; {HOW_TO_GET}")
    contents = _of_folder(place, digests) if place.is_dir() else _of_archive(place, digests)
    for name, digest in digests.items():
        if name not in contents:
            raise SaywhereError(f"'{place}': has no {name}, which onnxruntime-web {VERSION} has; {HOW_TO_GET}")
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise SaywhereError(f"'{place}': its {name} is not that of onnxruntime-web {VERSION}; {HOW_TO_GET}")
    return contents


def cache_folder() -> Path:
    """Where fetched archives are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saywhere"


def fetched_archive() -> Path:
    """The archive in the user's cache; npm fetches it where it is not there yet."""
    kept = cache_folder() / ARCHIVE
    if kept.is_file():
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise SaywhereError(f"onnxruntime-web {VERSION} is not here, and npm, which fetches it, is not installed; "
                            f"where npm is, {HOW_TO_GET}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
            reason = next(iter(done.stderr.strip().splitlines()), f"npm ended with code {done.returncode}")
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = " ".join(str(error).split())
        archive = Path(folder) / ARCHIVE
        if not archive.is_file():
            raise SaywhereError(f"onnxruntime-web {VERSION} cannot be fetched ({reason}); {HOW_TO_GET}")
        write_atomically(kept, archive.read_bytes())
    return kept


def _of_folder(folder: Path, digests: Mapping[str, str]) -> dict[str, bytes]:
    places = (
        folder,
        folder / "dist",
        folder / "package" / "dist",
        folder / "node_modules" / "onnxruntime-web" / "dist",
    )
    found = {name: next((p / name for p in places if (p / name).is_file()), None) for name in digests}
    try:
        return {name: path.read_bytes() for name, path in found.items() if path is not None}
    except OSError as error:
        raise SaywhereError(f"'{folder}': cannot be read ({error.strerror or error})") from error


def _of_archive(archive: Path, digests: Mapping[str, str]) -> dict[str, bytes]:
    contents = {}
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                name = Path(member.name)
                if member.isfile() and name.parent.name == "dist" and name.name in digests:
                    file = opened.extractfile(member)
                    assert file is not None, "it is a file"
                    contents[name.name] = file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise SaywhereError(f"'{archive}': is no archive of npm ({error}); {HOW_TO_GET}") from error
    return contents
