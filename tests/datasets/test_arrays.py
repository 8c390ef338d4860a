"""NumPy's files: arrays come back, and neither objects nor damage come through."""

import numpy as np
import pytest

from firesteel.datasets import read_npy, read_npz
from firesteel.errors import DataError

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
    with pytest.raises(DataError, match='holds images: the rows must be "x"'):
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
