"""Strategies that hurt the machine they run on, once: a killed worker, a killed executor, a straggler.

A marker file says that it happened, and in which epoch; later attempts are left alone.
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import Run, Work, average
from firesteel.train.strategies import Average

STRAGGLE_SECONDS = 60
MARKER = Path(os.environ.get("FIRESTEEL_FAULT_MARKER", "/nonexistent/marker"))


def once(task: Task, blocks: Sequence[Block]) -> bool:
    """Return whether this is the moment, second epoch, shard 0, and it never came before; leave the marker."""
    if MARKER.exists() or task.epoch != 1 or blocks[0].id % task.shards:
        return False
    MARKER.write_text(f"epoch {task.epoch}, pid {os.getpid()}")
    return True


def kill_worker(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    if once(task, blocks):
        os.kill(os.getpid(), signal.SIGKILL)
    return average(task, blocks, run)


def kill_executor(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    if once(task, blocks):
        os.kill(_executor(), signal.SIGKILL)
        time.sleep(60)
    return average(task, blocks, run)


def straggle(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    if once(task, blocks):
        time.sleep(STRAGGLE_SECONDS)
    return average(task, blocks, run)


def _executor() -> int:
    """Return the pid of the executor above this worker, which is a child of Python's daemon."""
    pid = os.getpid()
    while b"CoarseGrainedExecutorBackend" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return pid


@dataclass(frozen=True)
class Faulty(Average):
    """Plain averaging with a work function of this module."""

    fault: str = "kill_worker"

    def work(self) -> Work:
        return {"kill_worker": kill_worker, "kill_executor": kill_executor, "straggle": straggle}[self.fault]
