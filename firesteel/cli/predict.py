"""`firesteel predict`: a file of predictions, one a row and in their order; on Spark, columns of the rows.

Classes go by their names, with what the network gives each of them; numbers are themselves.
"""

import io
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray
from rich.console import Console

from firesteel.cli.config import EngineSettings
from firesteel.cli.parts import Framed, read
from firesteel.cli.rows import TABLES, FileRows, parquet
from firesteel.cli.sessions import session_of
from firesteel.cli.trained import Trained, trained
from firesteel.core.losses import Loss
from firesteel.core.metrics import middle
from firesteel.datasets import write_csv
from firesteel.datasets.files import must_not_exist, written
from firesteel.errors import ConfigError, without_secrets
from firesteel.train.source import check_width

Predictions = dict[str, NDArray[Any]]


def predict(
    model: Path,
    /,
    *,
    data: str | None = None,
    out: Annotated[str, Parameter(show_default=False)],
    format: str | None = None,
    features: str | None = None,
    engine: Literal["local", "spark"] = "local",
    master: str = "local[2]",
) -> None:
    """Write what a model predicts for each row.

    In process the file has one line for each row, in their order.  On Spark rows have no order, so it is a folder of
    files with the rows' own columns and the predictions.

    Parameters
    ----------
    model
        A model's file, or a run folder.
    data
        A set, of which the test part is taken, or a file of rows, with or without labels; the run's own test part if
        not given.
    out
        Where the predictions go: .csv or .parquet, and in process .npy, for the network's outputs as they are.  What
        is there already is never overwritten.
    format
        csv, idx, libsvm, numpy, parquet or text, where the ending of the data's file does not say it.
    features
        Columns to predict from, with commas between; as in the run if not given.
    engine
        Where to compute: in this process, or on Spark.
    master
        Spark master, with --engine spark.
    """
    known = trained(model)
    writers = ON_SPARK if engine == "spark" else WRITERS
    if Path(out).suffix not in writers:
        raise ConfigError(f"--out {out}: the ending must be one of {', '.join(writers)}", code="config-out")
    wanted = known.ask(data, format, None, features, labelled=False)
    if engine == "spark" and wanted.format not in FRAMES:
        raise ConfigError(
            f"{wanted.path}: rows of this format are read in process: leave --engine spark out", code="config-engine"
        )
    if "://" not in out:
        must_not_exist(Path(out))
    with ExitStack() as stack:
        spark = stack.enter_context(session_of(EngineSettings(engine, master), Console(stderr=True), False))
        rows = read(wanted, spark, stack)
        count = _on_spark(known, rows, out) if isinstance(rows, Framed) else _here(known, rows, Path(out))
    print(f"{without_secrets(out)}  {count:,} rows", flush=True)


def _here(known: Trained, rows: FileRows, out: Path) -> int:
    check_width(rows.x.shape[1], known.model.network.inputs, rows.source)
    outputs = known.model.predict(rows.x)
    WRITERS[out.suffix](out, known, outputs)
    return len(outputs)


def columns_of(known: Trained, outputs: NDArray[Any]) -> Predictions:
    """Return predictions as columns: the class or the numbers, and what the network gives each class."""
    if known.kind == "regression":
        if outputs.shape[1] == 1:
            return {"prediction": outputs[:, 0]}
        return {f"prediction_{name}": outputs[:, number] for number, name in enumerate(known.classes)}
    loss, names = known.loss, np.array(known.classes)
    if known.kind == "multilabel":
        chosen = {f"prediction_{name}": outputs[:, n] > middle(loss) for n, name in enumerate(names)}
    elif outputs.shape[1] == 1:
        chosen, names = {"prediction": names[(outputs[:, 0] > middle(loss)).astype(np.intp)]}, names[1:]
    else:
        chosen = {"prediction": names[outputs.argmax(axis=1)]}
    return chosen | {f"{_word(loss)}_{name}": outputs[:, n] for n, name in enumerate(names)}


def _word(loss: Loss) -> str:
    """Return what the outputs are: probabilities, or scores of no scale."""
    probable = loss.natural in ("softmax", "sigmoid") and not getattr(loss, "from_logits", False)
    return "probability" if probable else "score"


def _csv(out: Path, known: Trained, outputs: NDArray[Any]) -> None:
    write_csv(out, columns_of(known, outputs))


def _parquet(out: Path, known: Trained, outputs: NDArray[Any]) -> None:
    parquet().write_parquet(out, columns_of(known, outputs))


def _npy(out: Path, known: Trained, outputs: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.save(content, outputs)  # into a file it would write without saying why it cannot
    with written(out) as file:
        file.write(content.getbuffer())


WRITERS: dict[str, Callable[[Path, Trained, NDArray[Any]], None]] = {".csv": _csv, ".npy": _npy, ".parquet": _parquet}
ON_SPARK = (".csv", ".parquet")
FRAMES = (*TABLES, "libsvm")


def _on_spark(known: Trained, rows: Framed, out: str) -> int:
    """Write the rows with their predictions; return how many there are."""
    from firesteel.spark.files import count_sound, named_predictions, write_files

    features = rows.columns[0] if rows.names is None else list(rows.columns)
    count = count_sound(rows.frame, features, known.model.network.inputs, rows.source)
    made = known.model.predict(rows.frame, features=features)
    outputs, edge = known.model.network.outputs, middle(known.loss)
    frame = named_predictions(made, known.kind, known.classes, edge, outputs, _word(known.loss))
    write_files(frame, out, Path(out).suffix.removeprefix("."))
    return count
