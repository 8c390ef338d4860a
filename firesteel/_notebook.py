"""HTML for notebooks: a titled box, a table, and line charts.

The HTML is self-contained, without scripts or fixed text colours, so that it suits light and dark themes.
Functions take strings and numbers only; models, histories and fitted stages call them in `_repr_html_`.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 360, 96, 6
"""Size and margin of the chart, in pixels."""
POINTS = 200
"""Largest number of points of a line."""
STROKES = ('stroke="currentColor"', 'stroke="#d9730d" stroke-dasharray="5 3"')
"""Training is a solid line and validation a dashed one, so that they differ without colour too."""


def box(title: str, *parts: str) -> str:
    """Return HTML of several parts in a box under a title."""
    inside = "".join(parts)
    return f'<div style="display:inline-block;line-height:1.4"><div><b>{escape(title)}</b></div>{inside}</div>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """Return a table of text with an optional note below.  Every column except the first is right-aligned.

    >>> table(["layer"], [["<Dense>"]]).count("&lt;Dense&gt;")
    1
    """

    def line(cells: Sequence[str], kind: str) -> str:
        style = {True: "text-align:left", False: "text-align:right;padding-left:1.2em"}
        made = (f'<{kind} style="{style[not at]}">{escape(cell)}</{kind}>' for at, cell in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    head = f"<thead>{line(header, 'th')}</thead>" if header else ""
    body = "".join(line(row, "td") for row in rows)
    under = f'<div style="opacity:.75">{escape(note)}</div>' if note else ""
    return f'<table style="margin:4px 0">{head}<tbody>{body}</tbody></table>{under}'


def curves(lines: Mapping[str, Sequence[float]], marked: int | None = None) -> str:
    """Draw one or two lines over the epochs as SVG, with their range as text; empty without finite values.

    Args:
        lines: The values per epoch, by name.
        marked: Index of the epoch to mark, from 0.
    """
    finite = [value for values in lines.values() for value in values if math.isfinite(value)]
    last = max(map(len, lines.values()), default=0) - 1
    if not finite or last < 1:
        return ""
    low, high = min(finite), max(finite)

    def place(at: int, value: float) -> tuple[float, float]:
        y = (high - value) / (high - low) if high > low else 0.5
        return MARGIN + at / last * (WIDTH - 2 * MARGIN), MARGIN + y * (HEIGHT - 2 * MARGIN)

    drawn, legend = [], []
    for (name, values), stroke in zip(lines.items(), STROKES, strict=False):
        step = max(1, -(-len(values) // POINTS))
        kept = sorted({*range(0, len(values), step), len(values) - 1})
        points = [place(at, values[at]) for at in kept if math.isfinite(values[at])]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke-width="1.5" {stroke}/>')
        if marked is not None and math.isfinite(values[marked]):
            x, y = place(marked, values[marked])
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="none" {stroke}/>')
        sample = f'<svg width="24" height="8"><path d="M0 4h24" fill="none" stroke-width="1.5" {stroke}/></svg>'
        legend.append(f"{sample} {escape(name)}")
    words = f"from {number(low)} to {number(high)}" + (", best epoch marked" if marked is not None else "")
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(" and ".join(lines))} by epoch, {words}" style="display:block">{"".join(drawn)}</svg>'
        f'<div style="opacity:.75">{"&ensp;".join(legend)}&ensp;{words}</div>'
    )


def number(value: float) -> str:
    """Format a number with four significant digits.

    >>> number(0.123456), number(31234.5), number(3)
    ('0.1235', '3.123e+04', '3')
    """
    return f"{value:.4g}"
