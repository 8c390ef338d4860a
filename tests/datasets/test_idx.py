import gzip
import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from firesteel.datasets import read_idx, write_idx
from firesteel.datasets.binary import MAX_BYTES
from firesteel.errors import DataError
from tests.support.mutations import mutants

ROWS = np.random.default_rng(0).integers(0, 256, (6, 5, 4)).astype(np.uint8)
DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


def header(code, *shape):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


PLAIN = header(0x08, 6, 5, 4) + ROWS.tobytes()
GZIP = gzip.compress(PLAIN, mtime=0)


def refusal(tmp_path, content, code=None):
    """The message with which the content is refused; it must name the file."""
    path = tmp_path / "broken-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert code is None or caught.value.code == code
    return str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(1,), (7,), (0,), (3, 0, 2), (2, 3), (5, 4, 3), (1, 2, 1, 2, 1, 2, 1, 2)])
@pytest.mark.parametrize("code", DTYPES)
def test_every_type_comes_back_in_native_order(tmp_path, code, shape, packed):
    dtype = np.dtype(DTYPES[code])
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    want = np.linspace(float(limits.min) / 4, float(limits.max) / 4, math.prod(shape)).reshape(shape).astype(dtype)
    content = header(code, *shape) + want.astype(dtype.newbyteorder(">")).tobytes()
    path = tmp_path / "named-by-nobody"
    path.write_bytes(gzip.compress(content) if packed else content)
    got = read_idx(path)
    assert got.dtype == dtype and got.dtype.isnative and got.flags.writeable
    np.testing.assert_array_equal(got, want)


def test_a_file_of_several_pieces(tmp_path):
    want = np.random.default_rng(1).integers(0, 256, (3, 1000, 1001)).astype(np.uint8)
    path = tmp_path / "large.gz"
    path.write_bytes(gzip.compress(header(0x08, *want.shape) + want.tobytes(), 1))
    np.testing.assert_array_equal(read_idx(str(path)), want)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["byte 0", "found nothing"]),
        (b"\0\0\x08", ["byte 0", "00 00 08"]),
        (b"\x01" + PLAIN[1:], ["byte 0", "01 00 08 03"]),
        (b"<!DOCTYPE html><html>not here</html>", ["byte 0", "web page"]),
        (header(0x07, 3) + b"abc", ["byte 2", "one of 08, 09, 0b, 0c, 0d, 0e, found 07"]),
        (b"\0\0\x08\0\x05", ["byte 3", "found 0"]),
        (header(0x08, *[1] * 9) + b"a", ["byte 3", "1 to 8 dimensions", "found 9"]),
        (PLAIN[:15], ["byte 4", "12 bytes of dimensions", "found 11 bytes"]),
        (PLAIN[:-1], ["byte 135", "120 bytes of data", "only 119"]),
        (header(0x0C, 6, 5, 4) + ROWS.tobytes(), ["byte 136", "480 bytes of data", "only 120"]),
        (PLAIN + b"\0", ["byte 136", "end of the data", "found more"]),
        (header(0x08, 0) + b"\0", ["byte 8", "end of the data", "found more"]),
        (header(0x08, MAX_BYTES + 1) + b"abc", ["byte 4", str(MAX_BYTES), str(MAX_BYTES + 1)]),
        (header(0x0E, 0, 2**32 - 1, 2**32 - 1), ["byte 4", str(MAX_BYTES)]),
    ],
)
def test_r42_not_idx(tmp_path, pack, content, words):
    message = refusal(tmp_path, pack(content), "data-idx")
    for word in words:
        assert word in message


