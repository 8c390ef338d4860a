"""The run folder of a training from the command line, with settings that `firesteel train` can read again.

`firesteel.report.RunFolder` writes it; what it cannot know, the files that the rows came from, is added here.
Progress is kept there too, so that `firesteel train --resume` can go on with it.
"""

from typing import Any

from firesteel.callbacks import BackupAndRestore, Callback
from firesteel.cli.config import to_tables
from firesteel.cli.training import TrainingPlan


def run_folder(plan: TrainingPlan) -> list[Callback]:
    """Return the callbacks that keep the run and its progress, or none where the settings name no folder."""
    config = plan.config
    if config.run.folder is None:
        return []
    from firesteel.report import RunFolder

    test: Any = None
    if plan.test is not None:
        test = plan.test.x if plan.test.columns is not None else (plan.test.x, plan.test.y)
    tables = to_tables(config)
    known = {name: tables[name] for name in ("data", "engine", "run")}
    if config.training.validation_split:
        known["training"] = {"validation_split": config.training.validation_split}
    if plan.stopping:  # which "auto" says already
        known["training"]["callbacks"] = tables["training"].get("callbacks")
    return [
        RunFolder(
            config.run.folder,
            test,
            class_names=config.data.class_names,
            feature_names=plan.names,
            picture=config.data.picture,
            config=known,
        ),
        BackupAndRestore(config.run.folder),
    ]
