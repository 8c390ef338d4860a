"""Damaged files: whatever is flipped, cut, moved or edited, only our own error comes, or the same bits as before."""

import time
import tracemalloc

import pytest

from firesteel.errors import StoreError
from tests.support.files import KINDS, header_size
from tests.support.mutations import mutants

SECONDS, SPARE = 1.0, 64 << 20
"""What opening a damaged file may take: time, and memory beside twice the file's size."""


def outcomes(opened, data, count, seed):
    """Open damaged copies of a file; return how many were refused, and the worst time and memory of any of them.

    Memory is the file's own bytes and whatever is taken beside them.
    """
    whole, refused, slowest, most = opened(data), 0, 0.0, 0
    tracemalloc.start()
    try:
        for number, damaged in enumerate(mutants(data, count, seed, header_size(data), text=True)):
            tracemalloc.reset_peak()
            before, begun = tracemalloc.get_traced_memory()[0], time.perf_counter()
            try:
                assert opened(damaged) == whole, f"mutation {number} of seed {seed} changed the content unnoticed"
            except StoreError as error:
                refused += 1
                message = str(error)
                assert error.code.startswith("store-") and "\n" not in message and len(message) < 500, message
            slowest = max(slowest, time.perf_counter() - begun)
            taken = tracemalloc.get_traced_memory()[1] - before + len(damaged)
            assert taken < 2 * len(damaged) + SPARE
            most = max(most, taken)
    finally:
        tracemalloc.stop()
    assert slowest < SECONDS
    return refused, slowest, most


@pytest.mark.parametrize("kind", KINDS)
def test_r39_a_damaged_file_is_refused_or_the_same(kind):
    refused, _, _ = outcomes(KINDS[kind].opened, KINDS[kind].small, 600, 0)
    assert refused > 500


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("kind", KINDS)
def test_r39_ten_thousand_damaged_files_are_refused_or_the_same(kind):
    small = outcomes(KINDS[kind].opened, KINDS[kind].small, 9_000, 1)
    large = outcomes(KINDS[kind].opened, KINDS[kind].large[0], 1_000, 2)
    refused, slowest, most = small[0] + large[0], max(small[1], large[1]), max(small[2], large[2])
    print(
        f"\n10,000 damaged {kind} files: {refused:,} refused, {10_000 - refused:,} the same; worst {slowest:.3f} s, "
        f"{most / 2**20:.1f} MiB for a file of {len(KINDS[kind].large[0]) / 2**20:.1f} MiB"
    )
    assert refused > 9_000
