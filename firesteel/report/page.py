"""The report page of a run, rendered from the files of its folder alone, so that it can be redrawn at any time.

The page is a single file without scripts or external references.  `page.html.j2` is its template, `charts.py` draws,
`verdict.py` writes the summary.  Whatever a run does not have is left out.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined, UndefinedError
from markupsafe import Markup

from firesteel._files import open_plain, path_of
from firesteel._store import damaged
from firesteel.core.types import Array
from firesteel.errors import StoreError, without_secrets
from firesteel.report import charts
from firesteel.report.folder import FORMAT
from firesteel.report.verdict import share, time_split, verdict
from firesteel.tables.importance import decimals
from firesteel.train.history import UNMEASURED

UPRIGHT, BRIEF = 4, 18
"""Lengths of a class name above which a matrix writes it vertically, and shortens it."""
TABLE, LISTED, PAIRS, MEASURES = 20, 30, 10, 5
"""Greatest numbers of classes of a matrix shown as a table, of classes and outputs listed, of pairs of classes
listed, and of measures drawn as curves."""
SHOWN = ("class", "output", "confidence", "made", "image", "remade", "heat")
"""Fields of a mistake that the page reads; absent ones are None."""
STATES = ("training", "finished", "diverged", "interrupted")


def render(folder: str | Path) -> str:
    """Return the HTML page of a run folder, from its metrics.json, history.jsonl, config.toml and env.json.

    Only metrics.json is required.  While the run's status is "training" the page reloads itself every 5 s and shows
    the time of metrics.json, because a killed run cannot record its end.

    Args:
        folder: The run folder.

    Raises:
        StoreError: If a file cannot be read, is damaged or has another format version; the message names the file.
    """
    folder = path_of(folder, "folder")
    path = folder / "metrics.json"
    metrics = without_secrets(_object(path))
    if metrics.get("format") != FORMAT or metrics.get("status") not in STATES:
        raise StoreError(
            f"{path} has format {metrics.get('format')!r} and status {metrics.get('status')!r}: this firesteel reads "
            f"format {FORMAT}, with a status of {', '.join(STATES)}",
            code="store-format",
        )
    history = _history(folder / "history.jsonl", metrics["status"] == "training")
    config = without_secrets(_text(folder / "config.toml")) if (folder / "config.toml").exists() else None
    env = _flat(_object(folder / "env.json")) if (folder / "env.json").exists() else []
    try:
        return _template().render(
            name=without_secrets(folder.resolve().name),
            written=f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S}",
            sentences=verdict(metrics, history),
            done=len(history),
            curves=_curves(metrics, history),
            time=_time(metrics, history),
            scores=_scores(metrics),
            members=_members(metrics),
            m=metrics,
            e=None if metrics.get("evidence") is None else _shown(metrics["evidence"], metrics.get("picture")),
            config=config,
            env=env,
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, UndefinedError) as error:
        raise damaged(f"{path} or history.jsonl", f"{type(error).__name__}, {error}") from None


# Files


def _text(path: Path) -> str:
    """Return the text of a file.  Links are ignored, so that a report cannot expose files outside its folder."""
    if path.is_symlink():
        raise StoreError(f"{path} is a link: copy the file itself into the run folder", code="store-link")
    try:
        with open_plain(path) as file:
            return file.read().decode("utf-8-sig")
    except OSError as error:
        hint = ": is this a run folder?" if isinstance(error, FileNotFoundError | NotADirectoryError) else ""
        raise StoreError(f"{path} cannot be read: {error.strerror}{hint}", code="store-read") from None
    except UnicodeDecodeError as error:
        raise damaged(str(path), f"it is not UTF-8 at byte {error.start}") from None


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    try:
        value = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise damaged(str(path), f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise damaged(str(path), "it is not a JSON object")
    return value


def _history(path: Path, growing: bool) -> list[dict[str, Any]]:
    """Return the epochs in a history file; during training, ignore a last line that is incomplete."""
    if not path.exists():
        return []
    lines = _text(path).split("\n")
    if growing:
        lines = lines[:-1]
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            whole = isinstance(row, dict) and isinstance(row["epoch"], int) and not isinstance(row["epoch"], bool)
        except (json.JSONDecodeError, KeyError, RecursionError):
            whole = False
        if not whole:
            what = f"line {number} of {len(lines):,} is not the JSON of an epoch: {line[:40]!r}"
            raise damaged(str(path), what)
        rows.append(row)
    return rows


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Flatten nested settings to pairs of a dotted name and a text."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{before}{key}.")
        elif value is not None:
            pairs.append((f"{before}{key}", value if isinstance(value, str) else json.dumps(value)))
    return pairs


# Formatting


def _percent(value: float | None) -> str:
    return "–" if value is None else share(value)


def _number(value: Any) -> str:
    """Return a number with four digits, integers with commas.

    >>> _number(1438), _number(0.03125), _number(1.5e-7), _number(None)
    ('1,438', '0.03125', '1.5e−07', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    whole = isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15)
    text = f"{value:,.0f}" if whole else f"{value:,.1f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"
    return text.replace("-", "−")


