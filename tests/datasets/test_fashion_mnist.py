"""What is its own beside MNIST: the sums are those of the gzip files.  The rest is in test_mnist.py."""

import gzip
import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest

from firesteel.datasets import load_fashion_mnist, sets
from firesteel.errors import DataError

NAMES = list(sets.FASHION_MNIST.files)
RNG = np.random.default_rng(0)
ARRAYS = {
    name: RNG.integers(0, 10, (9 if "train" in name else 4, 3, 3)[: 3 if "images" in name else 1]).astype(np.uint8)
    for name in NAMES
}
PLAIN = {n: bytes([0, 0, 8, a.ndim]) + struct.pack(f">{a.ndim}I", *a.shape) + a.tobytes() for n, a in ARRAYS.items()}
PACKED = {name: gzip.compress(content, mtime=0) for name, content in PLAIN.items()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of one's own with four tiny files in place of the real ones."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in PACKED.items()}
    monkeypatch.setattr(sets, "FASHION_MNIST", replace(sets.FASHION_MNIST, files=sums))
    monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path))
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for name, content in PACKED.items():
        (folder / f"{name}.gz").write_bytes(content)
    return folder


def refusal():
    with pytest.raises(DataError) as caught:
        load_fashion_mnist()
    return caught.value.code, str(caught.value)


def test_the_four_files_are_read(folder):
    (x_train, y_train), (x_test, y_test) = load_fashion_mnist()
    for got, name in zip((x_train, y_train, x_test, y_test), NAMES, strict=True):
        np.testing.assert_array_equal(got, ARRAYS[name])


def test_the_same_content_in_another_wrapper_is_another_file(folder):
    other = gzip.compress(PLAIN[NAMES[1]], mtime=1)
    (folder / f"{NAMES[1]}.gz").write_bytes(other)
    code, message = refusal()
    assert code == "data-hash" and hashlib.sha256(other).hexdigest() in message and f"{NAMES[1]}.gz" in message


def test_a_decompressed_file_is_ignored_as_it_has_no_published_hash(folder):
    (folder / f"{NAMES[2]}.gz").unlink()
    (folder / NAMES[2]).write_bytes(PLAIN[NAMES[2]])
    code, message = refusal()
    assert code == "data-missing" and f"no file {NAMES[2]}.gz" in message and "four Fashion-MNIST files" in message


def test_it_shares_no_file_with_mnist():
    assert len(sets.CLASSES) == 10
    mine, other = sets.FASHION_MNIST.files, sets.MNIST.files
    assert list(other) == NAMES and not set(other.values()) & set(mine.values())
