"""Every member of every registry: to JSON and back, compared, hashed, and refused where it cannot work."""

import json
import re
from dataclasses import MISSING, fields, replace

import numpy as np
import pytest

from firesteel.core import initializers, layers, losses, metrics, optimizers, regularizers
from firesteel.core.initializers import Constant, Orthogonal, VarianceScaling
from firesteel.core.layers import (
    ACTIVATIONS,
    ELU,
    Activation,
    Dense,
    Dropout,
    LeakyReLU,
    Normalization,
    ReLU,
    Rescaling,
)
from firesteel.core.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    Huber,
    Quantile,
    Standardized,
)
from firesteel.core.optimizers import SGD, Adam
from firesteel.core.regularizers import L1, L1L2, L2
from firesteel.errors import ConfigError
from firesteel.train import strategies

FAMILIES = {
    "layers": (layers.get, layers.LAYERS),
    "initializers": (initializers.get, initializers.INITIALIZERS),
    "losses": (losses.get, losses.LOSSES),
    "metrics": (metrics.get, metrics.METRICS),
    "optimizers": (optimizers.get, optimizers.OPTIMIZERS),
    "regularizers": (regularizers.get, regularizers.REGULARIZERS),
    "strategies": (strategies.get, strategies.STRATEGIES),
}
MEMBERS = [(family, name) for family, (_, names) in FAMILIES.items() for name in names]
OTHERS = [
    ("layers", Dense(3, "relu", False, "he_normal", "normal", L1L2(0.1, 0.2), input_dim=5)),
    ("layers", Dense(3, kernel_initializer=initializers.RandomNormal(1.0, 2.0))),
    ("layers", Activation("tanh", input_dim=2)),
    ("layers", Dropout(0.25, input_dim=4)),
    ("layers", Rescaling(1 / 255, -0.5)),
    ("layers", Normalization([1.0, -2.0], [0.25, 0.0])),
    ("layers", Normalization(0.5, 4, invert=True, input_dim=3)),
    ("layers", ReLU(6, 0.1, 0.5, input_dim=3)),
    ("initializers", VarianceScaling(2.0, "fan_out", "uniform")),
    ("losses", BinaryCrossentropy(True, 0.1)),
    ("losses", BinaryFocalCrossentropy(True, 0.3, 1.0)),
    ("losses", CategoricalFocalCrossentropy([0.5, 1.0])),
    ("losses", Huber(2.0)),
    ("losses", Standardized("half_sse", [1.0, 2.0], [0.5, 3.0])),
    ("optimizers", SGD(0.3, 0.9, True)),
    ("optimizers", Adam(1e-3, 0.8, 0.99, 1e-5)),
]
SPECS = [*((family, FAMILIES[family][1][name]) for family, name in MEMBERS), *OTHERS]
NUMBERS = [
    (spec, f.name)
    for _, spec in SPECS
    for f in fields(spec)
    if isinstance(getattr(spec, f.name), int | float)
    and type(getattr(spec, f.name)) is not bool
    and f.name not in ("input_dim", "max_value", "thresholds")  # None, or several numbers, is one of their values
]
FLAGS = [(spec, f.name) for _, spec in SPECS for f in fields(spec) if isinstance(getattr(spec, f.name), bool)]
NOT_NUMBERS = [
    float("nan"), float("inf"), float("-inf"), np.nan, True, False, np.True_,
    "1", "nan", b"1", None, [1.0], (1,), {}, np.array([1.0, 2.0]), np.array(True), 1j, np.complex128(1j), float, int,
]  # fmt: skip


def refused(make):
    with pytest.raises(ConfigError) as caught:
        make()
    return caught.value


@pytest.mark.parametrize("family, spec", SPECS, ids=repr)
def test_a_spec_survives_json(family, spec):
    get, _ = FAMILIES[family]
    config = json.loads(json.dumps(spec.to_config()))
    assert config["type"] == type(spec).__name__
    for again in (type(spec).from_config(config), get(config)):
        assert again == spec and hash(again) == hash(spec) and type(again) is type(spec)
        assert again.to_config() == spec.to_config()


