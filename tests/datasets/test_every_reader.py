"""Every reader opens its file alike: what it is packed in, its mark, how lines end, and what is no plain file."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import struct
import tomllib
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from firesteel.cli.config import resolve
from firesteel.cli.rows import Ask, format_of, load
from firesteel.datasets import read_csv, read_idx, read_libsvm, read_npy, read_npz, read_numbers
from firesteel.errors import DataError, FiresteelError
from firesteel.report.folder import is_finished
from firesteel.report.page import render
from firesteel.spark.parquet import read_parquet
from tests.store.test_plain_files import ODD

ROWS = np.array([[1.0, 2.5], [3.0, 4.5], [0.25, 0.0]])


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def settings(path):
    return resolve(path, {}, {}).data.class_names


TEXTS = {
    "csv": (b"a,b\n1,2.5\n3,4.5\n.25,0\n", lambda path: np.column_stack([*read_csv(path, ["a", "b"]).values()])),
    "libsvm": (b"0 1:1 2:2.5\n1 1:3 2:4.5\n0 1:.25\n", lambda path: read_libsvm(path)[0]),
    "text": (b"1 2.5\n3 4.5\n.25 0\n", read_numbers),
}
SETTINGS = b'[data]\ntrain = "digits"\nclass_names = [\n  "a",\n  "b",\n]\n'
BINARIES = {
    "idx": (b"\0\0\x0e\x02" + struct.pack(">II", 3, 2) + ROWS.astype(">f8").tobytes(), read_idx),
    "npy": (npy(ROWS), read_npy),
}
FORMS = {
    "as it is": bytes,
    "a mark": lambda text: codecs.BOM_UTF8 + text,
    "CR LF": lambda text: text.replace(b"\n", b"\r\n"),
    "CR": lambda text: text.replace(b"\n", b"\r"),
    "mixed ends": lambda text: text.replace(b"\n", b"\r\n", 1).replace(b"\n", b"\r", 2).replace(b"\r\r", b"\r\n"),
    "no end": lambda text: text[:-1],
    "CR LF, no end": lambda text: text[:-1].replace(b"\n", b"\r\n"),
}
PACKED = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip of two members": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "gzip of a member a byte": lambda data: b"".join(gzip.compress(data[at : at + 1]) for at in range(len(data))),
    "gzip with an empty member": lambda data: gzip.compress(b"") + gzip.compress(data) + gzip.compress(b""),
    "bzip2": bz2.compress,
    "bzip2 of two members": lambda data: bz2.compress(data[:9]) + bz2.compress(data[9:]),
    "xz": lzma.compress,
    "xz of two members": lambda data: lzma.compress(data[:9]) + lzma.compress(data[9:]),
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", TEXTS)
def test_r43_text_is_read_whatever_its_lines_end_with_and_it_is_packed_in(tmp_path, reader, form, packed):
    content, read = TEXTS[reader]
    path = tmp_path / "rows.of-any-name"
    path.write_bytes(PACKED[packed](FORMS[form](content)))
    assert read(path).tolist() == ROWS.tolist()


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("form", FORMS)
def test_settings_are_read_alike(tmp_path, form, packed):
    path = tmp_path / "settings"
    path.write_bytes(PACKED[packed](FORMS[form](SETTINGS)))
    assert settings(path) == ("a", "b") == tuple(tomllib.loads(SETTINGS.decode())["data"]["class_names"])


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("reader", BINARIES)
def test_arrays_are_read_whatever_they_are_packed_in(tmp_path, reader, packed):
    content, read = BINARIES[reader]
    (tmp_path / "rows").write_bytes(PACKED[packed](content))
    assert read(tmp_path / "rows").tolist() == ROWS.tolist()


def test_cells_keep_the_ends_of_lines_within_quotes(tmp_path):
    (tmp_path / "rows").write_bytes(b'a,b\r\n"x\r\ny",1\r"x\ry",2\n"x\ny",3')
    assert read_csv(tmp_path / "rows", ["a"])["a"].tolist() == ["x\r\ny", "x\ry", "x\ny"]


def test_lines_are_counted_whatever_they_end_with(tmp_path):
    for end in (b"\n", b"\r\n", b"\r"):
        for reader, content in (
            ("libsvm", b"0 1:1\n\n1 x"),
            ("text", b"1 2\n3 4\n5 x"),
            ("csv", b"a,label\n1,0\n2\n"),
        ):
            (tmp_path / "rows").write_bytes(content.replace(b"\n", end))
            (tmp_path / "labels").write_text("1\n")
            labels = str(tmp_path / "labels") if reader == "text" else None
            with pytest.raises(DataError, match="rows, line 3: "):
                load(Ask(str(tmp_path / "rows"), reader, labels))


READERS = {name: read for name, (_, read) in (TEXTS | BINARIES).items()} | {
    "npz": read_npz,
    "toml": settings,
    "parquet": lambda path: read_parquet(path, ["a"]),
}


@pytest.mark.parametrize(
    "content, said",
    [
        (b"(\xb5/\xfd" + bytes(20), "is compressed with zstd: decompress it, or use gzip"),
        (b"\x04\x22M\x18" + bytes(20), "is compressed with lz4"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(20), "is a 7z archive: unpack it"),
    ],
)
@pytest.mark.parametrize("reader", [*TEXTS, *BINARIES, "toml"])
def test_what_packs_in_another_way_is_named(tmp_path, reader, content, said):
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(FiresteelError) as caught:
        READERS[reader](tmp_path / "rows")
    assert str(caught.value).startswith(f"{tmp_path / 'rows'}: {said}")


@pytest.mark.parametrize(
    "content, said",
    [
        (b"PK\x03\x04" + bytes(20), "is a zip archive: unpack it"),
        (b"PAR1" + bytes(20), "is Parquet: use --format parquet"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "is HDF5"),
        (npy(ROWS), "is a NumPy array: use --format numpy"),
        ("a,b\n1,2\n".encode("utf-16"), "which is not UTF-8 but UTF-16: save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "which is not UTF-8 but UTF-16 without a byte order mark"),
        (codecs.BOM_UTF16_BE + "a,b\n1,2\n".encode("utf-16-be"), "not UTF-8 but UTF-16: save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-32"), "not UTF-8 but UTF-32: save the file as UTF-8"),
    ],
)
@pytest.mark.parametrize("reader", [*TEXTS, "toml"])
def test_what_is_no_text_is_named(tmp_path, reader, content, said):
    for packed in (content, gzip.compress(content)):
        (tmp_path / "rows").write_bytes(packed)
        with pytest.raises(FiresteelError) as caught:
            READERS[reader](tmp_path / "rows")
        assert said in str(caught.value) and str(caught.value).startswith(str(tmp_path / "rows"))


@pytest.mark.parametrize("packed", ["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("reader", [*TEXTS, *BINARIES])
def test_r42_what_is_packed_and_cut_damaged_or_followed_by_more_is_refused(tmp_path, reader, packed):
    content, read = (TEXTS | BINARIES)[reader]
    whole = PACKED[packed](content)
    path = tmp_path / "rows"
    for at in range(12, len(whole) - 1):
        path.write_bytes(whole[:at])
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    for more in (b"junk", bytes(1), bytes(70_000)):
        path.write_bytes(whole + more)
        with pytest.raises(DataError, match="found bytes after the compressed stream") as caught:
            read(path)
        assert caught.value.code == f"data-{packed}"


@pytest.mark.parametrize("reader", [*TEXTS, *BINARIES])
def test_r40_what_unpacks_to_very_much_is_refused(tmp_path, reader):
    """A line without end, of 70 MiB: no more than a line may have is kept."""
    (tmp_path / "rows").write_bytes(gzip.compress(b"1" * (70 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            READERS[reader](tmp_path / "rows")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 160 << 20


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("reader", TEXTS)
def test_r40_short_lines_that_are_packed_very_tightly_are_refused(tmp_path, monkeypatch, reader, pack):
    monkeypatch.setattr("firesteel.datasets.files.FREELY", 2**18)
    content, read = TEXTS[reader]
    first, line, *_ = content.splitlines(keepends=True)
    (tmp_path / "rows").write_bytes(pack(first + line * 2**16))
    with pytest.raises(DataError, match=r"bytes decompress to more than [\d,]+: decompress it first") as caught:
        read(tmp_path / "rows")
    assert caught.value.code == "data-size"
    monkeypatch.undo()
    assert read(tmp_path / "rows").shape[0] >= 2**16


@pytest.mark.timeout(20)
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("reader", READERS)
def test_r43_only_plain_files_are_opened(tmp_path, monkeypatch, reader, odd):
    monkeypatch.chdir(tmp_path)
    ODD[odd](tmp_path / "rows")
    with pytest.raises(FiresteelError) as caught:
        READERS[reader](tmp_path / "rows")
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "rows")) and "\n" not in said and len(said) < 500


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["metrics.json", "env.json", "history.jsonl", "config.toml"])
@pytest.mark.parametrize("odd", ["a pipe", "zeros for ever", "a socket", "a folder"])
def test_of_a_run_only_plain_files_are_opened(tmp_path, monkeypatch, name, odd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"format": 1, "status": "finished"}))
    (tmp_path / name).unlink(missing_ok=True)
    ODD[odd](tmp_path / name)
    with pytest.raises(FiresteelError):
        render(tmp_path)
    assert is_finished(tmp_path) == (name != "metrics.json")


@pytest.mark.timeout(20)
def test_a_pipe_in_a_folder_of_parquet_is_not_waited_for(tmp_path):
    pa.parquet.write_table(pa.table({"a": [1.0]}), tmp_path / "1.parquet")
    ODD["a pipe"](tmp_path / "2.parquet")
    with pytest.raises(DataError, match="2.parquet: cannot be read: it is not a regular file"):
        read_parquet(tmp_path, ["a"])


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_an_ending_of_what_packs_leaves_the_format(ending):
    assert [format_of(f"rows{name}{ending}", False) for name in (".csv", ".svm", ".npy")] == [
        "csv",
        "libsvm",
        "numpy",
    ]


VECTOR = pa.struct(
    [("type", pa.int8()), ("size", pa.int32()), ("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))]
)
DENSE, SPARSE = (1, None, None, [0.5, 2.0]), (0, 2, [1], [3.0])
NO_VECTORS = {
    "an index beyond the size": (0, 2, [5], [1.0]),
    "an index below 0": (0, 2, [-1], [1.0]),
    "an index twice": (0, 2, [0, 0], [1.0, 2.0]),
    "indices that fall": (0, 2, [1, 0], [1.0, 2.0]),
    "an index that is null": (0, 2, [None], [1.0]),
    "fewer indices than values": (0, 2, [0], [1.0, 2.0]),
    "a size below 0": (0, -2, [], []),
    "no size": (0, None, [0], [1.0]),
    "no values": (1, None, None, None),
    "another type": (7, 2, [0], [1.0]),
    "no type": (None, 2, [0], [1.0]),
}


def vectors(place, *rows):
    names = [field.name for field in VECTOR]
    column = pa.array([dict(zip(names, row, strict=True)) for row in rows], VECTOR)
    pa.parquet.write_table(pa.table({"a": column}), place / "rows")
    return place / "rows"


@pytest.mark.parametrize("name", NO_VECTORS)
def test_what_is_no_vector_of_sparks_is_refused_with_its_row(tmp_path, name):
    assert read_parquet(vectors(tmp_path, DENSE, SPARSE), ["a"])["a"].tolist() == [[0.5, 2.0], [0.0, 3.0]]
    said = "column 'a' holds an invalid or damaged Spark vector at row 1; 1 of 3 rows have such values"
    with pytest.raises(DataError, match=said) as caught:
        read_parquet(vectors(tmp_path, DENSE, NO_VECTORS[name], SPARSE), ["a"])
    assert caught.value.code == "data-parquet"


def test_parquet_that_would_take_far_more_memory_than_it_justifies_is_refused_before(tmp_path, monkeypatch):
    path = vectors(tmp_path, (0, 2**31 - 1, [0], [1.0]))
    with pytest.raises(DataError, match="1 vectors of 2,147,483,647 numbers") as caught:
        read_parquet(path, ["a"])
    assert caught.value.code == "data-size"
    pa.parquet.write_table(pa.table({"a": np.zeros(2_000_000, "i1")}), path, compression="zstd")
    assert len(read_parquet(path, ["a"])["a"]) == 2_000_000
    monkeypatch.setattr("firesteel.spark.parquet.UNPACKED", 2**23)
    with pytest.raises(DataError, match="2,000,000 rows of 1 columns") as caught:
        read_parquet(path, ["a"])
    assert caught.value.code == "data-size"
    pa.parquet.write_table(pa.table({"a": ["x" * 100_000, *["y"] * 20_000]}), path)
    with pytest.raises(DataError, match="more than 200 letters at row 0; 1 of 20,001") as caught:
        read_parquet(path, ["a"])
    assert caught.value.code == "data-text"
