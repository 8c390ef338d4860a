"""`firesteel train` and `firesteel demo`: one network on one data set, in process or on Spark, with the same bits.

The command gathers settings, from a file, the environment and its options; `training.py` does the work.  Where the
settings name a run folder, `firesteel.report.RunFolder` writes it, and progress is kept there too.
"""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from firesteel.callbacks import BackupAndRestore, Callback
from firesteel.cli.common import (
    STARTING,
    Count,
    Flags,
    Json,
    Seed,
    Switch,
    flags,
    print_json,
    session_of,
    spark_session,
)
from firesteel.cli.config import Config, ModelSettings, RunSettings, TrainingSettings, resolve, to_tables, to_toml
from firesteel.cli.progress import Beginning, EachRow, epochs_shown, is_live, waiting
from firesteel.cli.training import OPEN, Result, TrainingPlan, planned, settled
from firesteel.cli.words import as_text, described, of_columns
from firesteel.datasets.sets import SETS
from firesteel.errors import ConfigError, SparkSetupError, without_secrets

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


NO_SETTINGS = ("file", "resume", "dry_run", "print_config", "as_json")
"""What the command takes that is no setting of a training."""


def train(
    file: Path | None = None,
    /,
    *,
    data: str | None = None,
    test: str | None = None,
    format: str | None = None,
    label: str | None = None,
    test_label: str | None = None,
    features: str | None = None,
    weight: str | None = None,
    ignore_cols: str | None = None,
    column_kinds: str | None = None,
    time_zone: str | None = None,
    hidden: str | None = None,
    activation: str | None = None,
    dropout: float | None = None,
    scale: str | None = None,
    epochs: Count | None = None,
    batch_size: Count | None = None,
    learning_rate: float | None = None,
    optimizer: str | None = None,
    loss: str | None = None,
    metrics: str | None = None,
    validation_split: str | None = None,
    class_weight: str | None = None,
    strategy: str | None = None,
    shards: Count | None = None,
    members: Count | None = None,
    seed: Seed | None = None,
    engine: Literal["local", "spark"] | None = None,
    master: str | None = None,
    run: str | None = None,
    resume: Path | None = None,
    dry_run: Switch = False,
    print_config: Switch = False,
    as_json: Json = False,
) -> None:
    """Train a network on a data set or on a file of rows, and score it on the test part.

    The last line is the fingerprint of the network: the SHA-256 of its architecture and weights.  The same settings
    give the same fingerprint, and with the same --shards so do both engines.  Options go before environment
    variables such as FIRESTEEL_TRAINING_EPOCHS, those before FILE, and FILE before the defaults.

    Where columns of CSV or Parquet hold text, dates or gaps, the file is a table: all columns are taken as they
    are, and what is not given depends on the number of rows; the defaults below are those of numbers alone.

    Parameters
    ----------
    file
        A TOML file with the sections data, model, training, engine and run; --print-config shows one.
    data
        A set (digits, which is the default and comes with the package, fashion-mnist or mnist), or a file of rows:
        Parquet, CSV with a header, LIBSVM, IDX, .npy, .npz, or text of numbers.
    test
        A file of rows to score on; a set has its own.
    format
        csv, idx, libsvm, numpy, parquet or text, where the ending of the file does not say it.
    label
        The column to predict ("label" if there is one), or several with commas between; for IDX, .npy and text the
        file of the labels.
    test_label
        The file of the test rows' labels, for IDX, .npy and text.
    features
        Columns to predict from, with commas between; all others if not given.
    weight
        A column that says what each row weighs.
    ignore_cols
        Columns that are no features, with commas between.
    column_kinds
        Columns of numbers that are names, such as zip=category,shop=category.
    time_zone
        Where moments have their hours and days, such as Europe/Zurich (UTC).
    hidden
        Units of the hidden layers, such as 64,32 (64); "" for none.
    activation
        Of the hidden layers, such as gelu or tanh (relu).
    dropout
        The share of hidden units to drop in training.
    scale
        What inputs are multiplied by, or "standard": brought to mean 0 and variance 1.  For a set 1 over full ink;
        for other files standard, and then numbers to predict are as well; 1 leaves them as they are.
    epochs
        Passes over the training rows (10).
    batch_size
        Rows a step, in each shard (32).
    learning_rate
        Size of a step; the optimizer's own if not given.
    optimizer
        Such as rmsprop or sgd (adam).
    loss
        If not given, from the label: text, true/false and whole numbers of few values are classes; others are not.
    metrics
        What to measure besides the loss, with commas between.
    validation_split
        The share of the training rows to hold out, drawn by their values; "auto", which is the default, holds 10 %
        out of 500 rows or more, ends after 5 epochs without a better validation loss, and keeps the best epoch.
    class_weight
        "balanced", to let rare classes weigh more.
    strategy
        "average" or "gradient".
    shards
        Parts that train apart and are averaged; if not given, 1 in process, and on Spark from the number of rows.
    members
        How many networks are trained on a table, each without another part of the rows, which ends its training;
        their outputs are averaged.  If not given, 8 below 2,000 rows, 4 below 20,000, else 1; 1 with a validation
        split.
    seed
        The root of everything random (0).
    engine
        Where to train: local, in this process (the default), or spark.
    master
        Spark master, with --engine spark (local[2]).
    run
        A folder for what the training leaves behind: the model, its history, its report, and these settings.  While
        it trains, its progress too; the same command goes on from there.
    resume
        The folder of a run that was interrupted: go on with its settings, to the same bits as if it had not been.
    dry_run
        Read the rows, show what would be trained, and train nothing.
    print_config
        Print the settings as TOML, and do nothing.
    as_json
        Print JSON lines: each epoch's row, then the result.  Text for people goes to stderr.
    """
    given = flags(**{name: value for name, value in locals().items() if name not in NO_SETTINGS})
    if resume is not None:
        file, given["--run"] = _resumed(resume, file), ("run.folder", str(resume))
    config = _settings(file, given)
    if print_config:
        print(to_toml(settled(config), OPEN if config.data.train not in SETS else ()), end="")
        return
    console = Console(stderr=as_json)
    with ExitStack() as stack:
        spark = stack.enter_context(session_of(config.engine, console, as_json))
        plan = stack.enter_context(planned(config, spark))
        if dry_run:
            facts = without_secrets(described(plan))
            print(json.dumps(facts) if as_json else as_text(facts))
            return
        shown = is_live(console) and not as_json
        keep = run_folder(plan)
        epochs, members = plan.config.training.epochs, plan.members
        show = stack.enter_context(epochs_shown(epochs, console, live=shown, members=members))
        try:
            begin = Beginning(console, without_secrets(_decided(plan)), plan.members)
            result = plan.run([*([EachRow(print_json)] if as_json else []), show, *keep, begin])
        except KeyboardInterrupt:
            hint = f"go on with: firesteel train --resume {config.run.folder}"
            raise KeyboardInterrupt(*([hint] if keep else [])) from None
    print_result(result, console)
    if as_json:
        scores = {f"held_{name}": value for name, value in (result.held or {}).items()}
        scores |= {f"test_{name}": value for name, value in (result.test or {}).items()}
        print_json(scores | {"fingerprint": result.fingerprint, "seconds": result.seconds})