def _seconds(value: float | None) -> str:
    """Return a duration as text.

    >>> _seconds(0.0123), _seconds(75.0), _seconds(7300.0)
    ('0.012 s', '1 min 15 s', '2 h 1 min')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value < 60:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _brief(name: str) -> str:
    """Shorten a long name by replacing its middle with an ellipsis.

    >>> _brief("a name with a number 17"), _brief("short")
    ('a name wi…umber 17', 'short')
    """
    return name if len(name) <= BRIEF else f"{name[: BRIEF // 2]}…{name[1 - BRIEF // 2 :]}"


@functools.cache
def _template() -> Any:
    shapes = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    shapes.filters.update(
        percent=_percent, number=_number, seconds=_seconds, brief=_brief, input=_input, rise=_rise, along=_along
    )
    shapes.globals.update(chart=_chart)
    return shapes.from_string((files("firesteel.report") / "page.html.j2").read_text("utf-8"))


# Parts


def _chart(kind: str, name: str, *given: Any) -> Markup:
    return Markup(getattr(charts, kind)(name, *given))  # charts contain no text from users


def _scalar(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return _scalar(value) and math.isfinite(value)


def _scores(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table of metrics, with a row each for training, validation and test rows."""
    scores = {name: row for name, row in (metrics.get("scores") or {}).items() if row}
    columns = list(dict.fromkeys(key for row in scores.values() for key, value in row.items() if _scalar(value)))
    columns = [name for name in columns if name != "rows"]
    rows = {name: [row.get(column) for column in columns] for name, row in scores.items()}
    return {"columns": columns, "rows": rows} if columns else None


