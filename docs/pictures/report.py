"""Draws report.png, the README's picture: the page of a run on small handwritten digits.

    python docs/pictures/report.py [PAGE.html]

It trains, writes the run's page, and takes its picture with Chromium.  Where there is no Chromium, it keeps the page
beside this file.  Given a page, it takes that page's picture at two widths in light and dark instead.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from firesteel.callbacks import EarlyStopping
from firesteel.datasets import load_digits
from firesteel.layers import Dense, Dropout, Rescaling
from firesteel.models import Sequential
from firesteel.report import RunFolder

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS, SCHEMES = (390, 1280), {"light": 1, "dark": 0}


def train(folder: Path) -> None:
    """Train on the digits and leave a run in the folder."""
    (x, y), (x_test, y_test) = ((x.reshape(-1, 64), y) for x, y in load_digits())
    layers = [Rescaling(1 / 16, input_dim=64), Dense(64, activation="relu"), Dropout(0.2), Dense(10, "softmax")]
    model = Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stopping = EarlyStopping(patience=10, restore_best_weights=True)
    run = RunFolder(folder, (x_test, y_test), picture=(8, 8))
    model.fit(x, y, epochs=60, validation_split=0.1, callbacks=[stopping, run], verbose=0)


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
        if browser is None:
            shutil.copy(page, HERE / "report.html")
            print(f"no Chromium found: the page is {HERE / 'report.html'}")
        else:
            shoot(browser, page, HERE / "report.png", 1000, 1400, "light")


if __name__ == "__main__":
    main(sys.argv[1:])