def _decided(plan: TrainingPlan) -> str:
    """Return what was decided of the rows, a line for the labels and one for a table's columns; of a set nothing."""
    columns = [] if plan.model.schema is None else [of_columns(plan.model.schema)]
    return "" if plan.config.data.train in SETS else "\n".join([plan.task.decision, *columns])


def _settings(file: Path | None, given: Flags) -> Config:
    if file is not None and str(file) in SETS:
        raise ConfigError(f"{file} is a data set, and there goes a TOML file: use --data {file}", code="config-file")
    config = resolve(file, given)
    folder = config.run.folder
    if file is None or folder is None or given["--run"][1] is not None:
        return config
    repeats = file.parent.resolve() == Path(folder).resolve() and file.with_name("metrics.json").exists()
    return replace(config, run=RunSettings()) if repeats else config  # a run that is repeated stays as it was


def _resumed(folder: Path, file: Path | None) -> Path:
    """Return the settings of a run that was interrupted; raise ConfigError where there is none."""
    if file is not None:
        raise ConfigError(
            f"--resume {folder} goes on with that run's own settings: leave {file} out", code="config-resume"
        )
    settings = folder / "config.toml"
    if not settings.is_file():
        raise ConfigError(f"{folder} holds no run: it has no config.toml", code="config-resume")
    from firesteel.report.folder import is_finished

    if is_finished(folder):
        raise ConfigError(f"{folder} holds a finished run: there is nothing to go on with", code="config-resume")
    return settings


