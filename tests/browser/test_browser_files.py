"""What ``saywhere page`` writes, and where it takes onnxruntime-web from."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from saywhere.browser import onnxruntime_web
from saywhere.browser.onnxruntime_web import ARCHIVE, cache_folder, runtime_files
from saywhere.browser.write import SHARED, STATIC, write_page
from saywhere.cli.main import app
from saywhere.errors import SaywhereError

FILES = {
    "ort.wasm.min.mjs": b"module",
    "ort-wasm-simd-threaded.mjs": b"threads",
    "ort-wasm-simd-threaded.wasm": b"code",
}


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the package, whose digests are those that are expected."""
    folder = tmp_path / "node_modules" / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(onnxruntime_web, "WASM", digests)
    return folder


def pack(dist: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(dist, "package/dist")
    return archive


def npm(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program called npm in the place of the real one; the user's cache is empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_page_is_complete(dist: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    (out / "mine").mkdir(parents=True)
    files = write_page(out, runtime=dist.parents[2])
    assert all(file.is_file() for file in files)
    names = {str(file.relative_to(out)) for file in files}
    ours = {str(path.relative_to(place)) for place in (STATIC, SHARED) for path in place.rglob("*") if path.is_file()}
    assert {"index.html", "i18n.js", "i18n/zh.json", "inference/worker.js"} < ours
    assert names == ours | {"encoder.onnx", "decoder.onnx", "model.json", "onnxruntime/LICENSE"} | {
        f"onnxruntime/{name}" for name in FILES
    }
    assert "Microsoft" in (out / "onnxruntime" / "LICENSE").read_text()
    assert sum((out / name).stat().st_size for name in ("encoder.onnx", "decoder.onnx")) < 5e6
    assert (out / "mine").is_dir()


def test_archive_and_folders_give_the_same(dist: Path, tmp_path: Path) -> None:
    archive = pack(dist, tmp_path / "given.tgz")
    assert runtime_files(archive) == FILES == runtime_files(dist) == runtime_files(dist.parent)


def test_another_version_is_refused_and_nothing_is_written(dist: Path, tmp_path: Path) -> None:
    (dist / "ort.wasm.min.mjs").write_bytes(b"another")
    with pytest.raises(SaywhereError, match=r"ort\.wasm\.min\.mjs is not that of onnxruntime-web 1\.30\.0.*npm pack"):
        write_page(tmp_path / "page", runtime=dist)
    (dist / "ort.wasm.min.mjs").unlink()
    with pytest.raises(SaywhereError, match=r"has no ort\.wasm\.min\.mjs"):
        write_page(tmp_path / "page", runtime=dist)
    (tmp_path / "damaged.tgz").write_bytes(b"no archive")
    with pytest.raises(SaywhereError, match="no archive of npm"):
        write_page(tmp_path / "page", runtime=tmp_path / "damaged.tgz")
    with pytest.raises(SaywhereError, match="no such file or folder"):
        write_page(tmp_path / "page", runtime=tmp_path / "absent")
    assert not (tmp_path / "page").exists()


def test_npm_fetches_the_archive_once(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(dist, tmp_path / "given.tgz")
    npm(tmp_path, f'echo "$@" >> {tmp_path}/calls\nfor last; do :; done\ncp {archive} "$last/{ARCHIVE}"', monkeypatch)
    assert runtime_files() == FILES
    assert runtime_files() == FILES
    assert (tmp_path / "calls").read_text().count("pack onnxruntime-web@1.30.0") == 1
    assert (cache_folder() / ARCHIVE).is_file()


def test_one_line_says_how_to_get_it_where_npm_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, "echo 'npm error network' >&2; exit 1", monkeypatch)
    with pytest.raises(SaywhereError, match=r"cannot be fetched \(npm error network\); get it by: npm pack") as caught:
        runtime_files()
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(onnxruntime_web.shutil, "which", lambda _: None)
    with pytest.raises(SaywhereError, match="npm, which fetches it, is not installed"):
        runtime_files()


def test_the_command(dist: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["page", str(tmp_path / "page"), "--runtime", str(dist)])
    assert done.exit_code == 0, done.output
    assert "python -m http.server" in done.output
    with pytest.raises(SaywhereError, match="give one of them"):
        CliRunner().invoke(app, ["page", str(tmp_path), "--fp16", "--fp32"], catch_exceptions=False)
