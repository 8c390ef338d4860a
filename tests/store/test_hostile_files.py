"""Files that mean harm: nothing in them is imported, run, opened or connected to, and each is refused in a line."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from firesteel.core.constraints import CONSTRAINTS
from firesteel.core.initializers import INITIALIZERS
from firesteel.core.regularizers import REGULARIZERS
from firesteel.errors import DataError
from firesteel.report import RunFolder
from tests.store.test_store import DATA, INNER, edited, layer, network, sealed
from tests.support.files import KINDS, header_size, model

ROOT = Path(__file__).parents[2]
SECRET = "root-0f6e9c"
"""What stands in a file outside; it must turn up nowhere."""

NAMES = (
    *("os.system", "builtins.eval", "builtins.exec", "__import__", "__class__", "__reduce__", "Lambda", "Sequential"),
    *(
        "firesteel.models.Sequential",
        "numpy.load",
        "subprocess:Popen",
        "lambda x: x",
        "!!python/object/apply:os.system",
    ),
    *("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x", "\\\\host\\share", "{{7*7}}"),
    *("\u202ednepo", "\x00", "\ud800", "De\u200bnse", "dense", "ＤＥＮＳＥ", "%s%n", "${HOME}", "`id`", ""),
)
"""What is given where a name belongs."""


class Harm:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def networks():
    """Models whose description names what it must not."""
    places = {
        "type": lambda name: layer(1, type=name),
        "activation": lambda name: layer(1, activation=name),
        "layer-of-it": lambda name: network(layers=[name]),
        "dtype": lambda name: network(dtype=name),
        "loss": lambda name: edited(compiled=INNER["compiled"] | {"loss": name}),
        "optimizer": lambda name: edited(compiled=INNER["compiled"] | {"optimizer": {"type": name}}),
        "metric": lambda name: edited(compiled=INNER["compiled"] | {"metrics": [name]}),
    }
    for family in ("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_constraint"):
        places[family] = lambda name, family=family: layer(1, **{family: name})
        places[f"{family}-typed"] = lambda name, family=family: layer(1, **{family: {"type": name}})
    for place, make in places.items():
        for number, name in enumerate(NAMES):
            if not (place == "activation" and name == ""):
                yield f"model-{place}-{number}", sealed(make(name))


def others():
    """Files that were never a model, or are one with something behind, before or beside it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Harm("harm")))
        file.writestr("../escaped", "escaped")
    for name, tensors in {
        "path": {"../../0.w": np.zeros(3, "f4")},
        "unicode": {"\u202e1.w\x00": np.zeros(3, "f4")},
    }.items():
        yield f"model-tensor-{name}", sealed(edited(), load(DATA) | tensors)
    yield "model-pickle", pickle.dumps(Harm("harm"))
    yield "model-torch", archive.getvalue()
    yield "model-hdf5", b"\x89HDF\r\n\x1a\n" + bytes(500)
    yield "model-onnx", b"\x08\x07\x12\x07pytorch" + bytes(100)
    yield "model-script", b"#!/bin/sh\nid\n"
    yield "model-page", b"<html><script>alert(1)</script>"
    yield "model-yaml", b"!!python/object/apply:os.system ['id']\n"
    yield "model-python", b"__import__('os').system('id')\n"
    yield "model-bfloat16", save({"0.w": np.zeros(3, "f4")}, {"firesteel": "{}"}).replace(b"F32", b"BF16")
    for at, name in enumerate(("code", "module", "class", "__reduce__", "path", "url", "file", "pickle", "lambda")):
        yield f"model-more-{at}", sealed(layer(1, **{name: "os.system('id')"}))
    objects = io.BytesIO()
    np.save(objects, np.array([Harm("harm")], object), allow_pickle=True)
    yield "npy-objects", objects.getvalue()
    yield "npy-pickle", pickle.dumps(Harm("harm"))
    yield (
        "npy-code",
        b"\x93NUMPY\x01\x00\x40\x00" + b"{'descr': __import__('os').system('id'), 'shape': ()}".ljust(64),
    )
    for name, content in {"objects": {"x": np.array([Harm("harm")], object)}, "labels": {"y": np.zeros(1)}}.items():
        packed = io.BytesIO()
        np.savez(packed, **content)
        yield f"npz-{name}.npz", packed.getvalue()
    climbing = io.BytesIO()
    with zipfile.ZipFile(climbing, "w") as file:
        file.writestr("../../x.npy", "climbed")
        file.writestr("/tmp/x.npy", "climbed")
    yield "npz-climbing.npz", climbing.getvalue()
    yield "csv-formula", b"=cmd|'/C calc'!A0,label\n1,0\n@SUM(1),1\n"
    yield "libsvm-code", b"__import__('os') 1:1\n"
    yield "text-code", b"__import__('os').system('id')\n"
    yield "idx-pickle", pickle.dumps(Harm("harm"))
    yield "toml-section", b'["os.system"]\na = 1\n'
    yield "toml-key", b'[model]\n"__class__" = "os.system"\n'
    yield "toml-pickle", pickle.dumps(Harm("harm"))


