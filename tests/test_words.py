"""The words of Keras that stand for our own: functions, snake case, and what comes and goes as JSON."""

import importlib
import json

import pytest

from firesteel.layers import Dense

FAMILIES = ["constraints", "initializers", "losses", "metrics", "optimizers", "regularizers"]
ALIASES = [
    (family, name)
    for family in ("constraints", "initializers", "regularizers")
    for name in getattr(importlib.import_module(f"firesteel.core.{family}"), family.upper())
]


@pytest.mark.parametrize("family, name", ALIASES)
def test_a_name_in_snake_case_makes_what_its_class_makes(family, name):
    face = importlib.import_module(f"firesteel.{family}")
    made = getattr(face, name)()
    assert name in face.__all__ and type(made) is type(face.get(name))
    assert made == face.get(name) or name == "l1_l2"  # as an object it has no default penalty, in Keras as here


def test_arguments_go_where_keras_has_them():
    from firesteel.constraints import max_norm
    from firesteel.initializers import he_normal, random_normal
    from firesteel.regularizers import l1, l1_l2, l2

    layer = Dense(2, kernel_regularizer=l2(1e-4), kernel_initializer=he_normal(), kernel_constraint=max_norm(2))
    assert (layer.kernel_regularizer.l2, layer.kernel_constraint.max_value) == (1e-4, 2.0)
    assert (l1(0.5).l1, l1_l2(l1=0.1, l2=0.2).l2, random_normal(mean=1.0, stddev=2.0).mean) == (0.5, 0.2, 1.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_of_a_family_goes_to_json_and_comes_back(family):
    face = importlib.import_module(f"firesteel.{family}")
    for name in face.get.names:
        config = json.loads(json.dumps(face.serialize(face.get(name))))
        assert face.deserialize(config) == face.get(name)
