"""Small files that say they are large: they are refused at once, in the memory that their size justifies."""

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.store.test_store import edited, layer, network, sealed
from tests.support.files import KINDS, header_size, model

ROOT = Path(__file__).parents[2]
MANY = 1_000_000


def file(header, numbers=b""):
    """A file of this header, given as text."""
    data = header if isinstance(header, bytes) else header.encode()
    return len(data).to_bytes(8, "little") + data + numbers


def outer(kind):
    data = KINDS[kind].small
    return json.loads(data[8 : header_size(data)]), data[header_size(data) :]


def told(kind, text):
    """A file whose own description is this text."""
    entries, numbers = outer(kind)
    return file(json.dumps(entries | {"__metadata__": {"firesteel": text}}), numbers)


def more(kind, text):
    """A file whose description has one more entry, this text."""
    return told(kind, outer(kind)[0]["__metadata__"]["firesteel"][:-1] + f', "more": {text}}}')


def entry(kind, **changes):
    """A file that says something else of its first array."""
    entries, numbers = outer(kind)
    name = min(entries.keys() - {"__metadata__"})
    return file(json.dumps(entries | {name: entries[name] | changes}), numbers)


ANY = {
    "a header of 2^62 bytes": lambda kind: (2**62).to_bytes(8, "little") + KINDS[kind].small[8:],
    "a header of 2^64 - 1 bytes": lambda kind: (2**64 - 1).to_bytes(8, "little") + KINDS[kind].small[8:],
    "deep lists": lambda kind: file("[" * MANY),
    "deep tables": lambda kind: file('{"a":' * MANY),
    "deep lists within": lambda kind: told(kind, "[" * MANY),
    "many lists": lambda kind: file('{"__metadata__": [' + "[]," * MANY + "0]}"),
    "many lists within": lambda kind: more(kind, "[" + "[]," * MANY + "0]"),
    "many numbers within": lambda kind: more(kind, "[" + "-9," * 2 * MANY + "0]"),
    "many names within": lambda kind: more(kind, json.dumps({str(at): 0 for at in range(100_000)})),
    "many texts within": lambda kind: more(kind, "[" + '"aa",' * MANY + "0]"),
    "brackets in other letters": lambda kind: file(
        json.dumps(outer(kind)[0] | {"__metadata__": {"firesteel": "@"}}).replace("@", "\\u005b" * MANY)
    ),
    "many arrays": lambda kind: file(json.dumps({str(at): {} for at in range(100_000)})),
    "UTF-16": lambda kind: file(("[" * MANY).encode("utf-16")),
    "2^62 numbers": lambda kind: entry(kind, shape=[2**62]),
    "2^62 x 2^62 numbers": lambda kind: entry(kind, shape=[2**62, 2**62]),
    "sizes below nothing": lambda kind: entry(kind, shape=[-1, -4]),
    "sizes that are no numbers": lambda kind: entry(kind, shape=[float("nan")]),
    "endless sizes": lambda kind: entry(kind, shape=[float("inf")]),
    "2^62 bytes": lambda kind: entry(kind, data_offsets=[0, 2**62]),
    "bytes from below nothing": lambda kind: entry(kind, data_offsets=[-(2**62), 2**62]),
    "bytes of another array": lambda kind: entry(kind, data_offsets=[8, 8]),
}
"""Bombs in any kind of file."""

WORD = "1" * MANY
MODELS = {
    "2^62 units": lambda: sealed(layer(1, units=2**62)),
    "10^4000 units": lambda: sealed(layer(1, units=10**4000)),
    "2^62 inputs": lambda: sealed(network(inputs=2**62)),
    "2^60 categories": lambda: sealed(
        network(layers=[{"type": "Embedding", "input_dim": 2**60, "output_dim": 2**60}])
    ),
    "embeddings of embeddings": lambda: sealed(
        network(layers=[{"type": "Embedding", "input_dim": 1, "output_dim": 2**60}] * 400)
    ),
    "a picture of 10^8000 pixels": lambda: sealed(network(layers=[{"type": "Input", "shape": [10**4000, 10**4000]}])),
    "a picture of many sides": lambda: sealed(network(layers=[{"type": "Input", "shape": [99] * 100_000}])),
    "a text of means": lambda: sealed(network(layers=[{"type": "Normalization", "mean": WORD, "variance": [1.0]}])),
    "many layers": lambda: sealed(network(layers=[{"type": "Flatten"}] * 100_000)),
    "a long layer": lambda: sealed(layer(1, type=WORD)),
    "a long activation": lambda: sealed(layer(1, activation=WORD)),
    "a long field": lambda: sealed(layer(1, **{WORD: 1})),
    "a long loss": lambda: sealed(edited(compiled={"loss": WORD, "optimizer": "adam", "metrics": []})),
    "a long format": lambda: sealed(edited(format=WORD)),
    "many metrics": lambda: sealed(
        edited(compiled={"loss": "mse", "optimizer": "adam", "metrics": ["accuracy"] * 90_000 + ["none"]})
    ),
}
"""Bombs in the description of a network."""