def print_result(result: Result, console: Console) -> None:
    """Print the scores and, as the last line, the fingerprint."""
    for part, scores in (("held out", result.held), ("test", result.test)):
        if scores is None:
            continue
        first, *others = [name for name in scores if name != "loss"] or ["loss"]
        words = [f"{part} {first} [bold green]{scores[first]:.4f}[/]"]
        words += [f"{name} {scores[name]:.4f}" for name in others]
        words += [f"loss {scores['loss']:.4f}"] if first != "loss" else []
        console.print("  ".join(words), highlight=False, soft_wrap=True)
    console.print(f"fingerprint {result.fingerprint}", highlight=False, soft_wrap=True)


# The run folder


def run_folder(plan: TrainingPlan) -> list[Callback]:
    """Return the callbacks that keep the run and its progress, or none where the settings name no folder."""
    config = plan.config
    if config.run.folder is None:
        return []
    from firesteel.report import RunFolder
    from firesteel.report.settings import layers_of

    test: Any = None
    if plan.test is not None:
        test = plan.test.x if plan.test.columns is not None else (plan.test.x, plan.test.y)
    tables = to_tables(config)
    known: dict[str, Any] = {name: tables[name] for name in ("data", "engine", "run")}
    if config.training.validation_split or plan.members > 1:
        known["training"] = {"validation_split": config.training.validation_split}
    if plan.stopping:  # which "auto" says already
        known["training"]["callbacks"] = tables["training"].get("callbacks")
    if plan.model.schema is not None:
        known.setdefault("training", {})["members"] = plan.members
    if plan.members > 1:  # each adapts to rows of its own
        known["model"] = {"layers": layers_of(plan.model)}
        known["training"] |= {"loss": (plan.model.get_compile_config() or {})["loss"]}
    targets = config.data.label if plan.columns is not None and plan.task.kind == "regression" else None
    return [
        RunFolder(
            config.run.folder,
            test,
            class_names=config.data.class_names or targets,
            feature_names=plan.names,
            picture=config.data.picture,
            config=known,
        ),
        BackupAndRestore(config.run.folder),
    ]


# The demo


DEMO = Config(
    model=ModelSettings(hidden=(256,)),
    training=TrainingSettings(learning_rate=0.003, epochs=20, batch_size=16, shards=2, validation_split=0.0),
)
CANNOT_RUN = ("spark-missing", "spark-java")

INTRODUCTION = """\
A small network learns to read 1,438 handwritten digits; 359 others test it.
It is trained twice from the same settings: in this process, then on Spark."""

NEXT = """\
  firesteel train --data mnist --epochs 12   60,000 larger digits, fetched once
  from firesteel.models import Sequential    your own network, in Keras's words
  from firesteel.spark import NeuralNetworkClassifier     for Spark ML Pipelines
The README has a short example of each."""


def demo() -> int:
    """Train the same small network in this process and on Spark, and compare the two to the last bit.

    Needs no network; takes about half a minute.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print(INTRODUCTION)
    with ExitStack() as stack:
        console.print("\nIn this process", style="bold")
        here = _trained(console, None)
        console.print("\nOn Spark", style="bold")
        try:
            with waiting(STARTING, console, live=is_live(console)):
                spark = stack.enter_context(spark_session("local[2]"))
        except SparkSetupError as error:
            if error.code not in CANNOT_RUN:
                raise
            console.print(str(error).removesuffix(f" [{error.code}]"), style="yellow", markup=False)
            code = 0
        else:
            code = _compared(console, here, _trained(console, spark))
    console.print("\nWhat to try next", style="bold")
    console.print(NEXT)
    return code


def _trained(console: Console, spark: "SparkSession | None") -> Result:
    with epochs_shown(DEMO.training.epochs, console, live=is_live(console), every=10) as show:
        with planned(DEMO, spark) as plan:
            result = plan.run([show])
    print_result(result, console)
    return result


def _compared(console: Console, here: Result, there: Result) -> int:
    if here.fingerprint == there.fingerprint:
        console.print("\nThe fingerprints are equal: both computed the same weights, to the last bit.", style="green")
        return 0
    console.print("\nThe fingerprints differ: the two trainings did not compute the same weights.", style="bold red")
    return 1
