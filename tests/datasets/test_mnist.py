import contextlib
import gzip
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from firesteel.datasets import load_mnist, sets
from firesteel.errors import DataError

NAMES = list(sets.MNIST.files)
RNG = np.random.default_rng(0)
ARRAYS = {
    name: RNG.integers(0, 10, (9 if "train" in name else 4, 3, 3)[: 3 if "images" in name else 1]).astype(np.uint8)
    for name in NAMES
}


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


PLAIN = {name: idx(array) for name, array in ARRAYS.items()}
GZIP = {name: gzip.compress(content, mtime=0) for name, content in PLAIN.items()}


def pin(monkeypatch, **changes):
    monkeypatch.setattr(sets, "MNIST", replace(sets.MNIST, **changes))


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch, request):
    """Four tiny files in MNIST's place, no mirror, and a cache folder of our own."""
    if request.node.get_closest_marker("mnist"):
        return
    pin(monkeypatch, files={name: hashlib.sha256(PLAIN[name]).hexdigest() for name in NAMES}, mirrors=())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("FIRESTEEL_DATA", raising=False)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "firesteel" / "mnist"


@pytest.fixture
def serve():
    """Starts a mirror that answers from a dict: the body, or (status, body or pieces, length, where to look)."""
    servers = []

    def start(files):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                answer = files.get(self.path.removeprefix("/mnist/").removesuffix(".gz"), (404, b"", 0))
                status, body, length, *to = answer if isinstance(answer, tuple) else (200, answer, len(answer))
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                for place in to:
                    self.send_header("Location", place)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for piece in [body] if isinstance(body, bytes) else body:
                        self.wfile.write(piece)

            def log_message(self, *args):
                pass

        asked = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/mnist/", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def dead_mirror():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/mnist/"


def put(folder, files, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}{suffix}").write_bytes(content)


def assert_tiny(loaded):
    (x_train, y_train), (x_test, y_test) = loaded
    for got, name in zip((x_train, y_train, x_test, y_test), NAMES, strict=True):
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, ARRAYS[name])


def refusal(code):
    with pytest.raises(DataError) as caught:
        load_mnist()
    assert caught.value.code == code
    return str(caught.value)


@pytest.mark.parametrize("files, suffix", [(PLAIN, ""), (GZIP, ".gz")], ids=["plain", "gzip"])
def test_own_folder(tmp_path, monkeypatch, cache, files, suffix):
    monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path / "own"))
    put(tmp_path / "own" / "mnist", files, suffix)
    assert_tiny(load_mnist())
    assert not cache.exists()


@pytest.mark.parametrize("missing", NAMES)
def test_a_file_missing_from_the_local_folder_is_searched_nowhere_else(tmp_path, monkeypatch, cache, serve, missing):
    mirror, asked = serve(GZIP)
    pin(monkeypatch, mirrors=(mirror,))
    put(cache, GZIP, ".gz")
    folder = tmp_path / "own" / "mnist"
    monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path / "own"))
    put(folder, {name: content for name, content in PLAIN.items() if name != missing})
    message = refusal("data-missing")
    assert str(folder) in message and missing in message and asked == []


def test_own_folder_without_mnist(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path))
    put(cache, GZIP, ".gz")
    message = refusal("data-missing")
    assert f"{tmp_path / 'mnist'}: no such folder" in message and "unset FIRESTEEL_DATA" in message


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["own", "cache"])
def test_r44_another_set_under_the_same_name_is_refused(tmp_path, monkeypatch, cache, serve, where, name):
    mirror, asked = serve(GZIP)
    pin(monkeypatch, mirrors=(mirror,))
    folder = cache if where == "cache" else tmp_path / "own" / "mnist"
    if where == "own":
        monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path / "own"))
    other = idx(ARRAYS[name] ^ 1)
    put(folder, PLAIN | {name: other})
    message = refusal("data-hash")
    for word in (folder / name, sets.MNIST.files[name], hashlib.sha256(other).hexdigest()):
        assert str(word) in message
    assert ("delete this file" if where == "cache" else "put the original") in message
    assert asked == []


