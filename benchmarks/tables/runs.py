"""One run: one model on one split of one table, in its own process, and the file with its score."""

import contextlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.tables.data import SEEDS, SET_ASIDE, TABLES, Split, Table, splits, table
from benchmarks.tables.models import MODELS
from benchmarks.tables.scores import score

SPLITS = tuple(str(seed) for seed in SEEDS)
CHOOSE = tuple(f"choose-{seed}" for seed in SEEDS)
Run = tuple[str, str, str]
"""Model, table, split."""


def plan(models: Iterable[str], names: Iterable[str], choose: bool, confirm: bool) -> list[Run]:
    """Return the runs ordered by split and table, so that every model soon has a score on every table.

    Args:
        models: the models.
        names: the tables.
        choose: use the splits for choosing defaults, without the tables that are set aside.
        confirm: also run firesteel on the tables that are set aside.
    """
    names = [name for name in names if not (choose and name in SET_ASIDE)]
    runs = [(model, name, split) for split in (CHOOSE if choose else SPLITS) for name in names for model in models]
    return [run for run in runs if confirm or run[1] not in SET_ASIDE or not run[0].startswith("firesteel")]


def path(folder: Path, run: Run) -> Path:
    """Return the file of a run's score."""
    model, name, split = run
    return folder / "cache" / model / f"{name}-{split}.json"


def kept(folder: Path, run: Run) -> dict[str, Any] | None:
    """Return the content of a run's file, or None."""
    with contextlib.suppress(FileNotFoundError):
        return json.loads(path(folder, run).read_text(encoding="utf-8"))
    return None


def finished(record: dict[str, Any] | None, limit: float) -> bool:
    """Return whether a run need not be repeated: it has a score, or had at least the present time limit."""
    return record is not None and ("failed" not in record or record.get("limit", 0) >= limit)


def perform(folder: Path, run: Run, threads: int, limit: float) -> dict[str, Any]:
    """Run a model and save its score, or the reason why it has none.

    A model that exceeds `limit` seconds is recorded as such.  A failed run is recorded, and repeated next time.
    """
    count = str(threads)
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    environment = os.environ | {f"{name}_NUM_THREADS": count for name in names}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.tables.runs", str(folder), *run]
    record: dict[str, Any] = dict(zip(("model", "table", "split"), run, strict=True)) | {"threads": threads}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
        if done.returncode:
            record["failed"] = (done.stderr.strip() or f"exit status {done.returncode}")[-2000:]
        else:
            record |= json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        record |= {"failed": f"no result within {limit:,.0f} s", "limit": limit}
    file = path(folder, run)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    temporary.replace(file)
    return record


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the saved scores of existing tables and splits."""
    for file in sorted((folder / "cache").glob("*/*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["table"] in TABLES and record["split"] in (*SPLITS, *CHOOSE):
            yield record


def _split(found: Table, name: str) -> Split:
    return next(split for split in splits(found, choose=name in CHOOSE) if split.name == name)


def _main(folder: str, model: str, name: str, split: str) -> None:
    warnings.simplefilter("ignore")
    chosen, found = MODELS[model], table(folder, name)
    versions = chosen.ready()
    print(json.dumps(score(chosen.fit_predict, found, _split(found, split)) | {"versions": versions}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