@pytest.mark.parametrize("family, spec", SPECS, ids=repr)
def test_a_spec_stands_for_itself_and_cannot_be_changed(family, spec):
    assert FAMILIES[family][0](spec) is spec
    for f in fields(spec):
        with pytest.raises(ConfigError if f.name == "trainable" else AttributeError):
            setattr(spec, f.name, 0)


@pytest.mark.parametrize("spec", {type(spec): spec for _, spec in SPECS}.values(), ids=repr)
def test_a_default_is_what_its_check_makes_of_it(spec):
    """So that only what was given has to be checked."""
    for name, default, check in spec.checks:
        if default is not MISSING:
            checked = check("a spec", name, default)
            assert checked == default and type(checked) is type(default)


@pytest.mark.parametrize("family, name", MEMBERS)
def test_a_name_means_its_registered_spec(family, name):
    get, names = FAMILIES[family]
    assert get(name) == names[name]


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_compared_without_case_and_underscores_and_none_means_two_things(family):
    get, names = FAMILIES[family]
    classes = {type(spec).__name__: type(spec) for spec in names.values()}
    meanings = {}
    for name, spec in names.items():
        meanings.setdefault(name.replace("_", "").lower(), []).append(spec)
        for spelled in (name.upper(), name.replace("_", ""), name.title(), name.title().replace("_", "")):
            assert get(spelled) == get(name)
    assert all(spec == specs[0] for specs in meanings.values() for spec in specs)
    for name, kind in classes.items():
        snake = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name)
        assert {type(get(spelled)) for spelled in (name, name.lower(), snake, snake.lower())} == {kind}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_class_means_its_defaults(family):
    get, names = FAMILIES[family]
    for kind in {type(spec) for spec in names.values()}:
        if any(f.default is MISSING for f in fields(kind)):
            assert refused(lambda kind=kind: get(kind)).code == "config-field"
        else:
            assert get(kind) == kind()
    base = get.base
    assert refused(lambda: get(base)).code == "config-unknown"


@pytest.mark.parametrize(
    "get, typed, spec",
    [
        (losses.get, "MSE", losses.MeanSquaredError()),
        (losses.get, "MeanSquaredError", losses.MeanSquaredError()),
        (losses.get, "half_sum_of_squares", losses.HalfSumOfSquares()),
        (losses.get, "kullback", None),
        (metrics.get, "RMSE", metrics.RootMeanSquaredError()),
        (metrics.get, "R2Score", metrics.R2Score()),
        (initializers.get, "HeNormal", initializers.HeNormal()),
        (regularizers.get, "l1l2", L1L2(0.01, 0.01)),
        (regularizers.get, "L2", L2()),
        (optimizers.get, "Adam", Adam()),
        (optimizers.get, "AdamW", optimizers.AdamW()),
        (strategies.get, "Gradient", strategies.Gradient()),
    ],
)
def test_what_users_of_keras_type_is_known(get, typed, spec):
    if spec is None:
        assert refused(lambda: get(typed)).code == "config-unknown"
    else:
        assert get(typed) == spec


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_too_go_by_their_classes_names(name):
    for spelled in (name.upper(), name.title(), name.replace("_", "")):
        assert Dense(1, spelled).to_config() == Dense(1, name).to_config()
    assert Dense(1, "ReLU") == Dense(1, "relu") and Dense(1, "LeakyReLU") == Dense(1, "leaky_relu")


def test_specs_differ_where_their_fields_or_classes_differ():
    specs = [
        Dense(1),
        Dense(2),
        Dense(1, "relu"),
        Dropout(0.5),
        Activation("tanh"),
        Activation("relu"),
        SGD(),
        Adam(),
    ]
    assert len(set(specs)) == len(specs)
    assert Dense(1) == Dense(1, activation=None) == Dense(1, "linear") == Dense(np.int64(1))
    assert metrics.get("mse") != losses.get("mse")


@pytest.mark.parametrize("family, name", MEMBERS)
def test_a_misspelt_name_is_answered_with_the_nearest_one(family, name):
    get, names = FAMILIES[family]
    slip = next(one for one in (name[:-2] + name[-1:], name + "x") if one not in names)  # mape and mae are both names
    error = refused(lambda: get(slip))
    assert error.code == "config-unknown" and "did you mean" in str(error)
    assert all(known in str(error) for known in names)


