"""A model on disk with what is known of its rows: its run folder says which columns and classes it learned.

`evaluate.py`, `predict.py` and `inspect.py` begin here.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from firesteel.cli.config import Config, DataSettings, resolve
from firesteel.cli.options import flags
from firesteel.cli.rows import TABLES, Ask, ask
from firesteel.cli.sets import SETS
from firesteel.cli.task import Labels, LearningTask, decide
from firesteel.core import losses
from firesteel.core.losses import Loss
from firesteel.core.metrics import exclusive
from firesteel.errors import ConfigError, StoreError
from firesteel.models import Sequential, load_model

MODEL, SETTINGS = "model.firesteel", "config.toml"


@dataclass(frozen=True)
class Trained:
    """path: of the model's file.  config: of the run that made it, where it lies in a run folder."""

    path: Path
    model: Sequential
    config: Config | None

    @property
    def loss(self) -> Loss:
        """What it was compiled with.  Raises ConfigError where it was not."""
        compiled = self.model.get_compile_config()
        if compiled is None:
            raise ConfigError(
                f"{self.path}: the model was saved without a loss: compile it, and save it again", code="config"
            )
        loss: Loss = losses.get(compiled["loss"])
        return loss

    @property
    def kind(self) -> str:
        """What it does: "classification", "multilabel" or "regression"."""
        outputs, loss = self.model.network.outputs, self.loss
        if (
            loss.targets in ("class", "sign")
            or loss.natural == "softmax"
            or (loss.targets == "unit" and outputs == 1)
        ):
            return "classification"
        return "multilabel" if loss.targets == "unit" and not exclusive(loss, outputs) else "regression"

    @property
    def names(self) -> tuple[str, ...] | None:
        """What the run calls the classes or labels; None where it has no names for them."""
        return None if self.config is None else self.config.data.class_names

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes or labels, numbers where there are no others."""
        outputs = self.model.network.outputs
        count = 2 if outputs == 1 and self.kind == "classification" else outputs
        return self.names or tuple(str(number) for number in range(count))

    def task(self, labels: Labels) -> LearningTask:
        """Return what labels mean to the model.  Raises ConfigError, and DataError for classes it has not learned."""
        if self.kind == "regression":
            return decide(labels, self.loss)
        if labels.kind == "text" and self.names is None:
            raise ConfigError(
                f"{labels.name} holds text, and {self.path} alone does not say which class is which: give the run "
                f"folder, with {SETTINGS} in it",
                code="config-class-names",
            )
        return decide(labels, self.loss, self.classes)

    def ask(
        self,
        path: str | None,
        form: str | None,
        label: str | None,
        features: str | None,
        weight: str | None = None,
        *,
        labelled: bool = True,
    ) -> Ask:
        """Return what to read: the rows that are named, else the test part of the run; of a set, the test part."""
        known = DataSettings() if self.config is None else self.config.data
        if path is None:
            wanted = None if self.config is None else ask(known, 1, labelled=labelled)
            if wanted is None:
                raise ConfigError("name the rows with --data: no run folder says which to take", code="config-data")
            return replace(wanted, inputs=self.model.network.inputs)
        given = resolve(None, flags(data=path, format=form, label=label, features=features, weight=weight), {}).data
        wanted = ask(given, 1 if path in SETS else 0, labelled=labelled)
        assert wanted is not None
        if wanted.format in TABLES and known.features is not None:
            wanted = replace(
                wanted,
                label=wanted.label or known.label,
                features=wanted.features or known.features,
                weight=wanted.weight or known.weight,
            )
        return replace(wanted, inputs=self.model.network.inputs)


def trained(path: Path) -> Trained:
    """Return the model in a file or in a run folder.  Raises StoreError where there is none."""
    file = path / MODEL if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise StoreError(f"{path}: there is no {MODEL} in this folder: has the run ended?", code="store-read")
    model = load_model(file)
    settings = file.with_name(SETTINGS)
    belongs = file.name == MODEL and settings.exists()
    config = resolve(settings, {}, {}) if belongs else None
    return Trained(file, model, config)
