"""`firesteel train` and `firesteel demo`: train one network on one data set, in process or on Spark.

`train` collects settings from a file, the environment and options; `training.py` does the work.  If the settings name
a run folder, `firesteel.report.RunFolder` writes it and progress is saved there.
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
"""Parameters of the command that are not training settings."""


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
    """Train a network on a data set or a file of rows, and evaluate it on the test part.

    The last line of output is the fingerprint: a SHA-256 of the architecture and the weights.  The same settings
    always give the same fingerprint; with the same --shards, so do both engines.  Options override environment
    variables (such as FIRESTEEL_TRAINING_EPOCHS), which override FILE, which overrides the defaults.

    A CSV or Parquet file with text, dates or missing values is a table: columns are used as they are, and defaults
    depend on the number of rows.  The defaults below are those for purely numeric data.

    Args:
        file: A TOML file with the sections data, model, training, engine and run; --print-config shows one.
        data: A data set (digits, fashion-mnist or mnist; default: digits, which is built in) or a file of rows:
            Parquet, CSV with a header, LIBSVM, IDX, .npy, .npz, or text with numbers.
        test: A file of test rows.  Data sets have their own.
        format: File format if the extension does not show it: csv, idx, libsvm, numpy, parquet or text.
        label: Column to predict, or several separated by commas (default: label).  For IDX, .npy and text, the file
            with the labels.
        test_label: For IDX, .npy and text, the file with the labels of the test rows.
        features: Input columns, separated by commas (default: all other columns).
        weight: Column of row weights.
        ignore_cols: Columns to ignore, separated by commas.
        column_kinds: Numeric columns that are categories, such as zip=category,shop=category.
        time_zone: Time zone of the hours and days of timestamps, such as Europe/Zurich (default: UTC).
        hidden: Units of the hidden layers, such as 64,32 (default: 64); "" for none.
        activation: Activation of the hidden layers, such as gelu or tanh (default: relu).
        dropout: Dropout rate of the hidden layers, in [0, 1).
        scale: Factor for the inputs, or "standard" for mean 0 and variance 1; 1 leaves inputs unchanged.  Default:
            data sets are scaled to 0..1; files use "standard", also for numeric targets.
        epochs: Number of epochs (default: 10).
        batch_size: Rows per step, in each shard (default: 32).
        learning_rate: Learning rate (default: the optimizer's).
        optimizer: Optimizer, such as rmsprop or sgd (default: adam).
        loss: Loss.  By default text, true/false and integers with few distinct values are classes (cross-entropy);
            other labels are numbers (squared error).
        metrics: Metrics to report in addition to the loss, separated by commas.
        validation_split: Share of the training rows to hold out, chosen by row hash.  "auto" (default) holds out 10 %
            of 500 rows or more, stops after 5 epochs without a better validation loss, and restores the best epoch.
        class_weight: "balanced" gives rare classes more weight.
        strategy: "average" or "gradient".
        shards: Parts of the rows that train independently and are averaged (default: 1 in process; on Spark it
            depends on the number of rows).
        members: Networks in the ensemble for a table, whose outputs are averaged; each holds out a different part of
            the rows for early stopping.  Default: 8 below 2,000 rows, 4 below 20,000, else 1; 1 with
            --validation-split.
        seed: Seed of all randomness (default: 0).
        engine: Where to train: local (in this process, default) or spark.
        master: Spark master for --engine spark (default: local[2]).
        run: Folder for the results: model, history, report and settings, and progress during training.  If training
            is interrupted, the same command resumes it.
        resume: Folder of an interrupted run: resume it with its own settings.  The result is bit-identical to an
            uninterrupted run.
        dry_run: Read the rows and show the planned training without running it.
        print_config: Print the settings as TOML and exit.
        as_json: Print JSON lines: one per epoch, then the result.  Other output goes to stderr.
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
            hint = f"resume with: firesteel train --resume {config.run.folder}"
            raise KeyboardInterrupt(*([hint] if keep else [])) from None
    print_result(result, console)
    if as_json:
        scores = {f"held_{name}": value for name, value in (result.held or {}).items()}
        scores |= {f"test_{name}": value for name, value in (result.test or {}).items()}
        print_json(scores | {"fingerprint": result.fingerprint, "seconds": result.seconds})


def _decided(plan: TrainingPlan) -> str:
    """Describe what was inferred from the rows, the task and a table's columns; empty for a data set."""
    columns = [] if plan.model.schema is None else [of_columns(plan.model.schema)]
    return "" if plan.config.data.train in SETS else "\n".join([plan.task.decision, *columns])


def _settings(file: Path | None, given: Flags) -> Config:
    if file is not None and str(file) in SETS:
        raise ConfigError(f"expected a TOML file, but {file} is a data set: use --data {file}", code="config-file")
    config = resolve(file, given)
    folder = config.run.folder
    if file is None or folder is None or given["--run"][1] is not None:
        return config
    repeats = file.parent.resolve() == Path(folder).resolve() and file.with_name("metrics.json").exists()
    return replace(config, run=RunSettings()) if repeats else config  # repeating a run leaves its folder unchanged


def _resumed(folder: Path, file: Path | None) -> Path:
    """Return the settings file of a run to resume; raise ConfigError if there is nothing to resume."""
    if file is not None:
        raise ConfigError(f"--resume {folder} uses the settings of that run: leave out {file}", code="config-resume")
    settings = folder / "config.toml"
    if not settings.is_file():
        raise ConfigError(f"{folder} is not a run folder: it has no config.toml", code="config-resume")
    from firesteel.report.folder import is_finished

    if is_finished(folder):
        raise ConfigError(f"the run in {folder} is complete: there is nothing to resume", code="config-resume")
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
    """Return the callbacks that write the run folder and save progress, or none if the settings name no folder."""
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
    if plan.stopping:  # "auto" implies it
        known["training"]["callbacks"] = tables["training"].get("callbacks")
    if plan.model.schema is not None:
        known.setdefault("training", {})["members"] = plan.members
    if plan.members > 1:  # each adapts to its own rows
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
A small network learns to read handwritten digits: 1,438 to train on, 359 to test.
It is trained twice with the same settings: in this process, then on Spark."""

NEXT = """\
  firesteel train --data mnist --epochs 12   60,000 larger digits, downloaded once
  from firesteel.models import Sequential    your own network, with Keras's API
  from firesteel.spark import NeuralNetworkClassifier     for Spark ML Pipelines
The README has a short example of each."""


def demo() -> int:
    """Train the same small network in this process and on Spark, and check that the weights are bit-identical.

    Needs no network connection and takes about half a minute.
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
        console.print("\nThe fingerprints are equal: both trainings computed bit-identical weights.", style="green")
        return 0
    console.print("\nThe fingerprints differ: the two trainings computed different weights.", style="bold red")
    return 1
