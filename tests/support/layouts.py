"""Fit networks in threads, pools, callbacks and forked processes; a separate program, because it forks.

Prints as JSON the result of each network and layout, and the number of BLAS threads afterwards.
"""

import json
import os
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from joblib import Parallel, delayed

from firesteel.callbacks import LambdaCallback
from firesteel.fast.blas import BLAS
from firesteel.layers import BatchNormalization, Dense, Dropout, LayerNormalization
from firesteel.models import Sequential
from firesteel.regularizers import L2

RNG = np.random.default_rng(0)
ROWS = 512
X = RNG.integers(0, 256, (ROWS, 784)).astype(np.uint8)
PIXELS = (X / 255).astype(np.float32)
NUMBERS = RNG.normal(size=(ROWS, 300)).astype(np.float32)
ZEROS = np.zeros((ROWS, 5000), np.float32)
ZEROS[np.arange(ROWS)[:, None], RNG.integers(0, 5000, (ROWS, 50))] = 1.5
CLASSES, SIGNS = RNG.integers(0, 10, ROWS), RNG.integers(0, 2, ROWS)
TARGETS = RNG.normal(size=(ROWS, 3)).astype(np.float32)
SPARSE, BINARY, MEAN = "sparse_categorical_crossentropy", "binary_crossentropy", "mean_squared_error"


def dense(*units, last="softmax", **more):
    return [*(Dense(unit, "relu", **more) for unit in units[:-1]), Dense(units[-1], last)]


NETWORKS = {
    "784-128-10": (PIXELS, CLASSES, SPARSE, dense(128, 10), {}),
    "784-64-10": (PIXELS, CLASSES, SPARSE, dense(64, 10), {}),
    "784-128-10 of bytes": (X, CLASSES, SPARSE, dense(128, 10), {}),
    "784-128-64-10": (PIXELS, CLASSES, SPARSE, dense(128, 64, 10), {}),
    "784-256-10": (PIXELS, CLASSES, SPARSE, dense(256, 10), {"batch_size": 512}),
    "784-256-128-10": (PIXELS, CLASSES, SPARSE, dense(256, 128, 10), {}),
    "784-300-100-10": (PIXELS, CLASSES, SPARSE, dense(300, 100, 10), {"batch_size": 300}),
    "784-512-10": (PIXELS, CLASSES, SPARSE, dense(512, 10), {}),
    "784-512-512-10": (PIXELS, CLASSES, SPARSE, dense(512, 512, 10), {}),
    "784-128-10 in float64": (PIXELS, CLASSES, SPARSE, dense(128, 10), {"dtype": "float64"}),
    "784-128-10 in batches of 128": (PIXELS, CLASSES, SPARSE, dense(128, 10), {"batch_size": 128}),
    "784-128-10 in three shards": (PIXELS, CLASSES, SPARSE, dense(128, 10), {"shards": 3}),
    "784-128-10 by gradient": (PIXELS, CLASSES, SPARSE, dense(128, 10), {"strategy": "gradient", "batch_size": None}),
    "784-128-10 by L-BFGS": (PIXELS, CLASSES, SPARSE, dense(128, 10), {"optimizer": "lbfgs", "batch_size": None}),
    "784-128-10 with a penalty": (PIXELS, CLASSES, SPARSE, dense(128, 10, kernel_regularizer=L2(1e-4)), {}),
    "784-tanh-1": (PIXELS, SIGNS, BINARY, [Dense(128, "tanh"), Dense(64, "tanh"), Dense(1, "sigmoid")], {}),
    "300-512-3": (NUMBERS, TARGETS, MEAN, dense(512, 3, last="linear"), {"optimizer": "sgd"}),
    "300-256-256-3": (NUMBERS, TARGETS, MEAN, dense(256, 256, 3, last="linear"), {}),
    "dropout and norms": (
        NUMBERS,
        CLASSES,
        SPARSE,
        [Dense(256), BatchNormalization(), Dropout(0.3), Dense(128), LayerNormalization(), Dense(10, "softmax")],
        {},
    ),
    "sparse rows": (ZEROS, CLASSES, SPARSE, dense(128, 64, 10), {}),
}


