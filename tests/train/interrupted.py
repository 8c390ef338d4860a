"""Run as a program: fits that are interrupted at random moments, again and again, and what came of them as JSON.

Arguments: a seed, how many signals, the hidden layers, "numba" or "numpy", the shards, and a folder.
"""

import faulthandler
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

PATIENCE = 30
"""Seconds after which a fit that has been interrupted counts as hung: then this ends with everybody's stack."""
EPOCHS = 20


def main(seed: str, count: str, hidden: str, arithmetic: str, shards: str, folder: str) -> None:
    if arithmetic == "numpy":
        sys.modules["numba"] = None  # type: ignore[assignment]
    import numpy as np

    from firesteel.layers import Dense, Input
    from firesteel.models import Sequential, load_model

    rng, moments = np.random.default_rng(0), random.Random(int(seed))
    x = rng.random((700, 64)).astype(np.float32)
    y = (x @ rng.normal(size=(64, 10))).argmax(axis=1)
    path, left, waits, missed = Path(folder, "kept"), int(count), [], 0
    sent = resting = time.perf_counter()

    def made() -> Sequential:
        inside = [Dense(int(units), "relu") for units in hidden.split(",")]
        model = Sequential([Input((64,)), *inside, Dense(10, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        return model

    def fit(model: Sequential, **more: object) -> Sequential:
        model.fit(x, y, batch_size=100, shards=int(shards), seed=1, verbose=0, **more)
        return model

    def leave(signum: int, frame: object) -> None:
        raise SystemExit(signum)

    def shoot(delay: float, number: signal.Signals, stopped: threading.Event) -> None:
        nonlocal sent, missed
        time.sleep(delay)
        sent = time.perf_counter()
        os.kill(os.getpid(), number)
        while not stopped.wait(3):  # an exception in a finalizer is one that Python drops
            missed += 1
            os.kill(os.getpid(), number)

    fit(made(), epochs=1)  # compiles
    begun = time.perf_counter()
    expected = fit(made(), epochs=EPOCHS)
    long = (time.perf_counter() - begun) / 2
    signal.signal(signal.SIGTERM, leave)
    whole = rest = 0
    while left:
        left, kept, model, stopped = left - 1, bool(left % 2), made(), threading.Event()
        number = moments.choice([signal.SIGINT, signal.SIGTERM])
        gun = threading.Thread(target=shoot, args=(moments.random() * long, number, stopped))
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        resting = sent
        try:
            try:
                gun.start()
                while True:  # with a checkpoint, on from where the last one was interrupted
                    fit(model, epochs=EPOCHS if kept else 1, **({"checkpoint": path} if kept else {}))
                    if kept:
                        assert model.fingerprint() == expected.fingerprint(), "interrupted fits go on to other bits"
                        model, whole = made(), whole + 1
                        path.unlink()
            finally:
                stopped.set()
        except (KeyboardInterrupt, SystemExit):
            assert sent > resting, "nobody was to stop yet"
            waits.append(time.perf_counter() - sent)
        gun.join()
        faulthandler.cancel_dump_traceback_later()
        assert np.isfinite(model.theta).all() and np.isfinite(model.predict(x[:9])).all()
        model.save(Path(folder, "model"))
        assert load_model(Path(folder, "model")).fingerprint() == model.fingerprint()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert fit(made(), epochs=EPOCHS, checkpoint=path).fingerprint() == expected.fingerprint()
    time.sleep(0.5)
    rest = threading.active_count() - 1
    facts = {"stopped": len(waits), "worst": max(waits), "whole": whole, "missed": missed, "threads": rest}
    print(json.dumps(facts | {"team": "numba" in sys.modules and sys.modules["numba"] is not None}))


if __name__ == "__main__":
    main(*sys.argv[1:])
