"""Damaged files of every kind that is read: refused by our errors alone, in the memory that their size justifies."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from firesteel.cli import rows
from firesteel.datasets.files import PACKED
from firesteel.report import RunFolder
from tests.support.files import model
from tests.support.limited import DIGITS, RUN, opened
from tests.support.mutations import mutants

ROOT = Path(__file__).parents[2]
N = 12
ROWS = np.round(np.random.default_rng(0).normal(size=(N, 3)), 3)
PREFIX = bytes(8)
"""What `mutants` takes for the length of a header."""


def lines(row):
    return "".join(f"{row(number, values)}\n" for number, values in enumerate(ROWS.tolist())).encode()


def saved(save, *given, **named):
    file = io.BytesIO()
    save(file, *given, **named)
    return file.getvalue()


def npz(content):
    """Return an archive that is sound but for what its array "x" holds."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    return file.getvalue()


def parquet(compression="snappy", **columns):
    return saved(lambda file: pa.parquet.write_table(pa.table(columns), file, compression=compression))


def vectors():
    """Return a column of Spark's vectors, sparse and dense in turn."""
    fields = {
        "type": pa.int8(),
        "size": pa.int32(),
        "indices": pa.list_(pa.int32()),
        "values": pa.list_(pa.float64()),
    }
    made = [
        {"type": 1, "size": None, "indices": None, "values": row}
        if number % 2
        else {"type": 0, "size": 3, "indices": [0, 2], "values": row[:2]}
        for number, row in enumerate(ROWS.tolist())
    ]
    return pa.array(made, pa.struct(fields))


