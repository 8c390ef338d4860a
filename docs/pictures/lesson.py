"""Draw lesson.svg: the losses of the lesson's network and of one ten times wider, over 100 epochs.

    FIRESTEEL_DATA=... python -m docs.pictures.lesson

Needs MNIST and takes two or three minutes; prints the validation losses that docs/tutorials/hands-on-mnist.md quotes.
"""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.lesson import BATCH, CASES, HELD_OUT
from firesteel.datasets import load_mnist
from firesteel.train.history import History

HERE = Path(__file__).parent
DRAWN = {"100 epochs": "784-20-15-10", "ten times wider, 100 epochs": "784-200-150-10"}
"""Rows of the benchmark's table, and what the picture calls them."""


def trained() -> dict[str, History]:
    """Train each network with seed 0; return what happened, by the picture's name."""
    (x, y), _ = load_mnist()
    found = {}
    for case in CASES:
        if case.name in DRAWN:
            model = case.model()
            found[DRAWN[case.name]] = model.fit(
                x.reshape(len(x), -1), y, BATCH, case.epochs, verbose=0, validation_split=HELD_OUT, seed=0
            )
    return found


def draw(histories: dict[str, History], path: Path) -> None:
    """Write the picture: training losses fall, validation losses turn."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lesson", "font.size": 10.0}):
        figure = Figure(figsize=(8.0, 3.4), layout="constrained")
        FigureCanvasSVG(figure)
        for axes, (name, history) in zip(figure.subplots(1, 2, sharey=True), histories.items(), strict=True):
            losses = history.history["val_loss"]
            epochs = np.arange(1, len(losses) + 1)
            best = int(np.argmin(losses))
            axes.plot(epochs, history.history["loss"], "--", color="0.45", label="54,000 rows to learn from")
            axes.plot(epochs, losses, color="#0b57a4", label="6,000 rows held out")
            axes.plot(best + 1, losses[best], "o", color="#0b57a4")
            axes.annotate(f"best: epoch {best + 1}", (best + 1, losses[best]), (best + 6, 0.6))
            axes.set(title=name, xlabel="epoch", yscale="log", ylim=(0.01, 1.0))
            axes.grid(alpha=0.3)
        figure.axes[0].set_ylabel("loss")
        figure.axes[0].legend(loc="lower left")
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    histories = trained()
    for name, history in histories.items():
        losses = history.history["val_loss"]
        at = {epoch: losses[epoch - 1] for epoch in (int(np.argmin(losses)) + 1, 50, 100)}
        print(name, ", ".join(f"epoch {epoch}: {loss:.3f}" for epoch, loss in at.items()))
    draw(histories, HERE / "lesson.svg")


if __name__ == "__main__":
    main()
