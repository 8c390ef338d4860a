"""Charts for the page: line charts as inline SVG in the page's colours, and small images as inline PNG.

matplotlib draws in marker colours that become CSS variables of the page, so that charts follow light and dark themes.
Lines differ in dash and marker, not only in colour, and carry their names.  The same numbers give the same bytes.
Text from users never enters a chart; `page.py` puts it into the page around it.
"""

import base64
import io
import math
import re
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from matplotlib import rc_params_from_file, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from firesteel.core.types import Array

with as_file(files("firesteel.report") / "chart.mplstyle") as path:
    LOOK: Any = rc_params_from_file(path, use_default_template=False)
INK, FAINT, FIRST, SECOND = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "--ink", FAINT: "--faint", FIRST: "--first", SECOND: "--second"}
"""The page's CSS variables for the colours here and in `chart.mplstyle`."""
WIDTH, HEIGHT = 4.4, 2.9
"""Size in inches; small, so that text stays readable on a narrow page."""
STYLES = {"training": "o-", "validation": "s--"}
MARKED = 24
"""Greatest number of points on a line with markers."""
APART = 0.1
"""Least distance between two names, as a share of the height."""
DIM, TINY = 0.5, 1e-12
"""Brightness of a picture under a heat map; and the least divisor."""
LOG = 20.0
"""Ratio of the largest to the smallest loss above which a log scale is used."""

RAMPS = {
    "grey": ((0, 0, 0), (255, 255, 255)),
    "heat": ((13, 17, 48), (122, 40, 90), (226, 104, 40), (255, 232, 140)),
    "signed": ((16, 42, 92), (98, 126, 168), (128, 128, 128), (214, 148, 92), (255, 226, 178)),
}
"""Colours from the least value to the greatest; each ramp grows lighter, so that it works in grey print too."""


def _drawn(name: str, text: str, draw: Callable[[Axes], None]) -> str:
    """Call a drawing function on new axes and return the chart as inline SVG; name and text as in `_inline`."""
    file = io.StringIO()
    with style.context(LOOK, after_reset=True):  # ignore the user's matplotlib settings
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(file.getvalue(), name, text)


def _inline(svg: str, name: str, text: str) -> str:
    """Adapt an SVG for embedding in a page: give it unique ids, and the page's colours and font.

    Args:
        svg: The SVG.
        name: A unique prefix for its ids.
        text: The text alternative.
    """
    body = svg[svg.index("<svg") :]
    view = re.search(r'viewBox="[^"]*"', body)
    assert view is not None
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', body))
    kept = {one or other for one, other in used}
    body = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in kept else "", body)
    body = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    body = re.sub(r"font(-family)?: ([^;\"']*?)(?:'[^']*',? ?)+[^;\"]*", _letters, body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r' transform="rotate\(-0 [^"]*"|<defs>\s*</defs>', "", body)
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", tag[0]), body)
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    return f'<svg {view[0]} role="img" aria-label="{text}">\n{body}'


def _letters(found: re.Match[str]) -> str:
    """Remove the font family from a CSS font declaration, because the page sets it."""
    return f"font: {found[2]}var(--letters)" if found[1] is None else "font-family: var(--letters)"


# Lines


def curves(
    name: str,
    epochs: Sequence[int],
    training: Sequence[float | None],
    validation: Sequence[float | None],
    best: int | None,
    loss: bool,
) -> str:
    """Return a line chart of one metric over the epochs, for training rows and, if any, validation rows.

    Args:
        name: Unique name of the chart.
        epochs: Epoch indices from 0; several trainings follow one another, in fainter lines.
        training: Values of training rows.
        validation: Values of validation rows.
        best: The epoch to mark.
        loss: Whether a log scale may be used.
    """
    ends = np.flatnonzero(np.diff(epochs) <= 0) + 1
    at = np.insert(np.array(epochs, float) + 1, ends, math.nan)
    named = (("training", FIRST, training), ("validation", SECOND, validation))
    lines = [(label, colour, np.insert(_floats(values), ends, math.nan)) for label, colour, values in named]
    lines = [line for line in lines if np.isfinite(line[-1]).any()]
    text = f"Line chart over {len(epochs)} epochs" + (f" of {len(ends) + 1} trainings: " if len(ends) else ": ")
    text += "; ".join(f"{line[0]} ends at {line[-1][np.isfinite(line[-1])][-1]:.4g}" for line in lines)
    alpha = 0.5 if len(ends) else None

    def draw(axes: Axes) -> None:
        for label, colour, y in lines:
            style = STYLES[label] if len(at) <= MARKED else STYLES[label][1:]
            axes.plot(at, y, style, color=colour, alpha=alpha)
        values = np.concatenate([line[-1] for line in lines])
        values = values[np.isfinite(values)]
        if loss and values.min() > 0 and values.max() > LOG * values.min():
            axes.set(yscale="log", ylabel="log scale")
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        if best is not None and epochs[0] <= best <= epochs[-1]:
            axes.axvline(best + 1, color=INK, linestyle=":", linewidth=1.2)
            left, falling = best + 1 > (at[0] + at[-1]) / 2, values[0] >= values[-1]
            axes.annotate(
                f"best: {best + 1}",
                (best + 1, 1 if falling else 0),
                xycoords=("data", "axes fraction"),
                xytext=(-4 if left else 4, -2 if falling else 3),
                textcoords="offset points",
                ha="right" if left else "left",
                va="top" if falling else "bottom",
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
        axes.set_xlabel("epoch")
        _named(axes, np.nanmax(at), lines)

    return _drawn(name, text, draw)


def _named(axes: Axes, end: float, lines: Sequence[tuple[str, str, Array]]) -> None:
    """Write each line's name at the right end of the line, moved apart where names would overlap."""
    axes.get_ylim()  # computes the limits
    places = []
    for _, _, y in lines:
        at = axes.transData.transform((end, y[np.isfinite(y)][-1]))
        places.append(min(max(float(axes.transAxes.inverted().transform(at)[1]), 0.0), 1.0))
    if len(places) == 2 and abs(places[1] - places[0]) < APART:
        middle = min(max(sum(places) / 2, APART / 2), 1 - APART / 2)
        up = APART / 2 if places[0] > places[1] else -APART / 2
        places = [middle + up, middle - up]
    for place, (label, colour, _) in zip(places, lines, strict=True):
        style: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
        axes.annotate(label, (1, place), xytext=(4, 0), color=colour, **style)


def _floats(values: Sequence[float | None]) -> Array:
    return np.array([value if isinstance(value, int | float) else math.nan for value in values], float)


# Points


def calibration(name: str, confidence: Sequence[float], accuracy: Sequence[float], rows: Sequence[float]) -> str:
    """Return the calibration curve: accuracy over confidence; larger points stand for more rows."""
    points = "; ".join(f"{a:.2f} correct at {c:.2f}" for c, a in zip(confidence, accuracy, strict=True))

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1.2)
        axes.plot(confidence, accuracy, color=FIRST)
        share = np.sqrt(np.array(rows, float) / max(rows))
        for c, a, size in zip(confidence, accuracy, share, strict=True):
            axes.plot([c], [a], color=FIRST, marker="o", markersize=3 + 7 * float(size), linestyle="")
        axes.set(xlim=(0, 1.03), ylim=(0, 1.05), xlabel="predicted probability", ylabel="accuracy")

    return _drawn(name, f"Calibration curve: {points}", draw)


