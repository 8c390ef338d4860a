"""Plot the cost and the accuracy of a training: `python generate_plots.py COST_FILE ACC_FILE OUT_DIR`.

The files are OUTPUT/cost_history/part-00000 and OUTPUT/accuracy_history/part-00000 of main_task.py, with one number
per line and epoch.  The plots are OUT_DIR/cost_history.png and OUT_DIR/accuracy_history.png; with None for ACC_FILE,
only the first.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from firesteel.errors import DataError

COLOURS = {"cost": "#b5443a", "accuracy": "#2a6f97"}


def read(path: Path) -> list[float]:
    """Return the numbers in a file, one per line.  Raises DataError."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}", code="data-file") from error
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(float(line))
        except ValueError:
            raise DataError(
                f"{path}, line {number}: {line[:40]!r} is not a number.  To do: name a file with one number per line",
                code="data-number",
            ) from None
    if not values:
        raise DataError(f"{path}: the file is empty; name the part-00000 of a history", code="data-empty")
    return values


def draw(what: str, values: Sequence[float]) -> bytes:
    """Return a PNG plot of one value per epoch."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    place = figure.add_subplot()
    epochs = range(1, len(values) + 1)
    place.plot(
        epochs, values, color=COLOURS[what], linewidth=2, marker="o" if len(values) < 30 else None, markersize=4
    )
    place.set(title=f"{what.capitalize()} per epoch", xlabel="epoch", ylabel=what)
    place.annotate(
        f"{values[-1]:.4f}", (len(values), values[-1]), xytext=(0, 8), textcoords="offset points", ha="right"
    )
    place.grid(alpha=0.3)
    place.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 success, 2 usage, 3 data."""
    parser = argparse.ArgumentParser(prog="generate_plots.py", description="Plot the history of a training.")
    parser.add_argument("cost", metavar="COST_FILE", type=Path)
    parser.add_argument("accuracy", metavar="ACC_FILE", type=Path, help="or None")
    parser.add_argument("folder", metavar="OUT_DIR", type=Path)
    given = parser.parse_args(argv)
    wanted = {"cost": given.cost} | ({} if str(given.accuracy) == "None" else {"accuracy": given.accuracy})
    try:
        for what, values in {what: read(path) for what, path in wanted.items()}.items():
            path = given.folder / f"{what}_history.png"
            path.write_bytes(draw(what, values))
            print(path)
    except DataError as error:
        print(f"generate_plots.py: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"generate_plots.py: {error.filename} cannot be written: {error.strerror}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
