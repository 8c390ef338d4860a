"""The report on saved scores: means with standard errors for each table, gaps to the best tree, log-loss and
seconds."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks.tables.data import SET_ASIDE, TABLES
from benchmarks.tables.peers import TREES
from benchmarks.tables.scores import METRICS, behind, gap, mean_and_error

Record = dict[str, Any]
BASELINES = ("linear", "constant")


class Results:
    """Records by model and table, each a dict of splits."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.runs: dict[tuple[str, str], dict[str, Record]] = {}
        self.failed: list[Record] = []
        for record in records:
            if "failed" in record:
                self.failed.append(record)
            else:
                self.runs.setdefault((record["model"], record["table"]), {})[record["split"]] = record
        found = {model for model, _ in self.runs}
        first = [*sorted(name for name in found if name.startswith("firesteel")), *TREES, *BASELINES]
        self.models = [*(name for name in first if name in found), *sorted(found - set(first))]
        self.tables = [name for name in TABLES if any(table == name for _, table in self.runs)]

    def values(self, model: str, table: str, what: str) -> dict[str, float]:
        """Return one figure of a model for each split that has it."""
        runs = self.runs.get((model, table), {})
        return {split: record[what] for split, record in sorted(runs.items()) if what in record}

    def metric(self, table: str) -> str:
        """Return the name of a table's metric."""
        known = {
            name for (_, other), runs in self.runs.items() if other == table for run in runs.values() for name in run
        }
        return next(metric for metric in METRICS.values() if metric in known)

    def best(self, table: str, splits: Iterable[str]) -> tuple[str, float]:
        """Return the best tree by its mean over these splits, and that mean.  Trees without a split are ignored."""
        metric, splits = self.metric(table), list(splits)
        means = {}
        for tree in TREES:
            values = self.values(tree, table, metric)
            if splits and all(split in values for split in splits):
                means[tree] = statistics.fmean(values[split] for split in splits)
        if not means:
            return "", math.nan
        chosen = (min if metric == "rmse" else max)(means, key=means.__getitem__)
        return chosen, means[chosen]

    def gap(self, model: str, table: str) -> float:
        """Return how many percent a model's mean is worse than the best tree's on the same splits."""
        metric, values = self.metric(table), self.values(model, table, self.metric(table))
        if not values:
            return math.nan
        return gap(metric, statistics.fmean(values.values()), self.best(table, values)[1])

    def behind(self, model: str) -> list[str]:
        """Return where a model is worse than a baseline by more than a standard error, and by which metric."""
        found = []
        for table in self.tables:
            for what in (self.metric(table), "log_loss"):
                values = self.values(model, table, what)
                for other in BASELINES:
                    if other != model and behind(what, values, self.values(other, table, what)):
                        found.append(f"{table} ({what}, {other})")
        return found


def number(value: float) -> str:
    """Return a number with four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"


def spread(values: dict[str, float]) -> str:
    """Return the mean and its standard error, with the number of splits if it is not three."""
    if not values:
        return "–"
    mean, error = mean_and_error(list(values.values()))
    shown = number(mean) if math.isnan(error) else f"{number(mean)} ± {number(error)}"
    return shown if len(values) == 3 else f"{shown} ({len(values)})"


def percent(value: float) -> str:
    """Return a gap as text."""
    return "–" if math.isnan(value) else f"{value:+.1f}"


def grid(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


def report(records: Iterable[Record]) -> Iterator[str]:
    """Yield the lines of the report in Markdown."""
    results = Results(records)
    models, tables = results.models, results.tables

    def each(cell: Callable[[str, str], str], names: list[str]) -> list[list[str]]:
        return [[_name(table), *(cell(model, table) for model in models)] for table in names]

    yield "Mean over splits ± standard error; (n): of n splits instead of three; *: a table that is set aside.\n"
    rows = each(lambda model, table: spread(results.values(model, table, results.metric(table))), tables)
    yield from grid(
        ["table", "metric", *models], [[r[0], results.metric(t), *r[1:]] for t, r in zip(tables, rows, strict=True)]
    )
    yield "Percent worse than the best tree with default settings on the same splits (negative is better):\n"
    gaps = {model: [results.gap(model, table) for table in tables] for model in models}
    rows = each(lambda model, table: percent(results.gap(model, table)), tables)
    rows = [[r[0], results.best(t, _most(results, t))[0] or "–", *r[1:]] for t, r in zip(tables, rows, strict=True)]
    for name, summary in (("**median**", statistics.median), ("**mean**", statistics.fmean)):
        rows.append([name, "", *(_summary(gaps[model], summary) for model in models)])
    rows.append(["**within 1 %**", "", *(_within(gaps[model]) for model in models)])
    yield from grid(["table", "best tree", *models], rows)
    classes = [table for table in tables if results.metric(table) != "rmse"]
    yield "Log-loss:\n"
    yield from grid(["table", *models], each(lambda m, t: spread(results.values(m, t, "log_loss")), classes))
    yield "Seconds of a fit with its predictions, and in brackets processor time without the JVM's (means)."
    yield "Other work on the machine increases the first, but hardly the second:\n"
    yield from grid(["table", *models], each(lambda m, t: _seconds(results, m, t), tables))
    yield "Worse than a baseline by more than a standard error of the difference:\n"
    for model in models:
        yield f"- {model}: {', '.join(results.behind(model)) or 'nowhere'}"
    if results.failed:
        yield "\nWithout a score:\n"
        for record in results.failed:
            last = record["failed"].strip().splitlines()[-1]
            yield f"- {record['model']}, {record['table']}, split {record['split']}: {last}"
    yield f"\n{_threads(results)}"


def _name(table: str) -> str:
    return f"{table}*" if table in SET_ASIDE else table


def _most(results: Results, table: str) -> list[str]:
    return max((list(results.values(tree, table, results.metric(table))) for tree in TREES), key=len)


def _summary(gaps: list[float], summary: Callable[[list[float]], float]) -> str:
    known = [value for value in gaps if not math.isnan(value)]
    if not known:
        return "–"
    return percent(summary(known)) + (f" ({len(known)})" if len(known) < len(gaps) else "")


def _within(gaps: list[float]) -> str:
    known = [value for value in gaps if not math.isnan(value)]
    return f"{sum(value <= 1 for value in known)} of {len(known)}"


def _seconds(results: Results, model: str, table: str) -> str:
    wall, worked = (results.values(model, table, what) for what in ("seconds", "processor_seconds"))
    if not wall:
        return "–"
    return f"{statistics.fmean(wall.values()):.1f} ({statistics.fmean(worked.values()):.1f})"


def _threads(results: Results) -> str:
    found: dict[int, set[str]] = {}
    packages: set[str] = set()
    for (model, _), runs in results.runs.items():
        for record in runs.values():
            found.setdefault(record["threads"], set()).add(model)
            packages |= {f"{name} {version}" for name, version in record["versions"].items()}
    shown = "; ".join(f"{count}: {', '.join(sorted(models))}" for count, models in sorted(found.items()))
    return f"Threads: {shown}.  Versions: {', '.join(sorted(packages))}."