def test_download_fills_the_cache_once(monkeypatch, cache, serve):
    mirror, asked = serve(GZIP)
    pin(monkeypatch, mirrors=(mirror,))
    assert_tiny(load_mnist())
    assert_tiny(load_mnist())
    assert asked == [f"/mnist/{name}.gz" for name in NAMES]
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == {f"{n}.gz": GZIP[n] for n in NAMES}


def test_home_is_the_cache_without_xdg(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / ".cache" / "firesteel" / "mnist", GZIP, ".gz")
    assert_tiny(load_mnist())


LABELS = "train-labels-idx1-ubyte"
BAD = {
    "cut": (200, GZIP[LABELS][:-9], len(GZIP[LABELS])),
    "cut, length unknown to be wrong": GZIP[LABELS][:-9],
    "another file": gzip.compress(idx(ARRAYS[LABELS] ^ 1)),
    "web page": b"<html>please log in</html>",
    "absent": (404, b"", 0),
    "failing": (500, b"", 0),
    "too large": bytes(2 * 2**16),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_r44_a_bad_download_leaves_nothing_and_the_next_run_recovers(monkeypatch, cache, serve, bad):
    monkeypatch.setattr(sets, "MAX_DOWNLOAD", 2**16)
    files = GZIP | {LABELS: bad}
    mirror, _ = serve(files)
    pin(monkeypatch, mirrors=(mirror,))
    message = refusal("data-download")
    assert LABELS in message and mirror in message
    assert "load_digits()" in message and "FIRESTEEL_DATA" in message
    assert [file.name for file in cache.iterdir()] == [f"{NAMES[0]}.gz"]

    files[LABELS] = GZIP[LABELS]
    assert_tiny(load_mnist())


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_r44_the_second_mirror_steps_in(monkeypatch, cache, serve, bad):
    monkeypatch.setattr(sets, "MAX_DOWNLOAD", 2**16)
    first, _ = serve(GZIP | {LABELS: bad})
    second, asked = serve(GZIP)
    pin(monkeypatch, mirrors=(first, second))
    assert_tiny(load_mnist())
    assert asked == [f"/mnist/{LABELS}.gz"]
    assert not list(cache.glob("*part"))


def test_a_dead_mirror(monkeypatch, serve):
    mirror, asked = serve(GZIP)
    pin(monkeypatch, mirrors=(dead_mirror(), mirror))
    assert_tiny(load_mnist())
    assert len(asked) == 4


def test_r44_a_download_has_a_bound(monkeypatch, serve):
    monkeypatch.setattr(sets, "MAX_DOWNLOAD", len(GZIP[NAMES[0]]) - 1)
    mirror, _ = serve(GZIP)
    pin(monkeypatch, mirrors=(mirror,))
    assert f"at most {sets.MAX_DOWNLOAD} bytes" in refusal("data-download")


def test_r44_a_silent_mirror_is_given_up(monkeypatch):
    monkeypatch.setattr(sets, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pin(monkeypatch, mirrors=(f"http://127.0.0.1:{silent.getsockname()[1]}/",))
        started = time.perf_counter()
        assert "timed out" in refusal("data-download")
        assert time.perf_counter() - started < 3


def test_r44_a_mirror_that_drips_is_given_up(monkeypatch, serve):
    def drips():
        for byte in GZIP[NAMES[0]]:
            time.sleep(0.02)
            yield bytes([byte])

    monkeypatch.setattr(sets, "MAX_SECONDS", 0.3)
    mirror, _ = serve({NAMES[0]: (200, drips(), len(GZIP[NAMES[0]]))})
    pin(monkeypatch, mirrors=(mirror,))
    started = time.perf_counter()
    assert "bytes in 0.3 s" in refusal("data-download")
    assert time.perf_counter() - started < 3


def test_r44_a_mirror_cannot_lead_to_a_file_of_this_machine(tmp_path, monkeypatch, serve):
    put(tmp_path, GZIP, ".gz")
    mirror, _ = serve({name: (302, b"", 0, f"file://{tmp_path}/{name}.gz") for name in NAMES})
    pin(monkeypatch, mirrors=(mirror,))
    assert "is not allowed" in refusal("data-download")


KILLED = """
import json, sys
from dataclasses import replace
from firesteel.datasets import load_mnist, sets
sets.MNIST = replace(sets.MNIST, mirrors=(sys.argv[1],), files=json.loads(sys.argv[2]))
load_mnist()
"""


def everything(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def test_r44_a_killed_download_leaves_nothing_outside_and_the_next_run_recovers(tmp_path, monkeypatch, cache, serve):
    """Killed while the second file comes in, of which it has half."""
    half, go = threading.Event(), threading.Event()

    def slowly():
        yield GZIP[LABELS][:20]
        half.set()
        go.wait(30)

    mirror, _ = serve(GZIP | {LABELS: (200, slowly(), len(GZIP[LABELS]))})
    (tmp_path / "mine").write_text("mine")
    words = [sys.executable, "-c", KILLED, mirror, json.dumps(sets.MNIST.files)]
    with subprocess.Popen(words, env=os.environ | {"HOME": str(tmp_path)}, cwd=tmp_path) as child:
        assert half.wait(60)
        child.kill()
        go.set()
    assert child.returncode == -signal.SIGKILL
    first = cache / f"{NAMES[0]}.gz"
    left = everything(tmp_path)
    assert left.pop(first) == GZIP[NAMES[0]] and left.pop(tmp_path / "mine") == b"mine"
    assert set(left) == {cache.parents[1], cache.parent, cache}
    again, asked = serve(GZIP)
    pin(monkeypatch, mirrors=(again,))
    assert_tiny(load_mnist())
    assert len(asked) == 3


def test_r44_no_archive_is_ever_unpacked_into_a_folder():
    """There is nothing to climb out of: a zip file is read, member by member, in one place, and there are no tars."""
    package = Path(sets.__file__).parents[1]
    for path in package.rglob("*.py"):
        text = path.read_text()
        for word in ("tarfile", "unpack_archive", "extractall", ".extract("):
            assert word not in text, path
        assert "zipfile" not in text or path.name in ("binary.py", "parcel.py"), path


def test_every_mirror_and_cause_is_named_on_one_line_each(monkeypatch, serve):
    empty, _ = serve({})
    dead = dead_mirror()
    pin(monkeypatch, mirrors=(empty, dead))
    lines = refusal("data-download").splitlines()
    assert len(lines) == 4
    assert empty in lines[1] and "404" in lines[1]
    assert dead in lines[2] and "refused" in lines[2]


def test_r44_a_part_left_by_a_killed_run_is_not_taken_for_the_file(monkeypatch, cache, serve):
    put(cache, {f".{LABELS}.gz.0123abcd.firesteel-part": GZIP[LABELS][:-9]})
    mirror, _ = serve(GZIP)
    pin(monkeypatch, mirrors=(mirror,))
    assert_tiny(load_mnist())
    assert not list(cache.glob("*part"))
    assert (cache / f"{LABELS}.gz").read_bytes() == GZIP[LABELS]


def test_r44_a_cut_file_in_the_cache_is_refused_by_name(cache):
    put(cache, GZIP | {LABELS: GZIP[LABELS][:-9]}, ".gz")
    assert str(cache / f"{LABELS}.gz") in refusal("data-gzip")


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file, not a folder")
    message = refusal("data-download")
    assert str(tmp_path / "cache") in message and "XDG_CACHE_HOME" in message


@pytest.mark.mnist
def test_the_real_one():
    started = time.perf_counter()
    (x_train, y_train), (x_test, y_test) = load_mnist()
    assert time.perf_counter() - started < 5
    assert (x_train.shape, y_train.shape) == ((60000, 28, 28), (60000,))
    assert (x_test.shape, y_test.shape) == ((10000, 28, 28), (10000,))
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert y_train[:5].tolist() == [5, 0, 4, 1, 9] and int(x_train.max()) == 255
