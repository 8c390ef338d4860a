"""Makes activations_and_losses.json: what Keras 3.15.1 with JAX 64-bit floats gives, values and derivatives.

    KERAS_BACKEND=jax JAX_ENABLE_X64=1 python make_activations_and_losses.py

An activation is asked for y and for d(sum of c y)/dx at X; a loss for each row's value and d(sum of the rows)/dz.
Points where a derivative jumps are left out: there both sides are right.
"""

import json
from pathlib import Path

X = [
    [-1e4, -709.9, -88.8, -31.0],
    [-12.5, -7.0, -5.9, -4.1],
    [-3.1, -2.9, -2.2, -1.6],
    [-1.1, -0.9, -0.66, -0.5],
    [-0.3, -0.02, -1e-5, -1e-40],
    [1e-40, 1e-6, 0.03, 0.4],
    [0.6, 0.8, 1.2, 1.9],
    [2.5, 2.99, 3.01, 4.4],
    [5.7, 5.99, 6.01, 8.3],
    [15.0, 40.0, 88.8, 690.0],
]
C = [1.0, -2.0, 0.5, 3.0]
NAMES = [
    *("elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6"),
    *("selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh"),
    *("celu", "hard_shrink", "hard_silu", "hard_tanh", "hard_swish", "log_sigmoid", "soft_shrink", "squareplus"),
]
LAYERS = [
    {"type": "ReLU", "max_value": 4.0, "negative_slope": 0.1, "threshold": 1.0},
    {"type": "ReLU", "max_value": 6.0},
    {"type": "ReLU", "threshold": 2.0},
    {"type": "LeakyReLU"},
    {"type": "LeakyReLU", "negative_slope": 0.05},
    {"type": "ELU", "alpha": 0.7},
]
FAR = [[1e4, -1e4, 0.3], [709.9, -709.9, 0.0], [88.8, -88.8, 1e-40], [0.7, -2.0, 5.0], [-0.1, 0.2, 0.9]]
NEAR = [[0.7, -2.0, 5.0], [-0.1, 0.2, 0.9], [0.0, 0.0, 0.0], [3.0, -3.0, 1.0]]
REAL = [[9.0, 0.5, -3.0], [-1.0, 700.0, 2.0], [2.0, 1e4, -0.5], [0.5, 0.1, 5.25], [0.0, 0.3, -0.2]]
RATES = [[1e-4, 0.5, 3.0], [12.0, 1e4, 1.0], [700.0, 2e-6, 0.9]]
COUNTS = [[0.0, 1.0, 3.0], [15.0, 9e3, 0.0], [650.0, 2.0, 0.5]]
SHARES = [[0.2, 0.3, 0.5], [1e-6, 0.9, 0.1], [0.999, 1e-5, 1e-3], [2.0, -1.0, 1e-9]]
SPLIT = [[0.1, 0.6, 0.3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.25, 0.25]]
SIGNS = [[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0], [1.0, -1.0, 1.0]]
BITS = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0]]
SOFT = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5], [0.0, 0.0, 1.0], [0.1, 0.1, 0.8]]
CLASSES = [[0.0], [1.0], [2.0], [0.0], [2.0]]
LOSSES = [
    *(({"type": name}, FAR, REAL) for name in ("MeanSquaredError", "MeanAbsoluteError", "LogCosh", "Huber")),
    ({"type": "Huber", "delta": 0.3}, FAR, REAL),
    ({"type": "Poisson"}, RATES, COUNTS),
    ({"type": "MeanAbsolutePercentageError"}, FAR, REAL),
    ({"type": "MeanSquaredLogarithmicError"}, RATES, COUNTS),
    ({"type": "CosineSimilarity"}, FAR, REAL),
    ({"type": "CategoricalHinge"}, FAR, SOFT),
    ({"type": "KLDivergence"}, SHARES, SPLIT),
    *(({"type": name}, FAR, y) for name in ("Hinge", "SquaredHinge") for y in (SIGNS, BITS)),
    *(
        ({"type": name, "from_logits": logits, **smooth}, FAR if logits else NEAR, y if logits else y[:4])
        for name, y in (("BinaryCrossentropy", SOFT), ("CategoricalCrossentropy", SOFT))
        for logits in (True, False)
        for smooth in ({}, {"label_smoothing": 0.1})
    ),
    ({"type": "SparseCategoricalCrossentropy", "from_logits": True}, FAR, CLASSES),
    ({"type": "SparseCategoricalCrossentropy", "from_logits": False}, NEAR, CLASSES[:4]),
    *(
        ({"type": name, "from_logits": logits, **given}, NEAR, BITS[:4] if name[0] == "B" else SOFT[:4])
        for name, others in (
            ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3}),
            ("CategoricalFocalCrossentropy", {"alpha": [0.2, 0.5, 1.0], "label_smoothing": 0.1}),
        )
        for logits in (True, False)
        for given in ({}, {"gamma": 3.0, **others})
    ),
    *(({"type": "CategoricalGeneralizedCrossEntropy", "q": q}, NEAR, CLASSES[:4]) for q in (0.5, 0.8)),
]


def short(values):
    """The values as nested lists, to 12 digits."""
    return [short(v) for v in values] if getattr(values, "ndim", 0) else float(f"{float(values):.12g}")


def main():
    import jax
    import keras

    keras.config.set_floatx("float64")
    links = {f"Binary{kind}": keras.activations.sigmoid for kind in ("Crossentropy", "FocalCrossentropy")}

    def bent(config):
        if config == "tanh":
            return jax.numpy.tanh  # Keras's own rounds to 32 bits here
        if isinstance(config, str):
            return keras.activations.get(config)
        given = {name: value for name, value in config.items() if name != "type"}
        return getattr(keras.layers, config["type"])(**given, dtype="float64")

    def price(config, y):
        given = {name: value for name, value in config.items() if name != "type"}
        loss = getattr(keras.losses, config["type"])(**given, reduction="none", dtype="float64")
        link = links.get(config["type"], keras.activations.softmax)
        fused = config.get("from_logits") is False or "Generalized" in config["type"]
        if "Generalized" in config["type"]:
            y = y[:, 0]
        return lambda z: loss(y, link(z) if fused else z)

    def asked(function, x, weight=1.0):
        x = keras.ops.convert_to_tensor(x, "float64")
        return short(function(x)), short(jax.grad(lambda x: (weight * function(x)).sum())(x))

    made = {"keras": keras.__version__, "x": X, "c": C, "activations": [], "losses": []}
    for config in [*NAMES, *LAYERS]:
        y, d = asked(bent(config), X, keras.ops.convert_to_tensor(C, "float64"))
        made["activations"].append({"config": config, "y": y, "d": d})
    for config, z, y in LOSSES:
        rows, d = asked(price(config, keras.ops.convert_to_tensor(y, "float64")), z)
        made["losses"].append({"config": config, "z": z, "y": y, "rows": rows, "d": d})
    place = Path(__file__).with_name("activations_and_losses.json")
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in made.items() if not isinstance(value, list)]
    for key in ("x", "c", "activations", "losses"):
        parts.append(f"{json.dumps(key)}: [\n" + ",\n".join(json.dumps(item) for item in made[key]) + "\n]")
    place.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
