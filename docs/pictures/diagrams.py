"""Draws the diagrams of docs/concepts as SVG: `python docs/pictures/diagrams.py`."""

from pathlib import Path

BOX = "#ffe8d6"
LINE = "#e4572e"
GREY = "#808080"
FONT = 'font-family="system-ui, sans-serif" font-size="14"'


def box(x, y, lines, wide=150, high=52):
    """Return a box with lines of text in its middle."""
    first = y + high / 2 + 5 - 9 * (len(lines) - 1)
    texts = "".join(
        f'<text x="{x + wide / 2}" y="{first + 18 * at}" text-anchor="middle" fill="#222">{line}</text>'
        for at, line in enumerate(lines)
    )
    shape = f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="8" fill="{BOX}" stroke="{LINE}"/>'
    return shape + texts


def arrow(points, text="", at=None):
    """Return a line with a head through points, and a text at a place."""
    path = "M" + " L".join(f"{x} {y}" for x, y in points)
    label = f'<text x="{at[0]}" y="{at[1]}" text-anchor="middle" fill="{GREY}">{text}</text>' if text else ""
    return f'<path d="{path}" fill="none" stroke="{GREY}" stroke-width="1.5" marker-end="url(#head)"/>{label}'


def drawing(wide, high, title, *parts):
    """Return an SVG."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" {FONT} role="img">'
        f"<title>{title}</title>"
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        f'orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z" fill="{GREY}"/></marker></defs>'
    )
    return head + "\n" + "\n".join(parts) + "\n</svg>\n"


FIT = drawing(
    800,
    250,
    "A fit: the table is validated, packed into cached blocks, and trained on in rounds",
    box(10, 40, ["table"], 90),
    arrow([(100, 66), (170, 66)], "validate", (135, 30)),
    box(170, 40, ["every row checked,", "counted"]),
    arrow([(320, 66), (390, 66)], "pack", (355, 30)),
    box(390, 40, ["blocks, cached,", "one partition a shard"], 170),
    arrow([(560, 66), (630, 66)], "train", (595, 30)),
    box(630, 40, ["one partial result", "a shard"], 160),
    arrow([(710, 92), (710, 170)], "add in a fixed order", (630, 135)),
    box(630, 170, ["driver: weights,", "history, callbacks"], 160),
    arrow([(630, 205), (475, 205), (475, 92)], "weights of the next round", (470, 228)),
    arrow([(630, 185), (325, 185)]),
    box(170, 160, ["model"], 155, 50),
    arrow([(170, 185), (100, 185)], "transform", (135, 150)),
    box(10, 160, ["scored", "table"], 90, 50),
)
SHARDS = drawing(
    800,
    200,
    "Rows become blocks by a hash of their values; blocks are divided among shards, whose weights are averaged",
    box(10, 70, ["rows, in any order,", "in any partitions"], 160),
    arrow([(170, 96), (250, 96)], "hash of values", (212, 60)),
    box(250, 70, ["blocks 0, 1, 2, 3, ..."], 150),
    arrow([(400, 86), (450, 46)]),
    arrow([(400, 106), (450, 146)]),
    box(450, 20, ["shard 0: blocks 0, 2, ..."], 170),
    box(450, 120, ["shard 1: blocks 1, 3, ..."], 170),
    arrow([(620, 46), (670, 86)]),
    arrow([(620, 146), (670, 106)]),
    box(670, 70, ["mean weights"], 120),
)


if __name__ == "__main__":
    folder = Path(__file__).parent
    (folder / "fit.svg").write_text(FIT)
    (folder / "shards.svg").write_text(SHARDS)
