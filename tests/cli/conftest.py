"""The command line in this process, and one small table in every format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from firesteel.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys) -> Run:
    """Runs the command line in this process and gives exit code, stdout and stderr."""

    def call(*argv: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call


PETS = ("cat", "dog", "fish")


def write_pets(path: Path, n: int = 240, seed: int = 0) -> None:
    """Write a table of numbers, whole numbers, true/false and text."""
    rng = np.random.default_rng(seed)
    lines = ["weight,age,tail,kind"]
    for _ in range(n):
        kind = int(rng.integers(3))
        weight = rng.normal((4, 15, 0.3)[kind], (1, 3, 0.1)[kind])
        lines.append(f"{weight:.3f},{rng.integers(1, 12)},{'false' if kind == 2 else 'true'},{PETS[kind]}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def pets(tmp_path) -> Path:
    write_pets(tmp_path / "pets.csv")
    return tmp_path / "pets.csv"


@pytest.fixture
def houses(tmp_path) -> Path:
    rng = np.random.default_rng(1)
    area, rooms = rng.uniform(40, 200, 200), rng.integers(1, 7, 200)
    price = 3000 * area + 10_000 * rooms + rng.normal(0, 5000, 200)
    rows = [f"{a:.1f},{r},{p:.2f}" for a, r, p in zip(area, rooms, price, strict=True)]
    (tmp_path / "houses.csv").write_text("\n".join(["area,rooms,price", *rows]) + "\n")
    return tmp_path / "houses.csv"
