"""`firesteel evaluate`: a model's loss and metrics over rows, in process or on Spark.

The columns and classes are those of the run that made the model, where it lies in its run folder.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from rich.console import Console

from firesteel.cli.config import EngineSettings
from firesteel.cli.options import Json, print_json
from firesteel.cli.parts import labels, part, read
from firesteel.cli.rows import FileRows
from firesteel.cli.sessions import session_of
from firesteel.cli.trained import trained
from firesteel.cli.words import count
from firesteel.errors import without_secrets
from firesteel.train.source import check_width


def evaluate(
    model: Path,
    /,
    *,
    data: str | None = None,
    format: str | None = None,
    label: str | None = None,
    features: str | None = None,
    weight: str | None = None,
    engine: Literal["local", "spark"] = "local",
    master: str = "local[2]",
    as_json: Json = False,
) -> None:
    """Score a model on rows: its loss and metrics, exact over all of them.

    Parameters
    ----------
    model
        A model's file, or a run folder.
    data
        A set, of which the test part is taken, or a file of rows; the run's own test part if not given.
    format
        csv, idx, libsvm, numpy, parquet or text, where the ending of the file does not say it.
    label
        The column of labels, as in the run if not given; for IDX, .npy and text the file of the labels.
    features
        Columns to predict from, with commas between; as in the run if not given.
    weight
        A column that says what each row weighs; as in the run if not given.
    engine
        Where to compute: in this process, or on Spark.
    master
        Spark master, with --engine spark.
    as_json
        Print one line of JSON.
    """
    known = trained(model)
    wanted = known.ask(data, format, label, features, weight)
    console = Console(stderr=as_json)
    with ExitStack() as stack:
        spark = stack.enter_context(session_of(EngineSettings(engine, master), console, as_json))
        rows = read(wanted, spark, stack)
        if isinstance(rows, FileRows):
            check_width(rows.x.shape[1], known.model.network.inputs, rows.source)
        scored = part(rows, known.task(labels(rows)), spark)
        size = count(scored.x)
        scores = known.model.evaluate(**scored.arguments, verbose=0, return_dict=True)
    if as_json:
        print_json({"rows": size} | scores)
        return
    console.print(f"{size:,} rows of {without_secrets(rows.source)}", highlight=False, markup=False)
    console.print("  ".join(f"{name} {value:.4f}" for name, value in scores.items()), highlight=False, soft_wrap=True)