@pytest.mark.parametrize(
    "kind, name", sorted({(type(spec), f.name) for _, spec in SPECS for f in fields(spec)}, key=str)
)
def test_a_misspelt_argument_is_answered_with_the_nearest_one(kind, name):
    error = refused(lambda: kind(**{name + "_": 1}))
    assert error.code == "config-argument" and f"did you mean {name!r}?" in str(error)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_misspelt_activation_is_answered_with_the_nearest_one(name):
    for make in (lambda bad: Dense(1, activation=bad), Activation):
        assert f"did you mean {name!r}?" in str(refused(lambda make=make: make(name + "x")))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "given", [None, 3, 1.5, [], object, {"type": "os.system"}, {"type": None}, {"type": []}, {}, "", "zzzzz"]
)
def test_what_is_no_member_of_the_family_is_refused(family, given):
    get, names = FAMILIES[family]
    error = refused(lambda: get(given))
    expected = [type(spec).__name__ for spec in names.values()] if isinstance(given, dict) else names
    assert error.code == "config-unknown" and all(name in str(error) for name in expected)


def test_a_member_of_another_family_is_refused():
    for family, (get, _) in FAMILIES.items():
        for other, (_, names) in FAMILIES.items():
            if other != family and (family, other) != ("metrics", "losses"):  # a loss is a metric
                for spec in names.values():
                    assert refused(lambda get=get, spec=spec: get(spec)).code == "config-unknown"


@pytest.mark.parametrize("spec, name", NUMBERS, ids=repr)
def test_a_numeric_field_refuses_all_that_is_no_finite_number(spec, name):
    for bad in NOT_NUMBERS:
        error = refused(lambda bad=bad: replace(spec, **{name: bad}))
        assert error.code == "config-value"
        assert f"{type(spec).__name__}({name}={bad!r}): {name} must be" in str(error)
    if isinstance(getattr(spec, name), float):
        assert refused(lambda: replace(spec, **{name: 10**400})).code == "config-value"
    else:
        assert refused(lambda: replace(spec, **{name: 1.5})).code == "config-value"


@pytest.mark.parametrize("spec, name", NUMBERS, ids=repr)
def test_a_numeric_field_takes_numbers_of_any_make_and_keeps_a_plain_one(spec, name):
    value = getattr(spec, name)
    small = np.uint8 if value >= 0 else np.int8
    for kind in (np.float64, np.float32, np.array) if isinstance(value, float) else (np.int64, small, np.array):
        kept = getattr(replace(spec, **{name: kind(value)}), name)
        assert type(kept) is type(value) and kept == pytest.approx(value)


@pytest.mark.parametrize("spec, name", FLAGS, ids=repr)
def test_a_flag_takes_true_and_false_only(spec, name):
    for bad in (None, 0, 1, "True", 1.0, []):
        assert f"{name} must be True or False" in str(refused(lambda bad=bad: replace(spec, **{name: bad})))


@pytest.mark.parametrize(
    "layer", [Dense(1), Dropout(0.5), Activation("tanh"), Rescaling(1.0), ReLU(), LeakyReLU(), ELU()], ids=repr
)
def test_the_number_of_inputs_is_a_whole_number_of_at_least_1(layer):
    for bad in [b for b in NOT_NUMBERS if b is not None] + [0, -1, 1.5]:
        assert "input_dim" in str(refused(lambda bad=bad: replace(layer, input_dim=bad)))
    assert replace(layer, input_dim=np.int32(3)).input_dim == 3


