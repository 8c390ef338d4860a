"""What hurts the machine it runs on: strategies, steps of a user's plan and a step of packing that kill and raise.

Markers in a folder, which all processes see, say that a fault happened, and let later attempts alone.  Switches are
the task's epoch and shard, and the description of the job that a step runs in.
"""

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from firesteel.spark import packing
from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import Run, Work, average
from firesteel.train.strategies import Average

STRAGGLE_SECONDS = 60
FOLDER = Path(os.environ.get("FIRESTEEL_FAULTS", "/nonexistent"))


def first(name: str, text: object) -> bool:
    """Return whether nobody has asked this before, in any process; leave a marker of that name."""
    try:
        with (FOLDER / name).open("x") as file:
            file.write(str(text))
    except FileExistsError:
        return False
    return True


def now(task: Task, blocks: Sequence[Block], name: str) -> bool:
    """Return whether this is the moment, second epoch, shard 0, and it never came before."""
    return task.epoch == 1 and not blocks[0].id % task.shards and first(name, f"epoch {task.epoch}")


def executor() -> int:
    """Return the pid of the executor above this worker, which is a child of Python's daemon."""
    pid = os.getpid()
    while b"CoarseGrainedExecutorBackend" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    time.sleep(60)


# Work


def kill_worker(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    if now(task, blocks, "worker"):
        kill(os.getpid())
    return average(task, blocks, run)


def die_always(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    kill(os.getpid())
    return average(task, blocks, run)


def raise_once(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    if now(task, blocks, "raised"):
        raise OSError("a disk that was slow for once")
    return average(task, blocks, run)


def raise_always(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    number = 1
    while not first(f"shard {blocks[0].id % task.shards}, attempt {number}", ""):
        number += 1
    raise ValueError(f"attempt {number} of a layer that is wrong")


def kill_executor(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    if now(task, blocks, "executor"):
        kill(executor())
    return average(task, blocks, run)


def die_with_the_executor(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    kill(executor())
    return average(task, blocks, run)


def kill_both_executors(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Kill one executor in the second epoch, and in the third the other one that was there before."""
    pid = executor()
    if task.epoch == 1:
        (FOLDER / f"seen {pid}").touch()
        if now(task, blocks, "executor"):
            (FOLDER / f"seen {pid}").unlink()
            kill(pid)
    if task.epoch == 2 and (FOLDER / f"seen {pid}").exists() and first("other executor", "epoch 2"):
        kill(pid)
    return average(task, blocks, run)


def decommission(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    if now(task, blocks, "decommissioned"):
        os.kill(executor(), signal.SIGPWR)
    return average(task, blocks, run)


def straggle(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    if now(task, blocks, "straggler"):
        time.sleep(STRAGGLE_SECONDS)
    return average(task, blocks, run)


def count_threads(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Report how many BLAS threads there may be, and how many more than this one a large product keeps busy."""
    from threadpoolctl import threadpool_info

    before = ticks()
    for _ in range(20):
        np.ones((600, 600)) @ np.ones((600, 600))
    busy = [thread for thread, ticked in ticks().items() if ticked > before.get(thread, 0)]
    threads = {
        "asked": os.environ.get("OMP_NUM_THREADS"),
        "allowed": max(info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"),
        "busy": len(set(busy) - {threading.get_native_id()}),
        "pid": os.getpid(),
    }
    (FOLDER / f"threads {uuid.uuid4().hex}").write_text(json.dumps(threads))
    return average(task, blocks, run)


def ticks() -> dict[int, int]:
    """Return the processor time of each thread of this process, in ticks of the system."""
    found = {}
    for thread in Path("/proc/self/task").iterdir():
        fields = (thread / "stat").read_text().rsplit(")", 1)[1].split()
        found[int(thread.name)] = int(fields[11]) + int(fields[12])
    return found


class Faulty(Average):
    """Plain averaging with a work function of this module."""

    fault: str = "kill_worker"

    def work(self) -> Work:
        work: Work = globals()[self.fault]
        return work


# A user's plan, and packing


def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give the number of rows: a plain job of a user's."""
    yield pa.RecordBatch.from_pydict({"n": [sum(batch.num_rows for batch in batches)]})


def passing(title: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give rows as they are, and kill the executor in the first job whose description has this in it."""
    from pyspark import TaskContext

    context: Any = TaskContext.get()
    if title in context.getLocalProperty("spark.job.description") and first("executor", title):
        kill(executor())
    yield from batches


def shifting(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give rows as they are until an executor has been killed, and from then on with other labels."""
    for batch in batches:
        if (FOLDER / "executor").exists():
            at = batch.schema.get_field_index("label")
            other = pa.compute.subtract(2, batch.column(at)).cast(batch.schema.field(at).type)
            batch = batch.set_column(at, batch.schema.field(at), other)
        yield batch


def merge_packs(*given: Any) -> Iterator[pa.RecordBatch]:
    """Merge rows that were shuffled, after the executor has been killed whose part of the shuffle is lost with it."""
    if first("executor", "merging"):
        kill(executor())
    yield from packing.merge_packs(*given)
