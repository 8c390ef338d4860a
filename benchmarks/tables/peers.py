"""Models of other libraries, each with its defaults and its own handling of categories."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tables.data import Kind
from benchmarks.tables.scores import FitPredict

if TYPE_CHECKING:
    from pandas import DataFrame

TREES = ("lightgbm", "xgboost", "histgradientboosting", "catboost")
"""The best of these with default settings is the reference for all models."""
MOST_LEVELS = 255
"""Most levels that HistGradientBoosting accepts as categories; with more, words become numbers in sorted order."""


def threads() -> int:
    """Return the number of threads of a model."""
    return int(os.environ.get("OMP_NUM_THREADS", "2"))


# Columns


def columns(train: "DataFrame", target: str, test: "DataFrame") -> tuple["DataFrame", "DataFrame", np.ndarray]:
    """Return both parts as text and numbers, and the label as numbers or indices of the sorted classes.

    A time becomes days since 1970, month, day of the year, weekday and hour, if they vary; booleans become 0 and 1.
    """
    import pandas as pd

    y = train[target].to_numpy()
    if y.dtype == object:
        y = np.searchsorted(np.unique(y), y)
    x = pd.concat([train.drop(columns=target), test], ignore_index=True)
    for name in [name for name in x if pd.api.types.is_datetime64_any_dtype(x[name])]:
        time = x.pop(name).dt.tz_localize(None)
        x[f"{name}_days"] = (time - pd.Timestamp(0)) / pd.Timedelta(days=1)
        parts = {"month": time.dt.month, "day": time.dt.dayofyear, "weekday": time.dt.weekday}
        parts["hour"] = time.dt.hour + time.dt.minute / 60
        for part, values in parts.items():
            if values[: len(train)].nunique() > 1:
                x[f"{name}_{part}"] = values
    x = x.astype(dict.fromkeys(x.select_dtypes(bool), "int8"))
    return x[: len(train)], x[len(train) :].reset_index(drop=True), y


def words(x: "DataFrame") -> list[str]:
    """Return the names of the text columns."""
    return list(x.select_dtypes(object))


def categories(x: "DataFrame", test: "DataFrame") -> tuple["DataFrame", "DataFrame"]:
    """Return both parts with text as categories of the training part; other words are missing values."""
    import pandas as pd

    kinds = {name: pd.CategoricalDtype(sorted(x[name].dropna().unique())) for name in words(x)}
    return x.astype(kinds), test.astype(kinds)


def predictions(model: Any, test: Any, kind: Kind) -> np.ndarray:
    """Return probabilities, or numbers for regression."""
    return model.predict(test) if kind == "regression" else model.predict_proba(test)


# Models


def constant(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    """Predict the mean, or the class frequencies."""
    if kind == "regression":
        return np.full(len(test), train[target].mean())
    shares = train[target].value_counts(normalize=True).sort_index().to_numpy()
    return np.tile(shares, (len(test), 1))


def lightgbm(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    from lightgbm import LGBMClassifier, LGBMRegressor

    x, test, y = columns(train, target, test)
    x, test = categories(x, test)
    model = LGBMRegressor if kind == "regression" else LGBMClassifier
    return predictions(model(n_jobs=threads(), verbosity=-1).fit(x, y), test, kind)


def xgboost(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    from xgboost import XGBClassifier, XGBRegressor

    x, test, y = columns(train, target, test)
    x, test = categories(x, test)
    model = XGBRegressor if kind == "regression" else XGBClassifier
    return predictions(model(n_jobs=threads(), enable_categorical=True).fit(x, y), test, kind)


def histgradientboosting(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    x, test, y = columns(train, target, test)
    x, test = categories(x, test)
    for name in x.select_dtypes("category"):
        if len(x[name].cat.categories) > MOST_LEVELS:
            x[name], test[name] = (part[name].cat.codes.where(part[name].notna()) for part in (x, test))
    model = HistGradientBoostingRegressor if kind == "regression" else HistGradientBoostingClassifier
    return predictions(model(categorical_features="from_dtype", random_state=0).fit(x, y), test, kind)


def catboost(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    from catboost import CatBoostClassifier, CatBoostRegressor

    x, test, y = columns(train, target, test)
    text = words(x)
    x, test = (part.fillna(dict.fromkeys(text, "missing")) for part in (x, test))
    model = CatBoostRegressor if kind == "regression" else CatBoostClassifier
    made = model(thread_count=threads(), cat_features=text, verbose=False, allow_writing_files=False)
    return predictions(made.fit(x, y), test, kind)


def usual(x: "DataFrame", model: Any) -> Any:
    """Return a model after the usual steps of scikit-learn: one-hot text, standardized numbers, median for gaps."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    text = words(x)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoded = (OneHotEncoder(handle_unknown="ignore"), text), (numbers, [name for name in x if name not in text])
    return make_pipeline(make_column_transformer(*encoded), model)


def linear(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    """Logistic or ridge regression of scikit-learn."""
    from sklearn.linear_model import LogisticRegression, Ridge

    x, test, y = columns(train, target, test)
    return predictions(usual(x, Ridge() if kind == "regression" else LogisticRegression()).fit(x, y), test, kind)


def mlp(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    """scikit-learn's network.  Regression targets are standardized; otherwise it fails on prices."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

    x, test, y = columns(train, target, test)
    if kind != "regression":
        model = usual(x, MLPClassifier(random_state=0))
    else:
        model = usual(x, TransformedTargetRegressor(MLPRegressor(random_state=0), transformer=StandardScaler()))
    return predictions(model.fit(x, y), test, kind)


def realmlp(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    """RealMLP with its tuned defaults.  Gaps in numbers become the median, because it does not accept them."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    x, test, y = columns(train, target, test)
    medians = x.median(numeric_only=True)
    x, test = categories(x.fillna(medians), test.fillna(medians))
    model = RealMLP_TD_Regressor if kind == "regression" else RealMLP_TD_Classifier
    return predictions(model(device="cpu", n_threads=threads(), random_state=0).fit(x, y), test, kind)


@dataclass(frozen=True)
class Model:
    """How to fit a model; the modules to import and, for Spark, the session to start before the clock."""

    fit_predict: FitPredict
    modules: tuple[str, ...] = ()
    start: Callable[[], object] | None = None

    def missing(self) -> list[str]:
        """Return the missing modules."""
        return [name for name in self.modules if find_spec(name.partition(".")[0]) is None]

    def ready(self) -> dict[str, str]:
        """Import the modules, start the session, and return the versions of the packages."""
        for name in self.modules:
            import_module(name)
        if self.start:
            self.start()
        packages = sorted({name.partition(".")[0] for name in self.modules})
        return {name: getattr(import_module(name), "__version__", None) or version(name) for name in packages}


SCIKIT = ("sklearn.compose", "sklearn.impute", "sklearn.pipeline", "sklearn.preprocessing")
PEERS = {
    "constant": Model(constant, ("pandas",)),
    "linear": Model(linear, (*SCIKIT, "sklearn.linear_model")),
    "mlp": Model(mlp, (*SCIKIT, "sklearn.neural_network")),
    "lightgbm": Model(lightgbm, ("lightgbm",)),
    "xgboost": Model(xgboost, ("xgboost",)),
    "histgradientboosting": Model(histgradientboosting, ("sklearn.ensemble",)),
    "catboost": Model(catboost, ("catboost",)),
    "realmlp": Model(realmlp, ("pytabkit",)),
}
