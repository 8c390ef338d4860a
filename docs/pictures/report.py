"""Draws report.png, the README's picture: the page of a run on small handwritten digits.

    python docs/pictures/report.py [PAGE.html]

It trains, writes the run's page, and takes its picture with Chromium.  Where there is no Chromium, it keeps the page
beside this file.  Given a page, it takes that page's picture at two widths in light and dark instead.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from firesteel.callbacks import EarlyStopping
from firesteel.datasets import load_digits
from firesteel.layers import Dense, Dropout
from firesteel.models import Sequential
from firesteel.report.evidence import Names, Rows, examine
from firesteel.report.page import render

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS, SCHEMES = (390, 1280), {"light": 1, "dark": 0}


def train(folder: Path) -> None:
    """Train on the digits and leave a run in the folder."""
    (x, y), (x_test, y_test) = load_digits()
    x, x_test = x.reshape(-1, 64) / 16, x_test.reshape(-1, 64) / 16
    model = Sequential([Dense(64, activation="relu"), Dropout(0.2), Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stopping = EarlyStopping(patience=10, restore_best_weights=True)
    history = model.fit(x, y, epochs=60, validation_split=0.1, callbacks=[stopping], verbose=0)
    training, test = (
        Rows(name, a, b[:, None].astype(float), np.ones(len(a)), len(a))
        for name, a, b in (("training", x, y), ("test", x_test, y_test))
    )
    metrics = {
        "format": 1,
        "status": "finished",
        "task": "classification",
        "epochs": 60,
        "best_epoch": history.best,
        "parameters": model.count_params(),
        "seconds": sum(row["seconds"] for row in history.rows),
        "engine": "in process",
        "shards": 1,
        "rows": len(x),
        "fingerprint": model.fingerprint(),
        "picture": [8, 8],
        "scores": {
            "training": model.evaluate(x, y, verbose=0, return_dict=True),
            "test": model.evaluate(x_test, y_test, verbose=0, return_dict=True),
        },
        "evidence": examine(model, test, training, Names(picture=(8, 8))),
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "history.jsonl").write_text(history.to_jsonl())


def shoot(browser: str, page: Path, picture: Path, width: int, height: int, scheme: str) -> None:
    """Take a picture of a page, so many pixels wide and high, in few colours."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
    options += [f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", f"--screenshot={picture}"]
    subprocess.run([browser, *options, page.resolve().as_uri()], check=True, capture_output=True)
    Image.open(picture).quantize(64).save(picture, optimize=True)


def main(pages: list[str]) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if pages and browser is None:
        sys.exit("no Chromium found: install it, and run this again")
    for page in map(Path, pages):
        for width in WIDTHS:
            for scheme in SCHEMES:
                assert browser is not None
                shoot(browser, page, page.with_name(f"{page.stem}-{width}-{scheme}.png"), width, 3600, scheme)
    if pages:
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "digits")
        train(folder)
        page = folder / "report.html"
        page.write_text(render(folder))
        if browser is None:
            shutil.copy(page, HERE / "report.html")
            print(f"no Chromium found: the page is {HERE / 'report.html'}")
        else:
            shoot(browser, page, HERE / "report.png", 1000, 1400, "light")


if __name__ == "__main__":
    main(sys.argv[1:])