def fitted(name, callbacks=(), more=()):
    """Return the fingerprint of a fit, and a checksum of predictions and scores."""
    x, y, loss, layers, settings = NETWORKS[name]
    settings = {"batch_size": 256, **settings}
    model = Sequential(layers, dtype=settings.pop("dtype", "float32"))
    model.compile(settings.pop("optimizer", "adam"), loss)
    model.fit(x, y, epochs=1, verbose=0, callbacks=list(callbacks), **settings, **dict(more))
    said = model.predict(x[:200]).tobytes() + np.float64(model.evaluate(x, y, verbose=0)).tobytes()
    return f"{model.fingerprint()[:12]} {zlib.crc32(said):08x}"


def in_a_thread(name):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fitted, name).result()


def overlapping(name):
    """Start four fits at the same time."""
    start = threading.Barrier(4)

    def one(_):
        start.wait()
        return fitted(name)

    with ThreadPoolExecutor(4) as pool:
        return one_of(pool.map(one, range(4)))


def first_in_first_out(name):
    """Fit during another fit that starts and ends earlier."""
    begun, ended = threading.Event(), threading.Event()
    wait = LambdaCallback(on_train_begin=lambda logs: (begun.set(), ended.wait(0.05)))
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(fitted, "784-64-10", [wait])
        assert begun.wait(60)
        return fitted(name, [LambdaCallback(on_epoch_end=lambda epoch, logs: other.result())])


def nested(name):
    found = []
    fitted("784-64-10", [LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(fitted(name)))])
    return one_of(found)


def around(name):
    """Fit a network with a callback that fits another one."""
    return fitted(name, [LambdaCallback(on_epoch_begin=lambda epoch, logs: fitted("784-64-10"))])


def by_joblib(name):
    return one_of(Parallel(n_jobs=2, backend="threading")(delayed(fitted)(name) for _ in range(2)))


def forked(name):
    """Fit in a child process, which also reports its number of threads afterwards."""
    to_read, to_write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(to_write, f"{fitted(name)}|{BLAS.get()}".encode())
        finally:
            os._exit(0)
    os.close(to_write)
    with os.fdopen(to_read, "rb") as pipe:
        text, threads = pipe.read().decode().split("|")
    os.waitpid(child, 0)
    assert int(threads) == THREADS, f"{threads} in a forked child"
    return text


def forked_in_a_fit(name):
    found = []
    fitted("784-64-10", [LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(forked(name)))])
    return one_of(found)


def forked_beside_a_fit(name):
    ending = threading.Event()

    def fit():
        while not ending.is_set():
            fitted("784-64-10")

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(fit)
        try:
            found = forked(name)
        finally:  # otherwise the pool would hang
            ending.set()
        other.result()
    return found


def one_of(found):
    """Return the common value, or all values if they differ."""
    return " and ".join(sorted(set(found)))


LAYOUTS = {
    "in a pool, first of all": in_a_thread,
    "in main": fitted,
    "in a thread": in_a_thread,
    "four at once": overlapping,
    "beside one that began before and ends before": first_in_first_out,
    "in a callback": nested,
    "around another": around,
    "by joblib's threads": by_joblib,
    "after fork": forked,
    "after fork in a fit": forked_in_a_fit,
    "after fork beside a fit": forked_beside_a_fit,
    "in main, after all": fitted,
}


if __name__ == "__main__":
    BLAS.put(2)  # also with a single core
    THREADS, results = BLAS.get(), {}
    for name in sys.argv[1:] or NETWORKS:
        results[name] = {layout: [fit(name), BLAS.get()] for layout, fit in LAYOUTS.items()}
    print(json.dumps(results))
