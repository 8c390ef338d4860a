"""NumPy's files: arrays come back, and neither objects nor damage come through."""

import numpy as np
import pytest

from firesteel.datasets import read_npy, read_npz
from firesteel.errors import DataError
from tests.support.mutations import mutants

X = np.arange(12.0).reshape(4, 3)


def test_arrays_come_back(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "xy.npz", x=X, y=np.arange(4))
    np.savez(tmp_path / "x.npz", x=X)
    assert read_npy(tmp_path / "x.npy").tolist() == X.tolist()
    x, y = read_npz(tmp_path / "xy.npz")
    assert x.tolist() == X.tolist() and y.tolist() == [0, 1, 2, 3]
    assert read_npz(tmp_path / "x.npz")[1] is None


def spoiled(tmp_path, kind):
    if kind == "objects":
        np.save(tmp_path / "x.npy", np.array([{}, []], object), allow_pickle=True)
    elif kind == "cut":
        np.save(tmp_path / "x.npy", X)
        whole = (tmp_path / "x.npy").read_bytes()
        (tmp_path / "x.npy").write_bytes(whole[:-5])
    elif kind == "text":
        (tmp_path / "x.npy").write_text("no array")
    elif kind == "empty":
        (tmp_path / "x.npy").write_bytes(b"")
    else:
        np.savez(tmp_path / "x", x=X)
        (tmp_path / "x.npz").rename(tmp_path / "x.npy")


@pytest.mark.parametrize("kind", ["objects", "cut", "text", "empty", "several"])
def test_what_is_no_array_is_refused(tmp_path, kind):
    spoiled(tmp_path, kind)
    with pytest.raises(DataError) as caught:
        read_npy(tmp_path / "x.npy")
    assert caught.value.code == "data-numpy" and str(caught.value).startswith(str(tmp_path / "x.npy"))


def test_what_is_no_pair_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", images=X)
    with pytest.raises(DataError, match='holds images: name the array of rows "x"'):
        read_npz(tmp_path / "other.npz")
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(DataError, match="holds one array"):
        read_npz(tmp_path / "x.npz")
    np.savez(tmp_path / "cut.npz", x=X)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:80])
    with pytest.raises(DataError, match="cut.npz"):
        read_npz(tmp_path / "cut.npz")
    with pytest.raises(DataError, match="No such file"):
        read_npz(tmp_path / "none.npz")


@pytest.mark.parametrize(
    "array",
    [
        X,
        np.asfortranarray(X),
        X.astype(">i4"),
        np.zeros((0, 3)),
        np.array(3.5),
        np.array([True, False]),
        np.array(["cat", "d\u00f6g"]),
        X[::2],
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_every_kind_of_array_comes_back_in_native_order(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", x=array)
    for found in (read_npy(tmp_path / "x.npy"), read_npz(tmp_path / "x.npz")[0]):
        assert found.dtype == array.dtype.newbyteorder("=") and found.shape == array.shape
        assert found.tolist() == array.tolist()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_r42_no_damage_of_packed_arrays_is_read_in_silence(tmp_path, save):
    path, y = tmp_path / "x.npz", np.arange(4)
    save(path, x=X, y=y)
    whole, refused = path.read_bytes(), 0
    for number, damaged in enumerate(mutants(whole, 600, 3, 60)):
        path.write_bytes(damaged)
        try:
            found = read_npz(path)
        except DataError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error) and len(str(error)) < 500
        else:
            assert found[0].tolist() == X.tolist() and found[1].tolist() == y.tolist(), number
    assert refused > 300


def test_r42_damage_of_a_plain_array_is_refused_or_within_its_numbers(tmp_path):
    """A .npy file has no checksum: damage within its numbers, or from one type to another, cannot be noticed."""
    path = tmp_path / "x.npy"
    np.save(path, X)
    whole, refused = path.read_bytes(), 0
    for damaged in mutants(whole, 600, 4, 128):
        path.write_bytes(damaged)
        try:
            found = read_npy(path)
        except DataError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error) and len(str(error)) < 500
        else:
            assert found.nbytes == X.nbytes
    assert refused > 200


@pytest.mark.parametrize("letter", [0x110000, 0xD800, 0xFFFFFFFF])
def test_r42_what_is_no_letter_is_refused(tmp_path, letter):
    np.save(tmp_path / "y.npy", np.array(["cat", "dog"]))
    data = (tmp_path / "y.npy").read_bytes()
    (tmp_path / "y.npy").write_bytes(data[:-4] + letter.to_bytes(4, "little"))
    with pytest.raises(DataError, match="invalid characters"):
        read_npy(tmp_path / "y.npy")
