"""Plain files: nothing else is read or waited for, and what killed writers have left is removed, and nothing else."""

import contextlib
import fcntl
import io
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from firesteel import _checkpoints as checkpoints
from firesteel import _store as store
from firesteel._files import check_folder, open_plain, replacing
from firesteel.callbacks import CSVLogger, ModelCheckpoint
from firesteel.datasets.files import written
from firesteel.errors import StoreError
from firesteel.layers import Dense
from firesteel.models import Sequential, load_model
from tests.support.files import KEPT, ME, model

ROOT = Path(__file__).parents[2]


def fifo(path):
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # a socket's address is short
        made.bind(path.name)


ODD = {
    "a pipe": fifo,
    "a link to a pipe": lambda path: (fifo(path.with_name("pipe")), path.symlink_to("pipe")),
    "zeros for ever": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda path: path.symlink_to("/dev/null"),
    "the terminal": lambda path: path.symlink_to("/dev/tty"),
    "a socket": listening,
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
}
READERS = {
    "model": load_model,
    "checkpoint": lambda path: checkpoints.FileCheckpoints(path, False).load(ME, KEPT[0].state),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("odd", ODD)
def test_only_plain_files_are_read(odd, reader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ODD[odd](tmp_path / "m")
    if reader == "checkpoint" and odd in ("a link to nowhere", "a link to itself"):
        assert READERS[reader](tmp_path / "m") is None  # as where nothing lies
        return
    with pytest.raises(StoreError) as caught:
        READERS[reader](tmp_path / "m")
    assert caught.value.code == "store-read" and str(tmp_path / "m") in str(caught.value)
    assert "\n" not in str(caught.value)


WRITERS = {
    "model": lambda path: model(1).save(path),
    "checkpoint": lambda path: trained(checkpoint=path),
    "ModelCheckpoint": lambda path: trained(callbacks=[ModelCheckpoint(path)]),
    "CSVLogger": lambda path: trained(callbacks=[CSVLogger(path)]),
    "CSVLogger that goes on": lambda path: trained(callbacks=[CSVLogger(path, append=True)]),
}


def trained(**settings):
    made = Sequential([Dense(1, input_dim=1)])
    made.compile("sgd", "mse")
    made.fit([[0.0], [1.0]], [0.0, 1.0], verbose=0, **settings)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("odd", [odd for odd in ODD if odd != "a link to nowhere"])
def test_only_plain_files_are_written_over(odd, writer, tmp_path, monkeypatch):
    """A pipe made a fit wait for a reader, and a device was replaced by a file."""
    monkeypatch.chdir(tmp_path)
    ODD[odd](tmp_path / "m")
    before = os.lstat(tmp_path / "m")
    with pytest.raises(StoreError) as caught:
        WRITERS[writer](tmp_path / "m")
    assert caught.value.code == "store-write" and str(tmp_path / "m") in str(caught.value)
    assert os.path.samestat(before, os.lstat(tmp_path / "m"))


def test_links_to_plain_files_are_followed(tmp_path):
    model(1).save(tmp_path / "m")
    (tmp_path / "link").symlink_to("m")
    assert load_model(tmp_path / "link").to_bytes() == model(1).to_bytes()


def test_what_takes_a_files_place_after_the_first_look_is_not_waited_for(tmp_path, monkeypatch):
    path, real = tmp_path / "m", os.open
    path.write_bytes(b"")

    def swapped(*given, **named):
        path.unlink()
        fifo(path)
        return real(*given, **named)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(OSError, match="it is a pipe, not a plain file"):
        open_plain(path)


def test_a_file_larger_than_memory_is_refused(tmp_path, monkeypatch):
    class Large(io.BytesIO):
        def read(self):
            raise MemoryError

    monkeypatch.setattr(store, "open_plain", lambda path: Large())
    with pytest.raises(StoreError, match="not enough memory"):
        load_model(tmp_path / "m")


# Parts


def save(path):
    with replacing(path) as file:
        file.write(b"new")


def make(path):
    with written(path) as file:
        file.write(b"new")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["m", "n" * 255, "ü" * 127, "a b[1]*?", ".m", "m.0123abcd"])
@pytest.mark.parametrize("write", [save, make])
def test_any_name_can_be_written(tmp_path, name, write):
    write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"new" and names(tmp_path) == [name]


@pytest.mark.parametrize("write", [save, make])
def test_only_what_killed_writers_of_the_same_file_have_left_is_removed(tmp_path, write):
    """Parts of other files, those that are being written, and files that only look alike stay."""
    alike = [".m.firesteel-part", ".m.0123abcd", ".m.n.0123abcd.firesteel-part", ".m.0123abcde.firesteel-part"]
    others = [*alike, ".M.0123abcd.firesteel-part", "m.0123abcd.firesteel-part"]
    for name in (*others, ".m.0123abcd.firesteel-part", ".m.ffffffff.firesteel-part"):
        (tmp_path / name).write_bytes(b"left")
    with open(tmp_path / ".m.ffffffff.firesteel-part", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write(tmp_path / "m")
    assert names(tmp_path) == sorted([*others, ".m.ffffffff.firesteel-part", "m"])


SLOW = """
import sys, time
from firesteel._files import replacing
with replacing(sys.argv[1]) as file:
    file.write(bytes(1000)); file.flush()
    print("begun", flush=True)
    time.sleep(60)
"""


def test_a_part_stays_as_long_as_its_writer_lives(tmp_path):
    words, env = [sys.executable, "-c", SLOW, str(tmp_path / "m")], os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT, env=env) as other:
        assert other.stdout.readline() == b"begun\n"
        save(tmp_path / "m")
        assert len(names(tmp_path)) == 2
        other.send_signal(signal.SIGKILL)
    save(tmp_path / "m")
    assert names(tmp_path) == ["m"]


def test_a_name_that_another_takes_meanwhile_is_not_written_over(tmp_path):
    with pytest.raises(FileExistsError), replacing(tmp_path / "m", over=False) as file:
        file.write(b"new")
        (tmp_path / "m").write_bytes(b"theirs")
    assert (tmp_path / "m").read_bytes() == b"theirs" and names(tmp_path) == ["m"]


def test_without_locks_files_are_written_and_nothing_is_removed(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(95, "Operation not supported")

    (tmp_path / ".m.0123abcd.firesteel-part").write_bytes(b"left")
    monkeypatch.setattr(fcntl, "flock", refused)
    save(tmp_path / "m")
    assert names(tmp_path) == [".m.0123abcd.firesteel-part", "m"]
    monkeypatch.setitem(sys.modules, "fcntl", None)
    save(tmp_path / "m")
    assert len(names(tmp_path)) == 2


def test_a_folder_is_made_or_refused(tmp_path):
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_bytes(b"")
    for bad in (tmp_path / "file", tmp_path / "file" / "c", "/proc/firesteel"):
        with pytest.raises(StoreError, match="cannot be written"):
            check_folder(bad)


def test_an_interrupt_while_a_file_is_opened_is_raised_as_it_is(tmp_path):
    """It was an error of the system: the file was closed twice, once perhaps under another's number."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    before, rng, stopped = signal.signal(signal.SIGALRM, signal.default_int_handler), random.Random(0), 0
    try:
        for _ in range(600):
            with contextlib.suppress(KeyboardInterrupt):
                stopped += 1
                signal.setitimer(signal.ITIMER_REAL, 2e-6 + 4e-5 * rng.random())
                while True:
                    open_plain(path).close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped == 600
    for number in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(int(number)), os.stat(path)):  # one that nobody was given
                os.close(int(number))
