"""Commands that use a trained model: `firesteel evaluate`, `predict`, `inspect`, and `report` for its run folder.

Columns and class names come from the run folder that contains the model.  Predicted classes are written by name,
with the network's output for each class; predicted numbers as they are.
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

from firesteel import _store as store
from firesteel.cli.common import Json, print_json, session_of
from firesteel.cli.config import EngineSettings
from firesteel.cli.network import Trained, scoring, trained
from firesteel.cli.parts import Framed, labels, part, read
from firesteel.cli.rows import TABLES, FileRows, parquet
from firesteel.cli.words import count, of_columns
from firesteel.core.loss import Loss, middle
from firesteel.datasets import write_csv
from firesteel.datasets.files import must_not_exist, written
from firesteel.errors import ConfigError, without_secrets
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
    """Compute a model's loss and metrics over all rows.

    Args:
        model: A model file or a run folder.
        data: A data set, whose test part is used, or a file of rows (default: the test part of the run).
        format: File format if the extension does not show it: csv, idx, libsvm, numpy, parquet or text.
        label: Column of labels (default: as in the run).  For IDX, .npy and text, the file with the labels.
        features: Input columns, separated by commas (default: as in the run).
        weight: Column of row weights (default: as in the run).
        engine: Where to compute: in this process or on Spark.
        master: Spark master for --engine spark.
        as_json: Print one line of JSON.
    """
    known = scoring(model)
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


# Predict


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
    """Write a model's prediction for each row.

    In process the output file has one line per row, in order.  On Spark, where rows have no order, the output is a
    folder of files with the columns of the rows and the predictions.

    Args:
        model: A model file or a run folder.
        data: A data set, whose test part is used, or a file of rows, with or without labels (default: the test part
            of the run).
        out: Output file: .csv or .parquet; in process also .npy, for the raw network outputs.  Existing files are
            never overwritten.
        format: File format of the data if the extension does not show it: csv, idx, libsvm, numpy, parquet or text.
        features: Input columns, separated by commas (default: as in the run).
        engine: Where to compute: in this process or on Spark.
        master: Spark master for --engine spark.
    """
    known = scoring(model)
    writers = ON_SPARK if engine == "spark" else WRITERS
    if Path(out).suffix not in writers:
        raise ConfigError(f"--out {out}: the extension must be one of {', '.join(writers)}", code="config-out")
    wanted = known.ask(data, format, None, features, labelled=False)
    if engine == "spark" and (wanted.format not in FRAMES or wanted.schema is not None):
        what = "rows of this format are" if wanted.schema is None else "columns of a table are"
        raise ConfigError(
            f"{wanted.path}: {what} read in this process, not by Spark: leave out --engine spark",
            code="config-engine",
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
    """Convert outputs to named columns: the predicted class or numbers, and the output for each class."""
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
    """Return the name of the output columns: "probability", or "score" if they are not probabilities."""
    probable = loss.natural in ("softmax", "sigmoid") and not getattr(loss, "from_logits", False)
    return "probability" if probable else "score"


def _csv(out: Path, known: Trained, outputs: NDArray[Any]) -> None:
    write_csv(out, columns_of(known, outputs))


def _parquet(out: Path, known: Trained, outputs: NDArray[Any]) -> None:
    parquet().write_parquet(out, columns_of(known, outputs))


def _npy(out: Path, known: Trained, outputs: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.save(content, outputs)  # writing to the file directly would hide the reason of an error
    with written(out) as file:
        file.write(content.getbuffer())


WRITERS: dict[str, Callable[[Path, Trained, NDArray[Any]], None]] = {".csv": _csv, ".npy": _npy, ".parquet": _parquet}
ON_SPARK = (".csv", ".parquet")
FRAMES = (*TABLES, "libsvm")


def _on_spark(known: Trained, rows: Framed, out: str) -> int:
    """Score rows on Spark and write them with their predictions; return the number of rows."""
    from firesteel.spark.files import count_sound, named_predictions, write_files

    features = rows.columns[0] if rows.names is None else list(rows.columns)
    count = count_sound(rows.frame, features, known.model.network.inputs, rows.source)
    made = known.model.predict(rows.frame, features=features)
    outputs, edge = known.model.network.outputs, middle(known.loss)
    frame = named_predictions(made, known.kind, known.classes, edge, outputs, _word(known.loss))
    write_files(frame, out, Path(out).suffix.removeprefix("."))
    return count


# Inspect and report


def inspect(model: Path, /, *, as_json: Json = False) -> None:
    """Show a model: layers, parameters, compile settings, checksum and fingerprint.

    Args:
        model: A model file or a run folder.
        as_json: Print one line of JSON.
    """
    known = trained(model)
    data = store.read(known.path)
    network, _, header, _ = store.from_bytes(data, str(known.path))
    compiled = known.model.get_compile_config()
    facts = {
        "file": without_secrets(str(known.path)),
        "bytes": len(data),
        "format": header["format"],
        "dtype": network.dtype,
        "inputs": network.inputs,
        "outputs": network.outputs,
        "parameters": network.layout.size,
        "compiled": compiled,
        "class_names": None if known.names is None else list(known.names),
        "columns": None if known.model.schema is None else of_columns(known.model.schema),
        "checksum": header["sha256"],
        "fingerprint": known.model.fingerprint(),
    }
    if as_json:
        print_json(facts | {"layers": [layer.to_config() for layer in network.layers]})
        return
    known.model.summary()
    print(f"file        {facts['file']}, {len(data):,} bytes, format {header['format']}, {network.dtype}")
    if compiled is None:
        print("compiled    no")
    else:
        for name in ("optimizer", "loss", "metrics"):
            print(f"{name:<12}{_shown(compiled[name])}")
    if known.names is not None:
        print(f"classes     {', '.join(known.names)}")
    if facts["columns"] is not None:
        print(f"columns     {facts['columns']}")
    print(f"checksum    {header['sha256']}")
    print(f"fingerprint {facts['fingerprint']}")


def _shown(value: Any) -> str:
    """Describe a layer or setting in one line.

    >>> _shown({"type": "SGD", "learning_rate": 0.1, "weight_decay": None})
    'SGD(learning_rate=0.1)'
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={_shown(v)}" for k, v in value.items() if k != "type" and v not in (None, ()))
        return f"{value['type']}({inner})" if "type" in value else inner
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value[:4]) + (", ..." if len(value) > 4 else "")
    return str(value)


def report(run: Path, /) -> None:
    """Redraw report.html from the other files in a run folder; also works while the run is in progress.

    Args:
        run: The run folder.
    """
    from firesteel.report.page import render

    page = render(run)
    path = run / "report.html"
    store.write(path, page.encode())
    print(f"{without_secrets(str(path))}  {len(page.encode()):,} bytes")