@pytest.mark.parametrize(
    "make, good, bad",
    [
        (Dropout, [0.0, 0.999], [1.0, -1e-9, 2]),
        (SGD, [0.0, 5], [-0.1]),
        (lambda v: SGD(0.1, momentum=v), [0.0, 0.99], [1.0, -0.1]),
        (lambda v: Adam(beta_1=v), [0.0, 0.99], [1.0, -0.1]),
        (lambda v: Adam(beta_2=v), [0.0, 0.99], [1.0, -0.1]),
        (lambda v: Adam(epsilon=v), [1e-12, 1], [0.0, -1.0]),
        (Dense, [1, 1000], [0, -1, 1.0]),
        (lambda v: initializers.RandomNormal(stddev=v), [0.0, 1.0], [-1e-9]),
        (lambda v: initializers.TruncatedNormal(stddev=v), [0.0, 1.0], [-1e-9]),
        (VarianceScaling, [1e-9, 2], [0.0, -1.0]),
        (Constant, [-1.0, 0], []),
        (Orthogonal, [-1.0, 0], []),
        (ReLU, [None, 0, 0.5, np.float32(6)], [-1e-9, "6", True, float("nan"), float("inf"), [6]]),
        (lambda v: ReLU(negative_slope=v), [0.0, 2.0], [-1e-9]),
        (lambda v: ReLU(threshold=v), [0.0, 2.0], [-1e-9]),
        (LeakyReLU, [0.0, 2.0], [-1e-9]),
        (ELU, [0.0, -1.0, 2.0], []),
        (Huber, [1e-9, 5], [0.0, -1.0]),
        (Quantile, [1e-9, 0.999], [0.0, 1.0]),
        (lambda v: BinaryCrossentropy(label_smoothing=v), [0.0, 0.999], [1.0, -0.1]),
        (L1, [0.0, 1.0], [-1e-9]),
        (L2, [0.0, 1.0], [-1e-9]),
    ],
)
def test_a_range_includes_and_excludes_the_ends_that_it_should(make, good, bad):
    for value in good:
        make(value)
    for value in bad:
        assert refused(lambda value=value: make(value)).code == "config-value"


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [float("nan")],
        [1.0, float("inf")],
        "1",
        ["1"],
        [True],
        None,
        [None],
        [[1.0]],
        object(),
        10**400,
        np.array("1"),
    ],
)
def test_a_field_of_several_numbers_refuses_what_is_not_one_or_more_finite_ones(bad):
    unknown = [] if bad is None else [lambda: Normalization(bad, bad)]
    for make in (*unknown, lambda: Standardized("mse", mean=bad)):
        error = refused(make)
        assert error.code == "config-value" and "one or more finite numbers" in str(error)


def test_a_misspelt_mode_of_variance_scaling_is_answered_with_the_nearest_one():
    assert "did you mean 'fan_in'?" in str(refused(lambda: VarianceScaling(1.0, "fan_inn")))
    assert "did you mean 'uniform'?" in str(refused(lambda: VarianceScaling(1.0, distribution="unifrom")))
    for bad in (None, 3, ["fan_in"]):
        assert refused(lambda bad=bad: VarianceScaling(1.0, bad)).code == "config-unknown"


def test_several_numbers_are_taken_from_arrays_and_must_fit_each_other():
    assert Normalization(np.array([1.0, 2.0]), np.array([1, 1])) == Normalization((1.0, 2.0), [1.0, 1.0])
    assert Normalization(np.array(2), np.array(0.5)) == Normalization(2.0, 0.5)
    assert refused(lambda: Normalization([1.0, 2.0], [1.0])).code == "config-shape"
    assert refused(lambda: Normalization(0.0, -1.0)).code == "config-value"
    assert refused(lambda: Standardized("mse", 0.0, 0.0)).code == "config-value"
    for loss in ("binary_crossentropy", BinaryCrossentropy(True), "poisson", "hinge", "kld", Standardized()):
        assert refused(lambda loss=loss: Standardized(loss)).code == "config-loss"


def test_a_config_with_a_field_too_many_or_too_few_is_refused():
    error = refused(lambda: layers.get({"type": "Dense", "units": 1, "unit": 2}))
    assert error.code == "config-argument" and "'unit'" in str(error) and "units" in str(error)
    assert refused(lambda: layers.get({"type": "Dense"})).code == "config-field"
    assert refused(lambda: layers.get({"type": "Activation"})).code == "config-field"


def test_an_error_says_name_rule_value_and_reason():
    message = str(refused(lambda: Dropout(1.5)))
    assert message == (
        "Dropout(rate=1.5): rate must be a number with 0.0 <= rate < 1.0: rate is the fraction of units to drop "
        "[config-value]"
    )
