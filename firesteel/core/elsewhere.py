"""What arguments are called in other libraries, so that an error can say what they are called here."""

import difflib
from collections.abc import Iterable, Mapping

__all__ = ["ELSEWHERE", "meant", "nearest"]

ELSEWHERE = {
    "maxIter": "epochs",
    "max_iter": "epochs",
    "n_epochs": "epochs",
    "nb_epoch": "epochs",
    "blockSize": "batch_size",
    "validation_fraction": "validation_split",
    "featuresCol": "features",
    "labelCol": "label",
    "weightCol": "weight",
    "sample_weights": "sample_weight",
    "random_state": "seed",
    "num_workers": "shards",
    "lr": "learning_rate",
    "learning_rate_init": "learning_rate",
    "stepSize": "learning_rate",
    "criterion": "loss",
    "solver": "optimizer",
    "out_features": "units",
    "in_features": "input_dim",
    "input_shape": "input_dim",
    "p": "rate",
    "eps": "epsilon",
    "betas": "beta_1",
    "alpha": "l2",
    "n_iter_no_change": "patience",
}
"""What other libraries call an argument: its name here."""


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is this one but for case and underscores; None where none is.

    >>> meant("HeNormal", ["he_normal", "zeros"]), meant("l1l2", ["l1", "l1_l2"]), meant("mean", ["max"])
    ('he_normal', 'l1_l2', None)
    """
    same = {word.replace("_", "").lower(): word for word in known}
    return name if name in same.values() else same.get(name.replace("_", "").lower())


def nearest(name: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """Return "did you mean ...? " with the known name that is nearest, and nothing where none is near.

    elsewhere: {what other libraries call it: its name here}.
    """
    lower = {word.lower(): word for word in known}
    near = [name for name in [(elsewhere or {}).get(name)] if name in lower.values()]
    close = difflib.get_close_matches(name[:50].lower(), list(lower), n=1, cutoff=0.5)
    near = near or [lower[word] for word in close]
    return f"did you mean {near[0]!r}? " if near else ""
