"""Score every model on every split of the tables in FOLDER that has no score yet, and print all scores."""

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

from benchmarks.tables.data import TABLES
from benchmarks.tables.models import MODELS
from benchmarks.tables.results import report
from benchmarks.tables.runs import CHOOSE, SPLITS, finished, kept, perform, plan, records

RESULTS = Path(__file__).parents[1] / "RESULTS-TABLES.md"


def names(known: tuple[str, ...]) -> Any:
    """Return a parser of comma-separated names."""

    def read(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the known names are {', '.join(known)}")
        return found

    return read


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(prog="python -m benchmarks tables", description=__doc__)
    made.add_argument("folder", type=Path, help="the folder that `python -m benchmarks.tables.prepare FOLDER` wrote")
    usual = [name for name, model in MODELS.items() if not model.start]
    known = ", ".join(MODELS)
    made.add_argument("--models", type=names(tuple(MODELS)), help=f"some of {known} (all except Spark's)")
    made.add_argument("--tables", type=names(TABLES), default=TABLES, help=f"some of {', '.join(TABLES)} (all)")
    made.add_argument("--splits", type=names(("0", "1", "2")), default=["0", "1", "2"], help="some of 0,1,2 (all)")
    made.add_argument("--spark", action="store_true", help="also Spark's models")
    made.add_argument(
        "--choose", action="store_true", help="use validation rows from the first split's training part"
    )
    made.add_argument("--confirm", action="store_true", help="also score firesteel on the tables that are set aside")
    made.add_argument("--again", action="store_true", help="repeat runs that have a score")
    made.add_argument("--threads", type=int, default=2, help="threads of each model (2)")
    made.add_argument("--limit", type=float, default=1800, help="seconds after which a model is stopped (1800)")
    made.add_argument("--write", action="store_true", help="save the output in RESULTS-TABLES.md")
    made.set_defaults(usual=usual)
    return made


def main(words: list[str]) -> None:
    """Run the command.

    Args:
        words: the arguments after `python -m benchmarks tables`.
    """
    given = parser().parse_args(words)
    models = given.models or (list(MODELS) if given.spark else given.usual)
    for name in models:
        if missing := MODELS[name].missing():
            print(f"{name} is omitted: {', '.join(missing)} is not installed", file=sys.stderr)
    models = [name for name in models if not MODELS[name].missing()]
    wanted = {f"choose-{name}" if given.choose else name for name in given.splits}
    for run in plan(models, given.tables, given.choose, given.confirm):
        if run[2] not in wanted or (finished(kept(given.folder, run), given.limit) and not given.again):
            continue
        record = perform(given.folder, run, given.threads, given.limit)
        shown = record.get("failed", "").strip().splitlines()[-1:] or [_scores(record)]
        print(f"{' '.join(run)}: {shown[0]}", file=sys.stderr, flush=True)
    splits = CHOOSE if given.choose else SPLITS
    text = "\n".join(report(record for record in records(given.folder) if record["split"] in splits))
    print(text)
    if given.write:
        head = "# Mixed tables: every model at its library's defaults"
        about = f"Output of `python -m benchmarks tables FOLDER --write` on {datetime.date.today()}."
        RESULTS.write_text(f"{head}\n\n{about}\n\n{text}\n", encoding="utf-8")


def _scores(record: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.5g}" for name, value in record.items() if isinstance(value, float))