CSV = b"a,b,c,label\n" + lines(lambda n, v: f"{v[0]},{v[1]},{v[2]},{'cat' if n % 2 else 'dog'}")
QUOTED = b'\xef\xbb\xbf"a ""1""","b,2",label\r\n' + lines(
    lambda n, v: f'"{v[0]}",{v[1]:e},"{"yes, " if n % 2 else "no "}{n}"\r'
)
NPY, TEXT = saved(np.save, ROWS), lines(lambda n, v: " ".join(map(str, v)))
WORDS = {
    "csv": CSV,
    "csv, quoted": QUOTED,
    "csv, of words": b"a,b,label\n" + lines(lambda n, v: f"{str(v[0] > 0).lower()},{n},{n % 3}"),
    "libsvm": lines(lambda n, v: f"{n % 3} qid:1 1:{v[0]} 3:{v[2]} # {n}"),
    "text": TEXT,
    "lines": TEXT[:-1],
    "toml": b'[data]\ntrain = "digits"\n[model]\nhidden = [8, 4]\n[training]\nepochs = 3\ncallbacks = [\n  '
    b'{type = "EarlyStopping", patience = 2},\n]\n[training.optimizer]\ntype = "SGD"\nlearning_rate = 0.1\n',
}
SOUND = WORDS | {
    "idx": b"\0\0\x0e\x02\0\0\0\x0c\0\0\0\x03" + ROWS.astype(">f8").tobytes(),
    "idx, of bytes": b"\0\0\x08\x03\0\0\0\x0c\0\0\0\x03\0\0\0\x01" + bytes(range(36)),
    "numpy": NPY,
    "numpy, by columns": saved(np.save, np.asfortranarray(ROWS.astype(">i2"))),
    "numpy.npz": saved(np.savez, x=ROWS, y=np.arange(N) % 3),
    "numpy.npz, packed": saved(np.savez_compressed, x=ROWS, y=np.array(["cat", "dog"] * (N // 2))),
    "parquet": parquet(a=ROWS[:, 0], b=np.arange(N), c=ROWS[:, 1] > 0, label=["cat", "dog"] * (N // 2)),
    "parquet, plain": parquet("none", a=ROWS[:, 0], b=ROWS[:, 1].astype("f4"), label=np.arange(N)),
    "parquet, of arrays": parquet("zstd", features=ROWS.tolist(), label=np.arange(N) % 3),
    "parquet, of vectors": parquet(features=vectors(), label=np.arange(N) % 3),
    "parquet, of bytes": parquet(features=[bytes([n, 1]) for n in range(N)], label=np.arange(N) / 2),
    "parquet, of decimals": parquet(
        "gzip", a=[Decimal(n) / 4 for n in range(N)], label=pa.array(["a", "b", "a"] * 4).dictionary_encode()
    ),
    "set": DIGITS,
    "packed-set": DIGITS,
    **{f"csv, {name}": pack(CSV) for name, pack in (("gzip", gzip.compress), ("bzip2", bz2.compress))},
    "csv, xz": lzma.compress(CSV),
    "idx, gzip": gzip.compress(b"\0\0\x08\x02\0\0\0\x0c\0\0\0\x03" + bytes(range(36))),
}
"""A sound file of every kind: the reader, what is special about it, and its bytes."""
SEALED = {
    "numpy.npz, sealed": NPY,
    "numpy, gzip sealed": NPY,
    "idx, xz sealed": SOUND["idx"],
}
"""Of these the content is damaged, and packed with the right sums again."""
SEALS = {"numpy.npz, sealed": npz, "numpy, gzip sealed": gzip.compress, "idx, xz sealed": lzma.compress}


def damaged(name, content, count):
    """Yield the sound file of a kind, then damaged ones."""
    seal = SEALS.get(name, bytes)
    yield seal(content)
    if name in WORDS or name in RUN:
        for one in mutants(PREFIX + content, count, 11, len(content) + len(PREFIX), text=True):
            yield one[len(PREFIX) :]
    else:
        yield from map(seal, mutants(content, count, 11, min(len(content), 80)))


@pytest.fixture
def run(tmp_path):
    """The files that the page of a run is made of, by name."""
    place = tmp_path / "run"
    model(1).fit(np.ones((20, 4)), np.arange(20) % 3, epochs=2, verbose=0, callbacks=[RunFolder(place)])
    return {name: (place / name).read_bytes() for name in RUN}


def judged(kinds, count, folder, read):
    """Assert what must hold of damaged files of all kinds; print how many were refused, and the worst of them.

    kinds: {name: the content of a sound file}.  read: returns what comes of a file; `limited.opened`.
    """
    refused, seconds, mib = {}, 0.0, 0
    for name, content in kinds.items():
        refused[name], reader = 0, name if name in RUN else reader_of(name)
        path = folder / ("rows.npz" if ".npz" in name else "rows")
        for number, one in enumerate(damaged(name, content, count)):
            path.write_bytes(one)
            done = read(reader, str(path))
            assert not done["code"] or done["code"].startswith(("data-", "config-", "store-")), (name, number, done)
            assert number or not done["code"], (name, done)
            assert "\n" not in done["said"] and len(done["said"]) < 700, (name, number, done)
            assert "malloc" not in done["said"] and done["mib"] <= 64 and done["seconds"] < 20, (name, number, done)
            refused[name] += bool(done["code"])
            seconds, mib = max(seconds, done["seconds"]), max(mib, done["mib"])
    total, all_ = sum(refused.values()), count * len(kinds)
    print(f"\n{count:,} damaged files of each of {len(kinds)} kinds: {total:,} refused, {all_ - total:,} read")
    print(f"at most {seconds:.2f} s and {mib} MiB; refused {refused}")
    assert count < 100 or all(refused.values())


def reader_of(name):
    return name.partition(",")[0].partition(".")[0]


@contextlib.contextmanager
def limited(folder, *sound):
    """Give what opens a file in a process that gets no more memory than the file justifies."""
    allowed = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # which takes what is asked for, and not a gibibyte
    settings = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.limited", *sound],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | settings | allowed,
    ) as process:

        def read(reader, path):
            process.stdin.write(f"{reader} {path}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, (reader, process.wait(), Path(path).read_bytes())
            return json.loads(line)

        yield read
        process.stdin.close()


def test_r43_every_reader_is_here():
    assert set(map(reader_of, SOUND)) >= rows.READERS.keys()
    assert all(any(name.startswith("csv, ") and kind in name for name in SOUND) for kind, _ in PACKED.values())


def test_r43_damaged_files_are_refused_by_our_errors_alone(tmp_path):
    judged(SOUND | SEALED, 10, tmp_path, lambda *asked: opened(*asked, limited=False))


def test_r43_damaged_runs_are_refused_by_our_errors_alone(tmp_path, run):
    judged({"history.jsonl": run["history.jsonl"]}, 4, tmp_path, lambda *asked: opened(*asked, limited=False))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_r43_two_thousand_damaged_files_of_each_kind_are_refused_by_our_errors_alone(tmp_path):
    sound = []
    for number, (name, content) in enumerate(SOUND.items()):
        path = tmp_path / f"{number}{'.npz' if '.npz' in name else ''}"
        path.write_bytes(content)
        sound.append(f"{reader_of(name)} {path}")
    with limited(tmp_path, *sound) as read:
        judged(SOUND | SEALED, 2_000, tmp_path, read)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_r43_two_thousand_damaged_runs_of_each_kind_are_refused_by_our_errors_alone(tmp_path, run):
    path = tmp_path / "metrics"
    path.write_bytes(run["metrics.json"])
    with limited(tmp_path, f"metrics.json {path}") as read:
        judged(run, 2_000, tmp_path, read)