def _members(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table of an ensemble's members; None for a single network."""
    members = sorted(metrics.get("members") or [], key=lambda one: one["member"])
    found = _scores({"scores": {one["member"] + 1: one.get("scores") for one in members}})
    return (
        None
        if found is None
        else {"columns": found["columns"], "rows": [(one, found["rows"].get(one["member"] + 1)) for one in members]}
    )


def _curves(metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the charts over the epochs: the loss, other measures, and the learning rate if it changed."""
    if not history:
        return []
    several, epochs = "member" in history[-1], [row["epoch"] for row in history]
    known = (*UNMEASURED, "member")
    names = list(dict.fromkeys(name.removeprefix("val_") for row in history for name in row if name not in known))
    if len({row.get("learning_rate") for row in history}) == 1:
        names = [name for name in names if name != "learning_rate"]
    best = metrics.get("best_epoch")
    if best is None and not several:
        validated = [row for row in history if _finite(row.get("val_loss"))]
        best = min(validated, key=lambda row: row["val_loss"])["epoch"] if len(validated) > 1 else None
    found: list[dict[str, Any]] = []
    for name in sorted(names, key=lambda name: (name != "loss", name == "learning_rate")):
        training, validation = ([row.get(before + name) for row in history] for before in ("", "val_"))
        if not any(map(_finite, (*training, *validation))) or len(found) > MEASURES:
            continue
        falls = name in ("loss", "learning_rate")
        chart = _chart("curves", f"curve{len(found)}", epochs, training, validation, best, falls)
        found.append({"name": name.replace("_", " "), "svg": chart})
    return found


def _time(metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Divide the seconds of all epochs into computing, waiting, and work in engine and driver."""
    timed = [row for row in history if "seconds" in row]
    seconds = time_split(timed, max(1, metrics.get("shards") or 1))
    if (total := sum(seconds)) <= 0:
        return None
    return {"seconds": seconds, "total": total, "rate": sum(row.get("rows", 0) for row in timed) / total}


def _shown(e: Mapping[str, Any], picture: Any) -> dict[str, Any]:
    """Add tables, charts and images to the evidence for the page; None for those that do not apply."""
    classes, found = e.get("per_class") or [], dict(e)
    weakest = sorted(classes, key=lambda row: (row["f1"] is None, row["f1"]))[:LISTED]
    found["weakest"] = weakest if len(classes) > LISTED else classes
    found["matrix"] = _confusion(e) if e.get("confusion") else None
    found["numbers"] = [
        output | {"drawn": _residuals(number, output)}
        for number, output in enumerate((e.get("outputs") or [])[:LISTED])
    ]
    seen = found["pictures"] = _seen(e["pictures"]) if e.get("pictures") else None
    draw = (
        functools.partial(_mistake, picture=picture)
        if seen is None
        else functools.partial(_picture_mistake, seen=seen)
    )
    found["mistakes"] = [draw(mistake) for mistake in e["mistakes"]]
    inputs = e["importance"]["inputs"]
    picture = e["importance"].get("grid", picture)
    drops = np.array([item["drop"] for item in inputs], float)
    whole = picture is not None and len(drops) == math.prod(picture)
    found["most"] = most = max([0.0, *(item["drop"] + (0 if whole else item.get("error", 0)) for item in inputs)])
    found["map"] = charts.png(drops.reshape(picture), "heat", 0, most) if whole else None
    found["weights"] = []
    if picture and e.get("first_layer"):
        units = np.array(e["first_layer"])
        found["strongest"] = strongest = max(1e-12, np.abs(units).max())
        found["weights"] = [charts.png(unit.reshape(picture), "signed", -strongest, strongest) for unit in units]
    return found


def _confusion(e: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare the confusion matrix: counts and shares, or for many classes an image and the commonest mistakes."""
    counts, names = np.array(e["confusion"], float), [row["class"] for row in e["per_class"]]
    rows = np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    shares = counts / rows
    if len(names) <= TABLE:
        cells = [list(zip(e["confusion"][k], shares[k].tolist(), strict=True)) for k in range(len(names))]
        long = max(map(len, names)) > UPRIGHT
        table = list(zip(names, cells, strict=True))
        return {"names": names, "rows": table, "image": None, "upright": long, "wide": long or len(names) > 10}
    off = counts * (1 - np.eye(len(names)))
    order = [divmod(int(at), len(names)) for at in np.argsort(-off, axis=None, kind="stable")[:PAIRS]]
    pairs = [(names[i], names[k], counts[i, k], shares[i, k]) for i, k in order if off[i, k] > 0]
    return {"names": names, "image": charts.png(np.sqrt(shares), "heat", 0, 1), "pairs": pairs}


def _residuals(number: int, output: Mapping[str, Any]) -> list[Markup]:
    """Return the two charts of a regression output: predicted over true values, and the residuals."""
    points = [pair for pair in output.get("points") or [] if None not in pair]
    found = [_chart("predicted", f"points{number}", points)] if points else []
    if (histogram := output.get("histogram")) and histogram["counts"]:
        found.append(_chart("residuals", f"residuals{number}", histogram["edges"], histogram["counts"]))
    return found


def _mistake(mistake: dict[str, Any], picture: Sequence[int] | None) -> dict[str, Any]:
    """Add images to a mistake if the inputs are pixels: the input, and the output if it is a picture too."""
    shown: dict[str, Any] = dict.fromkeys(SHOWN) | mistake
    if picture:
        pixels = np.array(shown["input"], float).reshape(picture)
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
        shown["image"] = charts.png(pixels, "grey", low, high)
        if shown["made"]:
            shown["remade"] = charts.png(np.array(shown["made"], float).reshape(picture), "grey", low, high)
    return shown


def _picture_mistake(mistake: dict[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a mistake its picture and its saliency map, for a network that takes pictures."""
    shown: dict[str, Any] = dict.fromkeys(SHOWN) | mistake
    pixels, draw = _array(shown["input"], seen["shape"]), seen["draw"]
    shown["image"] = draw(pixels)
    if shown["made"]:
        shown["remade"] = draw(_array(shown["made"], seen["shape"]))
    else:
        shown["heat"] = draw(pixels, _array(shown["looked"], pixels.shape[:2]))
    return shown


def _seen(pictures: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the first filters and their feature maps to images.

    The maps of one filter share a scale, so that examples can be compared.
    """
    low, high = pictures["range"]

    def draw(pixels: Array, heat: Array | None = None) -> str:
        return charts.photo(pixels, low, high, heat)

    found: dict[str, Any] = {"filters": None, **pictures, "draw": draw}
    if found["filters"]:
        filters = _array(found["filters"], (-1, *found["kernel"]))
        found["strongest"] = most = max(1e-12, np.abs(filters).max())
        grey = filters.shape[3] == 1
        found["filters"] = [
            charts.png(one[..., 0], "signed", -most, most) if grey else charts.photo(one, -most, most)
            for one in filters
        ]
        maps = _array(found["maps"], (-1, len(filters), *found["map"]))
        ends = np.stack([maps.min(axis=(0, 2, 3)), maps.max(axis=(0, 2, 3))], axis=1).tolist()
        each = zip(found["names"] or [None] * len(maps), found["examples"], maps, strict=True)
        found["rows"] = [
            (
                name,
                found["draw"](_array(pixels, found["shape"])),
                [charts.png(one, "grey", *of) for one, of in zip(row, ends, strict=True)],
            )
            for name, pixels, row in each
        ]
    return found


def _array(values: Any, shape: Sequence[int]) -> Array:
    """Convert nested lists to an array of a shape, with 0 in place of values that are not finite."""
    return np.nan_to_num(np.array(values, float)).reshape(shape)


def _input(item: Mapping[str, Any]) -> str:
    return item.get("name") or f"input {item['index']}"


def _rise(item: Mapping[str, Any], most: float) -> Markup:
    """Return the table cells of an importance: a bar, its standard error as a line if known, and the number."""
    drop, error = item["drop"], item.get("error", 0.0)
    low, value, high = (
        min(max(part / most if most else 0.0, 0.0), 1.0) for part in (drop - error, drop, drop + error)
    )
    digits = decimals(most)
    text = f"{drop:,.{digits}f}" + (f" ± {error:,.{digits}f}" if "error" in item else "")
    kind = "bar error" if "error" in item else "bar"
    style = f"--v:{value:.3f};--low:{low:.3f};--high:{high:.3f};width:60%"
    return Markup('<td class="{}" style="{}"></td><td>{}</td>').format(kind, style, text.replace("-", "−"))


def _along(point: Mapping[str, Any], points: Sequence[Mapping[str, Any]], chance: bool) -> str:
    """Return the bar length, 0 to 1, of a mean prediction: a probability itself, or a number scaled to 0..1."""
    value = point["prediction"]
    if not chance:
        each = [one["prediction"] for one in points]
        low, high = min(each), max(each)
        value = (value - low) / (high - low) if high > low else 0.5
    return f"{value:.3f}"