def npy(shape, content=b"", descr="<f8"):
    """A .npy file that says this of its shape."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz(size, content, says=None):
    """A zip file with "x.npy", zeros but for its front and packed a thousand times; says: how large it is called."""
    packer = zlib.compressobj(9, wbits=-15)
    front = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = front + block * (size >> 20) + packer.flush()
    name, whole = b"x.npy", size + len(content) if says is None else says
    common = struct.pack("<HHHHHIIIH", 20, 0, 8, 0, 33, 0, len(packed), min(whole, 2**32 - 2), len(name))
    local = b"PK\x03\x04" + common + struct.pack("<H", 0) + name + packed
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHHII", 0, 0, 0, 0, 0, 0) + name
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def savez(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def doubled():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for _ in range(2):
            archive.writestr("x.npy", npy("(1,)", bytes(8)))
    return file.getvalue()


ROWS = {
    "2^40 numbers": ("npy", lambda: npy("(1099511627776,)")),
    "2^62 x 2^62 numbers": ("npy", lambda: npy((2**62, 2**62))),
    "sizes below nothing": ("npy", lambda: npy((-1, -8), bytes(64))),
    "none of 2^62": ("npy", lambda: npy((2**62, 0))),
    "letters without size": ("npy", lambda: npy((2**40,), b"", "<U0")),
    "letters of 2^30": ("npy", lambda: npy((1,), b"", "<U1073741823")),
    "a deep header": ("npy", lambda: npy("(" * 3000 + ")" * 3000)),
    "a header of minuses": ("npy", lambda: npy("-" * 9000 + "1")),
    "a long header": ("npy", lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{" * 2**20),
    "a header in another alphabet": ("npy", lambda: b"\x93NUMPY\x03\x00" + struct.pack("<I", 9) + b"{}       "),
    "objects": ("npy", lambda: npy((1,), b"\x80\x04N.", "|O")),
    "fields": ("npy", lambda: npy((1,), bytes(8), [("a", "<f8")])),
    "a thousand times packed": ("npz", lambda: npz(2**31, npy((2**28,)))),
    "a lying size": ("npz", lambda: npz(2**20, npy((2**17,)), says=2**32 - 2)),
    "a smaller size": ("npz", lambda: npz(2**26, npy((4,)), says=len(npy((4,))) + 32)),
    "shapes that lie": ("npz", lambda: savez(x=np.zeros(8)).replace(b"(8,)", b"(9,)")),
    "a name twice": ("npz", doubled),
    "a gzip of zeros": ("idx", lambda: gzip.compress(b"\0\0\x08\x01\x80\0\0\0" + bytes(2**24))),
    "2^32 numbers": ("idx", lambda: b"\0\0\x0e\x08" + b"\xff" * 32),
    "index 2^31": ("libsvm", lambda: b"1 2147483647:1\n"),
    "a long index": ("libsvm", lambda: b"1 " + b"1" * 2**20 + b":1\n" * 9),
    "a long value": ("libsvm", lambda: b"1" + b" 1:1" * 2**18 + b" 2:" + b"1" * 2**20 + b"x\n"),
    "a long cell": ("csv", lambda: b"a,b\n" + b"1,2\n" * 20_000 + b"1," + b"x" * 200_000 + b"\n"),
    "a cell that is almost a number": ("csv", lambda: b"a\n" + b"1" * 120_000 + b"x\n"),
    "a long word": ("text", lambda: b"1 2\n" + b"1" * 2**21 + b"x 2\n"),
    "a long setting": ("toml", lambda: b"[model]\nactivation = 3\nhidden = [" + b"1," * 2**17 + b"'']\n"),
    "deep settings": ("toml", lambda: b"[model]\nhidden = " + b"[" * 2**20),
    "a long name of a setting": ("toml", lambda: b"[model]\n" + b"a" * 2**20 + b" = 1\n"),
    "a long section": ("toml", lambda: b"[" + b"a" * 2**20 + b"]\n"),
}
"""Bombs in files of rows, and of settings."""


def refused(folder, bombs):
    """Open every bomb in the memory that it justifies; return what each says.  bombs: {name: (reader, content)}."""
    lines = []
    for number, (reader, content) in enumerate(bombs.values()):
        path = folder / f"{number}.{reader}"
        path.write_bytes(content)
        lines += [f"{reader} {path}"]
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.limited"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stderr
    found = dict(zip(bombs, map(json.loads, run.stdout.splitlines()), strict=True))
    worst = [max(done[what] for done in found.values()) for what in ("seconds", "mib")]
    print(f"\n{len(bombs)} bombs: at most {worst[0]:.2f} s and {worst[1]} MiB")
    return found


CODES = dict.fromkeys(KINDS, "store-") | {"toml": "config-"}
BOMBS = {
    **{f"{kind}: {name}": (kind, lambda m=make, k=kind: m(k)) for kind in KINDS for name, make in ANY.items()},
    **{f"network: {name}": ("model", make) for name, make in MODELS.items()},
    **{f"{reader}: {name}": (reader, make) for name, (reader, make) in ROWS.items()},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return refused(tmp_path_factory.mktemp("bombs"), {name: (kind, make()) for name, (kind, make) in BOMBS.items()})


@pytest.mark.parametrize("name", BOMBS)
def test_r40_a_bomb_is_refused_before_memory_is_taken(found, name):
    done = found[name]
    assert done["code"].startswith(CODES.get(BOMBS[name][0], "data-")), done
    assert "\n" not in done["said"] and len(done["said"]) < 600 and done["seconds"] < 3, done


@pytest.mark.slow
def test_r40_a_large_model_is_read_in_twice_its_size(tmp_path):
    model(1, 2_200_000).save(tmp_path / "m")
    (done,) = refused(tmp_path, {"large": ("weights", (tmp_path / "m").read_bytes())}).values()
    assert done["code"] == "" and 190 < done["mib"] < 2 * 101 + 64
