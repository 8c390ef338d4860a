"""The engine in process: what it promises besides the numbers."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from firesteel.fast.blas import BLAS, one_blas_thread
from firesteel.layers import Dense
from firesteel.models import Sequential


@pytest.mark.linux
def test_blas_has_one_thread_until_the_last_of_overlapping_contexts_ends():
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        assert BLAS.get() == 1
        first.__exit__(None, None, None)
        assert BLAS.get() == 1
        second.__exit__(None, None, None)
        assert BLAS.get() == 2


def test_fits_at_the_same_time_are_each_as_if_alone():
    x = np.random.default_rng(0).normal(size=(400, 60)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)

    def fitted(seed):
        model = Sequential([Dense(50, "relu"), Dense(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=300, epochs=4, seed=seed, shards=1 + seed % 2, verbose=0)
        return model.fingerprint()

    alone = [fitted(seed) for seed in range(4)]
    found = [""] * 4

    def run(seed):
        found[seed] = fitted(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_another_library_s_blas_does_not_make_another_machine():
    code = (
        "from firesteel.fast.blas import blas_name\n"
        "from firesteel.train.engine import machine\n"
        "before = machine()\n"
        "blas_name.cache_clear()\n"
        "import scipy.linalg\n"
        "assert machine() == before, (before, machine())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