def predicted(name: str, points: Sequence[tuple[float, float]]) -> str:
    """Return a scatter plot of predicted over true values."""
    xy = np.array(points, float)

    def draw(axes: Axes) -> None:
        low, high = float(xy.min()), float(xy.max())
        edge = 0.03 * (high - low) or 1.0
        axes.plot([low, high], [low, high], color=INK, linestyle=":", linewidth=1.2)
        stops = np.repeat(xy, 2, axis=0)
        codes = [Path.MOVETO, Path.LINETO] * len(xy)
        dots = Path(stops, codes)
        axes.add_patch(PathPatch(dots, fill=False, edgecolor=FIRST, linewidth=3, alpha=0.5, capstyle="round"))
        limits = (low - edge, high + edge)
        axes.set(xlim=limits, ylim=limits, xlabel="true", ylabel="predicted")

    return _drawn(name, f"Predicted over true values, {len(xy):,} rows; they are equal on the dotted line", draw)


# Bars


def residuals(name: str, edges: Sequence[float], counts: Sequence[float]) -> str:
    """Return a histogram of residuals, from the edges of its bins and the count of each bin."""

    def draw(axes: Axes) -> None:
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", facecolor="none", edgecolor=FIRST, hatch="////")
        axes.axvline(0, color=INK, linestyle=":", linewidth=1.2)
        axes.grid(axis="x", visible=False)
        axes.set(xlabel="predicted minus true", ylabel="rows")

    return _drawn(name, f"Histogram of predicted minus true values, from {edges[0]:.4g} to {edges[-1]:.4g}", draw)


def bars(name: str, values: Sequence[float], what: str, unit: str) -> str:
    """Return a bar chart of values that are numbered from 0, such as one per unit.

    Args:
        name: Unique name of the chart.
        values: The values.
        what: Name of one thing.
        unit: Unit of the values.
    """
    least, most = min(values), max(values)

    def draw(axes: Axes) -> None:
        axes.bar(range(len(values)), values, facecolor="none", edgecolor=FIRST, hatch="////")
        axes.grid(axis="x", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        axes.set(xlabel=what, ylabel=unit)

    return _drawn(name, f"Bar chart, {len(values)} bars from {least:.3g} to {most:.3g} {unit}", draw)


# Images


def png(values: Array, ramp: str, low: float, high: float) -> str:
    """Return an image, (h, w), as a data URI with one pixel per value, coloured from `low` to `high`.

    >>> png(np.array([[0.0, 1.0]]), "grey", 0.0, 1.0)[:26]
    'data:image/png;base64,iVBO'
    """
    return _saved(np.nan_to_num(values.astype(float), nan=low), vmin=low, vmax=high, cmap=_colours(ramp))


def photo(pixels: Array, low: float, high: float, heat: Array | None = None) -> str:
    """Return a picture, (h, w, 1) or (h, w, 3), as a data URI, scaled from `low` to `high`, grey or RGB.

    Args:
        pixels: The picture.
        low: The value of black.
        high: The value of full brightness.
        heat: A heat map, (h, w), at least 0, drawn over a dark grey copy of the picture.
    """
    shown = np.clip((pixels - low) / max(high - low, TINY), 0, 1)
    rgb = np.broadcast_to(shown, (*shown.shape[:2], 3))
    if heat is not None:
        share = np.sqrt(heat / max(heat.max(), TINY))
        grey = DIM * rgb.mean(axis=2, keepdims=True)
        rgb = grey + share[..., None] * (_colours("heat")(share)[..., :3] - grey)
    return _saved(np.round(255 * rgb).astype(np.uint8))


def _colours(ramp: str) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list(ramp, np.array(RAMPS[ramp]) / 255)


def _saved(pixels: Array, **how: Any) -> str:
    file = io.BytesIO()
    imsave(file, pixels, format="png", metadata={"Software": "firesteel"}, **how)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
