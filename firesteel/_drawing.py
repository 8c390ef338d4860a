"""Layout and SVG drawing of boxes with arrows between them.

A box's rank is the length of the longest path to it.  Within a rank, boxes are ordered by the mean position of
their parents.  An arrow that skips ranks passes between their boxes; one that closes a cycle goes around.
"""

import os
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from firesteel._files import named, path_of, replacing
from firesteel.errors import ConfigError

HEIGHT, BETWEEN, APART, LONGEST = 58, 36, 24, 44
"""Height of a box; gap between ranks; gap between boxes; longest line of text, in characters."""
LOOKS = {  # readable on light and dark backgrounds
    "input": "rx='29' fill='#e3f4e6' stroke='#3a7d44'",
    "output": "rx='29' fill='#fff1dc' stroke='#b9770e'",
    "layer": "rx='6' fill='#e8f0fe' stroke='#3b6fb6'",
    "frozen": "rx='6' fill='#eceff1' stroke='#78828c' stroke-dasharray='5 3'",
}
Key = tuple[str, int]
"""A box: its kind, one of `LOOKS`, and its number."""


class Picture(str):
    """An SVG picture as text; a notebook displays it."""

    def _repr_html_(self) -> str:
        return str(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file.

        Args:
            path: The file, ending in .svg.

        Raises:
            ConfigError: If the file does not end in .svg.
            StoreError: If the file cannot be written.
        """
        target = path_of(path)
        if target.suffix.lower() != ".svg":
            raise ConfigError(
                f"{target}: pictures of models are SVG: choose a name that ends in .svg; browsers show it, and "
                "Inkscape or rsvg-convert can turn it into a PNG",
                code="config-path",
            )
        with named(target), replacing(target) as file:
            file.write(self.encode())


def plot_model(model: Any, to_file: Any = "model.svg", show_shapes: bool = True) -> Any:
    """Draw a model as a diagram of its layers, and write it to a file.

    Args:
        model: The model.
        to_file: The file, ending in .svg; None writes none.
        show_shapes: Accepted for compatibility with Keras; shapes are always shown.

    Returns:
        The picture, as `model.plot` returns it.

    Raises:
        ConfigError: If the number of inputs is unknown, or the file does not end in .svg.
        StoreError: If the file cannot be written.

    Example:
        >>> from firesteel.layers import Dense
        >>> from firesteel.models import Sequential
        >>> plot_model(Sequential([Dense(2, input_dim=3)]), to_file=None).startswith("<svg")
        True
    """
    return model.plot(to_file)


def drawn(boxes: Mapping[Key, Sequence[str]], arrows: Sequence[tuple[Key, Key]], name: str) -> Picture:
    """Draw boxes of text and the arrows between them as SVG.

    Args:
        boxes: The lines of text of each box; the first one is its name.
        arrows: Pairs of boxes, start and end.
        name: Title of the picture.
    """
    above, parents = {key: set[Key]() for key in boxes}, {key: list[Key]() for key in boxes}
    for start, end in arrows:
        if start != end and end not in above[start]:
            parents[end].append(start)
            for key in [key for key in boxes if key == end or end in above[key]]:
                above[key] |= above[start] | {start}
    rank, until = dict[Key, int](), dict[Key, int]()
    for key in sorted(boxes, key=lambda one: len(above[one])):
        rank[key] = max([rank[one] + 1 for one in parents[key]], default=0)
        until |= {one: max(until.get(one, 0), rank[key]) for one in parents[key]}
    half = {key: 12 + 3.65 * max([_letters(_cut(line)) for line in lines]) for key, lines in boxes.items()}
    x, tops = _placed(parents, rank, until, half), [4 + at * (HEIGHT + BETWEEN) for at in range(len(boxes))]
    edges = [(at, half[key] if number == rank[key] else 1.0) for (key, number), at in x.items()]
    sides, shapes = [at + side * wide for at, wide in edges for side in (-1, 1)], list[str]()
    for start, end in arrows:
        here, there, low, top = x[start, rank[start]], x[end, rank[end]], tops[rank[start]] + HEIGHT, tops[rank[end]]
        if start in parents[end]:
            path, head = f"M{here:.1f} {low}", f"M{there - 4:.1f} {top - 7}l4 7 4-7"
            for at in range(rank[start] + 1, rank[end] + 1):
                to = x[(start, at) if at < rank[end] else (end, at)]
                path += f"C{here:.1f} {tops[at] - 12} {to:.1f} {tops[at] - 24} {to:.1f} {tops[at]}"
                path, here = path + f"v{HEIGHT}" * (at < rank[end]), to
        else:
            here, there = here + half[start], there + half[end]
            sides.append(max(here, there) + 40)
            path = (
                f"M{here:.1f} {low - 16}C{sides[-1]:.1f} {low - 16} {sides[-1]:.1f} {top + 16} {there:.1f} {top + 16}"
            )
            head = f"M{there + 7:.1f} {top + 12}l-7 4 7 4"
        shapes.append(
            f"<path d='{path}{head}'><title>{_safe(boxes[start][0])} → {_safe(boxes[end][0])}</title></path>"
        )
    for key, lines in boxes.items():
        middle, top = x[key, rank[key]], tops[rank[key]]
        look = LOOKS["frozen" if lines[1].endswith(", frozen") else key[0]]
        shapes.append(f"<g><title>{_safe(lines[0])}</title><rect x='{middle - half[key]:.1f}' y='{top}' ")
        shapes.append(f"width='{2 * half[key]:.1f}' height='{HEIGHT}' {look}/>")
        for at, line in enumerate(lines):
            style, down = "" if at else " font-weight='bold'", top + HEIGHT / 2 + 16 * at - 8 * len(lines) + 12
            shapes.append(
                f"<text x='{middle:.1f}' y='{down:g}' fill='#1b1f24' stroke='none'{style}>{_safe(_cut(line))}</text>"
            )
        shapes.append("</g>")
    corner, width, height = min(sides) - 4, max(sides) - min(sides) + 8, tops[max(rank.values())] + HEIGHT + 4
    return Picture(
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height}' viewBox='{corner:.0f} 0 "
        f"{width:.0f} {height}' role='img' aria-label='{_safe(name)}' font-family='ui-monospace,Consolas,monospace' "
        "font-size='12' text-anchor='middle' fill='none' stroke='#808a96' stroke-width='1.5'>"
        + "".join(shapes)
        + "</svg>"
    )


def _placed(
    parents: Mapping[Key, Sequence[Key]], rank: Mapping[Key, int], until: Mapping[Key, int], half: Mapping[Key, float]
) -> dict[tuple[Key, int], float]:
    """Place boxes in ranks: return the horizontal centre of each box, and of arrows in the ranks that they pass."""
    x = dict[tuple[Key, int], float]()
    for at in range(max(rank.values()) + 1):
        own = [key for key in rank if rank[key] == at]
        row = [(_mean([x[one, rank[one]] for one in parents[key]]), half[key], key) for key in own]
        row += [(x[key, at - 1], 0.0, key) for key in rank if rank[key] < at < until.get(key, 0)]
        row.sort(key=lambda one: (one[0], not one[1]))
        places = [row[0][0]]
        for (_, wide, _), (wish, other, _) in pairwise(row):
            places.append(max(wish, places[-1] + wide + APART + other))
        moved = _mean([wish - place for (wish, wide, _), place in zip(row, places, strict=True) if wide])
        x |= {(key, at): place + moved for (_, _, key), place in zip(row, places, strict=True)}
    return x


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / max(len(numbers), 1)


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _letters(line: str) -> int:
    """Return the width of a line in characters; East Asian ones count twice."""
    return sum(1 + (letter > "\u2e7f") for letter in line)


def _safe(line: str) -> str:
    """Escape text for XML, and replace unprintable characters."""
    return escape("".join(letter if letter.isprintable() else "�" for letter in line))
