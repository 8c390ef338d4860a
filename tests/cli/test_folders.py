"""`firesteel data convert FOLDER OUT.parquet`: pictures by class as rows of pixels, or one line and an exit code."""

import os

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from firesteel.cli import main

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)
RGB = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


def save(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Three pictures of two classes each."""
    for number, picture in enumerate(GREY):
        save(tmp_path / "in" / "ab"[number % 2] / f"{number}.png", picture)
    return tmp_path / "in"


@pytest.fixture
def convert(capsys, tmp_path):
    """Converts a folder; gives exit code, stdout, stderr and the rows by their origins."""

    def call(folder, *argv, out="out.parquet"):
        with pytest.raises(SystemExit) as end:
            main(["data", "convert", str(folder), str(tmp_path / out), *argv])
        said = capsys.readouterr()
        there = (tmp_path / out).is_file()
        rows = pyarrow.parquet.read_table(tmp_path / out).to_pylist() if there else []
        return end.value.code, said.out, said.err, {row["origin"]: row for row in rows}

    return call


def pixels(row, *shape):
    return np.frombuffer(row["features"], np.uint8).reshape(shape)


def test_pictures_by_class_become_rows_in_the_order_of_their_paths(folder, convert, tmp_path):
    code, out, err, rows = convert(folder)
    assert (code, err) == (0, "")
    assert out == f"{tmp_path / 'out.parquet'}  6 pictures of 2 classes, [5, 4, 1]\n"
    assert list(rows) == ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png"]
    for number, picture in enumerate(GREY):
        row = rows[f"{'ab'[number % 2]}/{number}.png"]
        assert row["label"] == "ab"[number % 2]
        np.testing.assert_array_equal(pixels(row, 5, 4), picture)
    again = convert(folder, out="again.parquet")
    assert again[3] == rows and (tmp_path / "again.parquet").read_bytes() == (tmp_path / "out.parquet").read_bytes()


def turned(picture):
    """A picture that a camera on its side has taken: what is stored is the picture, turned."""
    made, exif = Image.fromarray(np.rot90(picture)), Image.Exif()
    exif[0x0112] = 6
    return made, {"exif": exif}


RGBA = np.dstack([RGB[0], np.full((5, 4), 255, np.uint8)])
CLEAR = np.dstack([RGB[0], np.zeros((5, 4), np.uint8)])
DEEP = GREY[0].astype(np.uint16) << 8 | 77
WEIGHTS = np.array([19595, 38470, 7471])
KINDS = {
    "grey": (GREY[0], [], GREY[0]),
    "colour": (RGB[0], [], RGB[0]),
    "opaque": (RGBA, [], RGB[0]),
    "transparent": (CLEAR, [], np.full((5, 4, 3), 255)),
    "16 bits": (DEEP, [], GREY[0]),
    "two values": (Image.fromarray(GREY[0] > 127), [], np.where(GREY[0] > 127, 255, 0)),
    "grey as colour": (GREY[0], ["--colour", "rgb"], np.repeat(GREY[0][..., None], 3, axis=2)),
    "colour as grey": (RGB[0], ["--colour", "grey"], (RGB[0] @ WEIGHTS + 0x8000) >> 16),
    "palette": (Image.fromarray(RGB[0]).quantize(32), [], RGB[0]),
    "turned": (*turned(RGB[0]), RGB[0]),
    "its own size": (GREY[0], ["--size", "5x4"], GREY[0]),
    "one value, larger": (np.full((5, 4), 7, np.uint8), ["--size", "9x8"], np.full((9, 8), 7)),
}


@pytest.mark.parametrize("name", KINDS)
def test_pictures_of_every_kind(name, convert, tmp_path):
    picture, argv, expected = KINDS[name]
    options = argv if isinstance(argv, dict) else {}
    save(tmp_path / "in" / "a" / "0.png", picture, **options)
    code, _, err, rows = convert(tmp_path / "in", *([] if options else argv))
    assert (code, err) == (0, "")
    found = pixels(rows["a/0.png"], *expected.shape)
    np.testing.assert_array_equal(found, expected)


def test_grey_and_colour_mixed_become_colour(folder, convert):
    save(folder / "c" / "0.png", RGB[0])
    code, out, _, rows = convert(folder)
    assert code == 0 and out.endswith("7 pictures of 3 classes, [5, 4, 3]\n")
    np.testing.assert_array_equal(pixels(rows["c/0.png"], 5, 4, 3), RGB[0])
    np.testing.assert_array_equal(pixels(rows["a/0.png"], 5, 4, 3), np.repeat(GREY[0][..., None], 3, axis=2))


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


BROKEN = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no picture"),
    "damaged": lambda path: path.write_bytes(path.read_bytes()[:50] + bytes(20) + path.read_bytes()[70:]),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "gone": lambda path: (path.unlink(), path.symlink_to("nowhere.png")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_or_named_and_left_out(name, folder, convert, tmp_path):
    BROKEN[name](folder / "a" / "2.png")
    code, out, err, rows = convert(folder)
    assert (code, out, rows) == (3, "", {}) and err.count("\n") == 1 and "Traceback" not in err
    assert (
        f"{folder / 'a' / '2.png'}: damaged or not a picture" in err
        and "1 of 6 files" in err
        and "--skip-broken" in err
    )
    assert os.listdir(tmp_path) == ["in"]
    code, out, err, rows = convert(folder, "--skip-broken")
    assert code == 0 and out.endswith("5 pictures of 2 classes, [5, 4, 1], 1 file left out\n")
    assert err.startswith(f"left out: {folder / 'a' / '2.png'}: ") and err.count("\n") == 1
    assert len(rows) == 5 and "a/2.png" not in rows


def test_where_all_files_are_broken_nothing_is_written(folder, convert, tmp_path):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    code, _, err, _ = convert(folder, "--skip-broken")
    assert code == 3 and "6 of 6 files" in err and os.listdir(tmp_path) == ["in"]


def larger(folder):
    save(folder / "b" / "7.png", RGB[0].repeat(2, axis=0))


def stray(folder):
    save(folder / "7.png", GREY[0])


def none(folder):
    for path in folder.rglob("*.png"):
        path.rename(path.with_suffix(".txt"))


REFUSED = {
    "sizes": (larger, [], 3, "7.png: is 10 x 4 (height x width), like 1 of 7 pictures, but 6 are 5 x 4"),
    "no class": (stray, [], 3, "7.png: is not in a class folder; 1 of 7"),
    "no picture": (none, [], 3, "contains no pictures"),
    "a size": (None, ["--size", "5"], 2, "--size 5: give height and width"),
    "no size": (None, ["--size", "0x5"], 2, "--size 0x5: give height and width"),
    "a format": (None, ["--to", "npz"], 2, "--to cannot be used with"),
    "a label": (None, ["--label", "class"], 2, "--label cannot be used with"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_writes_nothing(name, folder, convert, tmp_path):
    change, argv, expected, said = REFUSED[name]
    if change:
        change(folder)
    code, out, err, rows = convert(folder, *argv)
    assert (code, out, rows) == (expected, "", {}) and said in err and err.count("\n") == 1
    assert os.listdir(tmp_path) == ["in"]


def test_nothing_is_overwritten_and_a_parquet_file_is_named(folder, convert, tmp_path):
    (tmp_path / "out.parquet").mkdir()
    assert convert(folder)[0] == 3
    code, _, err, _ = convert(folder, out="out")
    assert code == 2 and "ends in .parquet" in err


def test_options_of_pictures_are_refused_for_other_rows(convert, tmp_path):
    (tmp_path / "rows.csv").write_text("x,label\n1,2\n")
    code, _, err, _ = convert(tmp_path / "rows.csv", "--to", "npz", "--size", "5x5", out="made")
    assert code == 2 and "--size is for folders of pictures" in err


def test_hidden_files_and_others_are_left_alone(folder, convert):
    for name in ("a/.hidden.png", "a/_temporary.png", "a/Thumbs.db", ".git/x.png", "README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no picture")
    code, _, err, rows = convert(folder)
    assert (code, err, len(rows)) == (0, "", 6)


def test_a_name_with_what_a_terminal_obeys_is_spelt_out(folder, convert):
    (folder / "a" / "x\x1b[31m.png").write_text("no picture")
    _, _, err, _ = convert(folder, "--skip-broken")
    assert "\x1b" not in err and r"x\x1b[31m.png" in err