@pytest.mark.parametrize("content", [PLAIN, GZIP], ids=["plain", "gzip"])
def test_r42_cut_at_every_percent(tmp_path, content):
    for percent in range(100):
        refusal(tmp_path, content[: len(content) * percent // 100])


def test_r42_no_flipped_bit_of_a_gzip_changes_the_array(tmp_path):
    """Time stamps and the like may differ; whatever is read at all is the array that was written."""
    path = tmp_path / "flipped.gz"
    refused = 0
    for bit in range(8 * len(GZIP)):
        flipped = bytearray(GZIP)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            np.testing.assert_array_equal(read_idx(path), ROWS)
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 8 * (len(GZIP) - 10)


@pytest.mark.parametrize("at", range(1, 9))
def test_r42_bad_checksum_or_length(tmp_path, at):
    broken = bytearray(GZIP)
    broken[-at] ^= 0xFF
    assert "check" in refusal(tmp_path, bytes(broken), "data-gzip")


@pytest.mark.parametrize("extra", [b"\0", b"junk", GZIP], ids=["zero", "junk", "second"])
def test_r42_bytes_behind_the_gzip_stream(tmp_path, extra):
    assert "compressed stream" in refusal(tmp_path, GZIP + extra, "data-gzip")


def test_r42_bytes_behind_a_gzip_stream_that_ends_with_a_read(tmp_path):
    noise = np.random.default_rng(2).bytes(2**16)
    inner = header(0x08, 2**16 - 41) + noise[: 2**16 - 41]
    packed = gzip.compress(inner, 0)
    assert refusal(tmp_path, packed + bytes(2**16), "data-gzip")


@pytest.mark.parametrize("shape", [(10,), (2**20,), (2**31 + 1,)])
def test_r42_a_bomb_is_not_unpacked(tmp_path, shape):
    packer = zlib.compressobj(1, wbits=31)
    bomb = packer.compress(header(0x08, *shape)) + packer.compress(bytes(2**26)) + packer.flush()
    tracemalloc.start()
    try:
        refusal(tmp_path, bomb, "data-idx")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**23


CORPUS = {
    "images": PLAIN,
    "labels": header(0x08, 60) + ROWS.tobytes()[:60],
    "floats": header(0x0E, 4, 3) + ROWS.tobytes()[:96],
    "integers": header(0x0C, 2, 3, 4) + ROWS.tobytes()[:96],
    "nothing": header(0x09, 0),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", CORPUS)
def test_r42_no_damage_is_read_in_silence(tmp_path, name, packed):
    """2,000 mutations in all.  A plain IDX file has no checksum: damage within its data cannot be noticed, and none
    is looked for; whatever its length or header has become is.
    """
    plain = CORPUS[name]
    front = 4 + 4 * plain[3]
    whole = gzip.compress(plain, mtime=0) if packed else plain
    path = tmp_path / "rows"
    path.write_bytes(whole)
    array = read_idx(path)
    refused = 0
    for number, damaged in enumerate(mutants(whole, 200, 7, 10 if packed else front)):
        path.write_bytes(damaged)
        try:
            found = read_idx(path)
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "byte" in str(error) and "expected" in str(error)
            continue
        if packed or damaged[:front] != whole[:front]:
            same = found.tobytes() == array.tobytes()
            assert same and (packed or fits(damaged)), f"mutation {number} was read as {found.dtype} of {found.shape}"
        else:
            assert len(damaged) == len(whole) and (found.shape, found.dtype) == (array.shape, array.dtype)
    assert refused > 100


def fits(content):
    """Whether a header that is another one goes with a file of this length all the same: (6, 4) for (4, 6)."""
    sizes = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
    return np.dtype(DTYPES[content[2]]).itemsize * math.prod(sizes) == len(content) - 4 - 4 * content[3]


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>", b"\n <html><body>", b"<?xml version='1.0'?>"])
def test_r42_a_web_page_in_the_place_of_a_file_is_called_one(tmp_path, page):
    for content in (page, gzip.compress(page)):
        assert "(a web page?)" in refusal(tmp_path, content, "data-idx")


def test_a_file_that_cannot_be_opened(tmp_path):
    for path, word in ((tmp_path / "nowhere", "No such file"), (tmp_path, "it is a folder")):
        with pytest.raises(DataError, match=word) as caught:
            read_idx(path)
        assert caught.value.code == "data-file" and str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_what_is_written_is_read_again(tmp_path, kind, shape):
    array = (np.arange(np.prod(shape)) % 100).reshape(shape).astype(kind)
    write_idx(tmp_path / "x.idx", array)
    found = read_idx(tmp_path / "x.idx")
    assert found.dtype == array.dtype and found.tolist() == array.tolist()


@pytest.mark.parametrize("array", [np.arange(3), np.array(["a"]), np.array(1, np.uint8)])
def test_what_idx_cannot_hold_is_refused(tmp_path, array):
    with pytest.raises(DataError, match="IDX holds 1 to 8 dimensions of uint8") as caught:
        write_idx(tmp_path / "x.idx", array)
    assert caught.value.code == "data-shape" and not list(tmp_path.iterdir())