def folders(tmp_path):
    """Run folders whose files lead elsewhere, or hold what a page must not run."""
    good = tmp_path / "good" / "run"
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text(f'[data]\nfeatures = ["{SECRET}"]\nsecret = "{SECRET}"\n')
    for name in ("config.toml", "env.json", "history.jsonl", "metrics.json"):
        place = shutil.copytree(good, tmp_path / f"run-link-{name}")
        (place / name).unlink()
        (place / name).symlink_to(outside)
    for name, text in {
        "paths": '[data]\ntrain = "/etc/passwd"\ntest = "../../x"\n[model]\ninitial = "/etc/passwd"\n',
        "addresses": '[data]\ntrain = "http://127.0.0.1:9/x.csv"\ntest = "file:///x"\n[run]\nfolder = "/x"\n',
        "spark": '[data]\ntrain = "x.csv"\n[engine]\nname = "spark"\nmaster = "spark://127.0.0.1:9"\n',
        "code": '[training]\ncode = ["os.system"]\ncallbacks = [{type = "os.system"}]\noptimizer = {type = "eval"}\n',
        "names": '[data]\nclass_names = ["<script>alert(1)</script>", "{{ 7*7 }}", "\\u202ee"]\n',
    }.items():
        place = shutil.copytree(good, tmp_path / f"run-{name}")
        (place / "config.toml").write_text(text)
    place = shutil.copytree(good, tmp_path / "run-template")
    metrics = json.loads((place / "metrics.json").read_text())
    metrics["class_names"] = ["<script>alert(1)</script>", "{{ 7*7 }}{% include '/etc/passwd' %}", "c"]
    (place / "metrics.json").write_text(json.dumps(metrics))
    (place / "env.json").write_text(json.dumps({"<script>": "<script>{{ 7*7 }}</script>"}))
    place = shutil.copytree(good, tmp_path / "run-pickle")
    for name in ("metrics.json", "env.json", "config.toml", "model.firesteel"):
        (place / name).write_bytes(pickle.dumps(Harm(tmp_path / "harm")))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What was said of every file, and all that Python did meanwhile."""
    folder = tmp_path_factory.mktemp("hostile")
    good = folder / "good"
    x, y = np.arange(80.0).reshape(20, 4) / 80, np.arange(20) % 3
    model(1).fit(x, y, epochs=1, verbose=0, callbacks=[RunFolder(good / "run")])
    rows = "\n".join(",".join(map(str, [*row, label])) for row, label in zip(x.tolist(), y.tolist(), strict=True))
    for place in (folder, good):
        (place / "rows.csv").write_text(f"a,b,c,d,y\n{rows}\n")
    for name, kind in KINDS.items():
        (good / name).write_bytes(kind.small)
        (folder / f"{name}-good").write_bytes(kind.small)
        (folder / f"{name}-cut").write_bytes(kind.small[: header_size(kind.small) - 1])
    np.save(good / "npy-x.npy", x)
    np.savez(good / "npz-x.npz", x=x)
    (good / "csv").write_text("a,b\n1,2\n")
    (good / "libsvm").write_text("1 1:1\n")
    (good / "text").write_text("1 2\n")
    (good / "idx").write_bytes(b"\0\0\x08\x02\0\0\0\x01\0\0\0\x01\x05")
    (good / "toml").write_text("[training]\nepochs = 3\n")
    for name, content in (*networks(), *others()):
        (folder / name).write_bytes(content)
    folders(folder)
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile", str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(folder)},
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    kinds = {event.split(" ")[0] for event in told["sees"]}  # the watch can see what it looks for
    assert kinds >= {"exec", "compile", "open", "import", "socket.__new__", "subprocess.Popen", "pickle.find_class"}
    assert not (folder / "harm").exists() and not (ROOT / "harm").exists()
    return folder, told["found"]


def test_r41_nothing_is_imported_run_opened_or_connected_to(found):
    _, files = found
    times = sum(len(done["results"]) for done in files.values())
    print(f"\n{len(files)} hostile files, {times} times opened: 0 events")
    assert len(files) > 400
    for name, done in files.items():
        assert not done["seen"], (name, done["seen"])


def test_r41_every_file_that_means_harm_is_refused_in_a_line(found):
    _, files = found
    for name, done in files.items():
        if not name.startswith("run-") and not name.endswith("-good"):
            (told,) = done["results"]
            assert told != "good", name
            assert "\n" not in told and len(told) < 1000 and SECRET not in told and "Traceback" not in told, (
                name,
                told,
            )


def test_r41_links_out_of_a_run_folder_are_not_followed_onto_its_page(found):
    folder, files = found
    for name in ("config.toml", "env.json", "history.jsonl", "metrics.json"):
        told = files[f"run-link-{name}"]["results"][1]
        assert told.startswith("exit-3: ") and f"{name} is a link" in told and told.count("\n") == 1
        assert SECRET not in (folder / f"run-link-{name}" / "report.html").read_text()


def test_r41_what_a_run_says_is_shown_as_text(found):
    folder, files = found
    for name in ("run-names", "run-template"):
        assert files[name]["results"][1] == "good"
        page = (folder / name / "report.html").read_text()
        assert "<script" not in page and "&lt;script&gt;" in page and "{{ 7*7 }}" in page and "root:" not in page


def test_r41_of_a_run_that_is_no_run_every_command_says_a_line(found):
    _, files = found
    for told in files["run-pickle"]["results"]:
        assert (
            told.startswith("exit-")
            and told.count("\n") == 1
            and "Traceback" not in told
            and "report this" not in told
        )


def test_r41_what_a_terminal_would_obey_is_spelt_out():
    said = str(DataError("column \x1b[2J\u202e\ud800\x07é, s3a://me:word@bucket/x\nsecond line"))
    assert said == "column \\x1b[2J\\u202e\\ud800\\x07é, s3a://bucket/x\nsecond line [data]"


@pytest.mark.parametrize(
    "family", [INITIALIZERS, REGULARIZERS, CONSTRAINTS], ids=["initializers", "regularizers", "constraints"]
)
def test_r41_the_names_tried_are_none_of_ours(family):
    assert not set(NAMES) & set(family)
