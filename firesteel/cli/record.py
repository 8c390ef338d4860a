"""The run folder of a training from the command line, with settings that `firesteel train` can read again.

`firesteel.report.RunFolder` writes the folder; what it cannot know, the files that the rows came from, is put in here.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from firesteel import store
from firesteel.callbacks import Callback
from firesteel.cli.config import to_toml
from firesteel.cli.training import Plan

__all__ = ["run_folder"]


class Settings(Callback):
    """Puts the settings of a training into its run folder, after RunFolder has been told."""

    def __init__(self, folder: Path, text: str) -> None:
        self.path, self.text = folder / "config.toml", text

    def on_train_begin(self, logs: Any = None) -> None:
        store.write(self.path, self.text.encode())

    def on_train_end(self, logs: Any = None) -> None:
        from firesteel.report.page import render

        store.write(self.path, self.text.encode())
        store.write(self.path.with_name("report.html"), render(self.path.parent).encode())


def run_folder(plan: Plan) -> Sequence[Callback]:
    """Return the callbacks that keep a run, none where no folder is named or it is the one that is being repeated."""
    folder = plan.config.run.folder
    if folder is None:
        return []
    from firesteel.report import RunFolder

    test: Any = None
    if plan.test is not None:
        test = plan.test.x if plan.test.columns is not None else (plan.test.x, plan.test.y)
    config = plan.config
    keeper = RunFolder(
        folder,
        test,
        class_names=config.data.class_names,
        feature_names=plan.names,
        picture=config.data.picture,
    )
    named = replace(config, data=replace(config.data, rows=None, inputs=None))
    return [keeper, Settings(Path(folder), to_toml(named))]
