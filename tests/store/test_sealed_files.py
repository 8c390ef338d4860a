"""Models and checkpoints that say something else under the right checksum: our errors only, in bounded memory."""

import json
import time
import tracemalloc
import warnings

import numpy as np
import pytest
from safetensors.numpy import save

from firesteel import _checkpoints as checkpoints
from firesteel import _store as store
from firesteel.callbacks import BoldDriver, Callback, EarlyStopping, ReduceLROnPlateau
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.errors import FiresteelError, StoreError
from firesteel.layers import BatchNormalization, Dense, Dropout, LayerNormalization, Table
from firesteel.models import Sequential
from firesteel.optimizers import SGD, Nadam
from firesteel.optimizers.schedules import CosineDecayRestarts
from firesteel.tables.words import WORDS
from firesteel.train import history, loop
from tests import gate
from tests.store.test_bombs import refused
from tests.support.files import KEPT, KINDS, kept, trained
from tests.support.sealed import parts, sealed_mutants

X = np.arange(320.0).reshape(80, 4) / 320
Y = np.arange(80) % 3


def scheduled():
    layers = [Dense(6, "gelu", kernel_regularizer="l1_l2", kernel_constraint="max_norm", input_dim=4)]
    model = Sequential([*layers, LayerNormalization(), Dropout(0.25), Dense(3, "softmax")])
    optimizer = Nadam(CosineDecayRestarts(0.01, 10), clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy", "auc", "confusion_matrix", "f1_score"])
    return model


def fitted():
    model = scheduled()
    model.fit(X, Y, epochs=2, verbose=0)
    return model


def of_a_table():
    model = Sequential([Table(), Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit({"n": np.arange(60.0), "word": [f"w{n % 11}" for n in range(60)]}, np.arange(60) % 2, verbose=0)
    return model


MODELS = {"trained": lambda: trained(1), "scheduled": fitted, "of a table": of_a_table}


def used(model):
    """Do with a model what people do."""
    model.to_bytes()
    model.summary(print_fn=len)
    assert repr(model) and model.fingerprint()
    x = np.abs(gate.rows(20, model.network.inputs or 4))
    for use in (
        lambda: model.predict(x),
        lambda: model.learning_rate,
        lambda: model.evaluate(x, np.arange(20) % 2, verbose=0),
        lambda: model.fit(x, np.arange(20) % 2, epochs=1, verbose=0),
        lambda: model.fit(x, model.predict(x), epochs=1, verbose=0),
    ):
        try:
            use()
        except FiresteelError:
            pass


def opened(model, count, seed):
    """Open sealed mutations of a model and use what opens; return how many do, and the worst time and memory."""
    data, order = model.to_bytes(), [*store.tensor_names(model.network), *store.VECTORS, *WORDS]
    assert Sequential.from_bytes(data).to_bytes() == data
    right, slowest, most = 0, 0.0, 0
    for number, mutant in enumerate(sealed_mutants(data, count, seed, order)):
        tracemalloc.start()
        begun = time.perf_counter()
        try:
            found = Sequential.from_bytes(mutant, "m")
        except StoreError as error:
            found = None
            assert "\n" not in str(error) and len(str(error)) < 500, number
        slowest = max(slowest, time.perf_counter() - begun)
        taken = tracemalloc.get_traced_memory()[1] + len(mutant)
        tracemalloc.stop()
        assert taken < 2 * len(mutant) + store.SPARE, number
        most = max(most, taken)
        if found is not None:
            right += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                used(found)
    return right, slowest, most


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_r39_a_sealed_model_is_refused_or_works(make):
    right, slowest, _ = opened(make(), 60, 0)
    assert 0 < right < 30 and slowest < 3.0


def every_model(monkeypatch):
    """Yield a fitted model of each kind in the registries: the table of small fits has them all."""
    found = []
    monkeypatch.setattr(gate, "figures", lambda model, *rest: found.append(model) or {})
    for family in gate.REGISTRIES:
        for fit in gate.chosen(gate.FITS, [f"{family}/"]).values():
            gate.outcome(fit)
            yield from found
            found.clear()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_r39_2000_sealed_models_are_refused_or_work(monkeypatch):
    found, models = [opened(make(), 400, 7) for make in MODELS.values()], 0
    for models, model in enumerate(every_model(monkeypatch), 1):
        found.append(opened(model, 8, models))
    right, slowest, most = sum(one[0] for one in found), max(one[1] for one in found), max(one[2] for one in found)
    count = 400 * len(MODELS) + 8 * models
    print(f"\n{count:,} sealed models of {models} kinds: {count - right:,} refused, {right} used; ", end="")
    print(f"worst {slowest:.3f} s, {most / 2**20:.1f} MiB")
    assert count >= 2_000 and right < count / 2


# Checkpoints


class Interrupt(Callback):
    """Ends a fit in the middle of an epoch, or, without a batch, before it."""

    observes = True

    def __init__(self, epoch, batch):
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if (epoch, None) == self.at:
            raise KeyboardInterrupt

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def acting():
    """Return callbacks that keep the best state, set the rate and stop."""
    return [
        EarlyStopping("val_auc", patience=9, restore_best_weights=True),
        ReduceLROnPlateau(patience=0, factor=0.5, min_delta=9.0),
    ]


def going_on(path, *more, optimizer=None, dtype="float32", callbacks=acting, **settings):
    """Train, from the progress at a path if there is some."""
    optimizer = optimizer or SGD(0.5, momentum=0.5)
    settings = {"epochs": 4, "batch_size": 20, "shards": 1, "validation_split": 0.25, "verbose": 0} | settings
    if optimizer.searches:
        settings |= {"batch_size": None, "strategy": "gradient"}
    norm = LayerNormalization if settings.get("strategy") == "gradient" else BatchNormalization
    layers = [Dense(5, "tanh", input_dim=4), Dropout(0.25), norm(), Dense(3, "softmax")]
    model = Sequential(layers, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy", "auc", "confusion_matrix"])
    model.fit(X, Y, callbacks=[*callbacks(), *more], checkpoint=path, **settings)
    return model


def taken_up(folder, count, seed, monkeypatch, at=(2, 2), **settings):
    """Go on from sealed mutations of a checkpoint; return how many are taken up, and the worst memory of reading."""
    path, most = folder / "kept", 0
    with monkeypatch.context() as patch:
        patch.setattr(loop, "KEEP_SECONDS", 0.0)
        whole = going_on(folder / "whole", **settings).fingerprint()
        with pytest.raises(KeyboardInterrupt):
            going_on(path, Interrupt(*at), **settings)
    data = path.read_bytes()
    assert going_on(path, **settings).fingerprint() == whole
    read, right = checkpoints.from_bytes, 0

    def measured(content, *rest):
        nonlocal most
        tracemalloc.start()
        try:
            return read(content, *rest)
        finally:
            taken = tracemalloc.get_traced_memory()[1] + len(content)
            tracemalloc.stop()
            assert taken < 2 * len(content) + store.SPARE
            most = max(most, taken)

    monkeypatch.setattr(checkpoints, "from_bytes", measured)
    for number, mutant in enumerate(sealed_mutants(data, count, seed, [])):
        path.write_bytes(mutant)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                going_on(path, **settings)
                right += 1
            except StoreError as error:
                assert "\n" not in str(error) and len(str(error)) < 800, number
            except FiresteelError:
                right += 1
    return parts(data), right, most


def test_r39_a_sealed_checkpoint_is_refused_or_gone_on_from(tmp_path, monkeypatch):
    (header, arrays), right, _ = taken_up(tmp_path, 60, 0, monkeypatch, strategy="gradient")
    assert {"0.theta", "1.theta", "sums"} <= arrays.keys() and header["round"] == 2
    assert 0 < right < 30


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_r39_2000_sealed_checkpoints_are_refused_or_gone_on_from(tmp_path, monkeypatch):
    kinds = [
        {"optimizer": optimizer, "dtype": dtype, "callbacks": callbacks}
        for optimizer in OPTIMIZERS.values()
        for dtype in ("float32", "float64")
        for callbacks in (acting, list)
    ]
    kinds += [{"strategy": "gradient"}, {"batch_size": 10}]
    kinds += [{"callbacks": lambda: [BoldDriver()], "strategy": "gradient", "batch_size": None}]
    count, right, most = -(-2_000 // len(kinds)), 0, 0
    for number, settings in enumerate(kinds):
        folder = tmp_path / str(number)
        folder.mkdir()
        one_step = "optimizer" not in settings or settings["optimizer"].searches
        at = (2, None if one_step or number % 2 else 2)
        _, taken, memory = taken_up(folder, count, number, monkeypatch, at, **settings)
        right, most = right + taken, max(most, memory)
    count *= len(kinds)
    print(f"\n{count:,} sealed checkpoints of {len(kinds)} kinds: {count - right:,} refused, ", end="")
    print(f"{right} gone on from; worst {most / 2**20:.1f} MiB")
    assert count >= 2_000 and right < count / 2


def column(run, name):
    """Return where the column of a name lies in a run of rows."""
    return 1 + run[0].index(name)


ROWS = {
    "another name": lambda run: run[0].__setitem__(column(run, "val_loss") - 1, "value_loss"),
    "a name too many": lambda run: (run[0].append("more"), run.append([0.5, 0.5])),
    "a name less": lambda run: (run.pop(column(run, "val_auc")), run[0].remove("val_auc")),
    "a name twice": lambda run: run[0].__setitem__(column(run, "val_loss") - 1, "loss"),
    "an epoch left out": lambda run: run.__setitem__(column(run, "epoch"), [0, 2]),
    "epochs before the first": lambda run: run.__setitem__(column(run, "epoch"), [-1, 0]),
    "half an epoch": lambda run: run.__setitem__(column(run, "epoch"), [0.0, 1.0]),
    "a loss of letters": lambda run: run.__setitem__(column(run, "loss"), ["0.5", "0.5"]),
    "no loss": lambda run: run.__setitem__(column(run, "loss"), [0.5, None]),
    "a loss in a list": lambda run: run.__setitem__(column(run, "val_loss"), [[0.5], [0.5]]),
    "one value for two epochs": lambda run: run.__setitem__(column(run, "loss"), [0.5]),
    "letters for a column": lambda run: run.__setitem__(column(run, "loss"), "ab"),
    "a huge number": lambda run: run.__setitem__(column(run, "val_loss"), [10**400, 0.5]),
    "a matrix of letters": lambda run: run.__setitem__(column(run, "val_confusion_matrix"), [[["a"]], [["b"]]]),
}


@pytest.mark.parametrize("name", ROWS)
def test_r39_a_history_that_is_not_that_of_the_training_is_refused(name, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        going_on(tmp_path / "c", Interrupt(2, 2))
    header, arrays = parts((tmp_path / "c").read_bytes())
    ROWS[name](header["rows"][0])
    header["sha256"] = store.checksum(header, *(arrays[part] for part in sorted(arrays)))
    (tmp_path / "c").write_bytes(save(arrays, {"firesteel": json.dumps(header)}))
    with pytest.raises(StoreError, match=r"c is damaged: .*Delete it to start over"):
        going_on(tmp_path / "c")


def test_a_history_too_long_to_be_read_again_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LONG", 1_000)
    monkeypatch.setattr(history, "ROW", store.SPARE // 3)  # as if every row were so large
    said = "^the history is too long for a checkpoint: the previous checkpoint remains$"
    with pytest.warns(UserWarning, match=said):
        whole = going_on(tmp_path / "c", epochs=6, callbacks=list)
    left = parts((tmp_path / "c").read_bytes())[0]
    assert len(left["rows"][0][1]) in (1, 2) and not left["finished"]
    with pytest.warns(UserWarning, match=said):
        assert going_on(tmp_path / "c", epochs=6, callbacks=list).fingerprint() == whole.fingerprint()


# Memory


LONG = {
    "whole numbers": lambda n: [7] * n,
    "large whole numbers": lambda n: [10**9 + at for at in range(n)],
    "numbers": lambda n: [at / 7 for at in range(n)],
    "zeros": lambda n: [0.0] * n,
    "letters": lambda n: ["ab"] * n,
    "names": lambda n: {str(at): at for at in range(n)},
    "short tables": lambda n: [{"a": 1}] * n,
    "tables": lambda n: [{"a": 1, "b": 2.5, "c": "d", "e": [1, 2], "f": None, "g": {}}] * (n // 6),
    "empty lists": lambda n: [[]] * n,
    "pairs": lambda n: [[1, 2]] * n,
    "nested": lambda n: [[[[[1]]]]] * n,
    "one text": lambda n: "x" * 8 * n,
    "one text in another alphabet": lambda n: "\u4e00" * n,
    "texts in another alphabet": lambda n: ["\u4e00\U0001f600", "\x7f"] * n,
    "quotes": lambda n: '"\\' * 8 * n,
    "marks": lambda n: [None, True, False] * n,
}
"""What a description may have much of."""


READ = {"model": lambda data: Sequential.from_bytes(data, "m"), "checkpoint": lambda data: kept(data, KEPT[0])}


def longest(kind, form):
    """Return the longest value of a form with which a file is read, in numbers, and the memory that it took."""
    data, most, size = KINDS[kind].small, 0.0, 3 << 14
    header, arrays = parts(data)
    order = [*store.tensor_names(trained(1).network), *store.VECTORS] if kind == "model" else sorted(arrays)
    while True:
        header["more"] = LONG[form](size)
        sealed = header | {"sha256": store.checksum(header, *(arrays[name] for name in order if name in arrays))}
        file = save(arrays, {"firesteel": json.dumps(sealed)})
        del sealed, header["more"]
        tracemalloc.start()
        try:
            READ[kind](file)
        except StoreError as error:
            assert "is not a firesteel" in str(error), error
            return size, most
        finally:
            taken = tracemalloc.get_traced_memory()[1] + len(file)
            tracemalloc.stop()
            assert taken < 2 * len(file) + store.SPARE, (size, taken / 2**20)
        most, size = max(most, taken / (2 * len(file) + store.SPARE)), size * 2


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("form", LONG)
@pytest.mark.parametrize("kind", KINDS)
def test_r40_a_long_description_is_read_in_the_memory_promised_or_refused(kind, form):
    size, most = longest(kind, form)
    print(f"\n{kind}, {form}: up to {size:,}, at most {most:.0%} of the memory promised")
    assert size > 3 << 14


@pytest.mark.slow
@pytest.mark.parametrize("form", ["numbers", "large whole numbers"])
def test_r40_a_process_that_may_take_no_more_reads_a_long_description_or_refuses_it(form, tmp_path):
    """What Python asks of the system is more than what it has in use."""
    header, arrays = parts(KINDS["model"].small)
    order = [*store.tensor_names(trained(1).network), *store.VECTORS]
    files = {}
    for size in range(1_200_000, 1_900_000, 100_000):
        header["more"] = LONG[form](size)
        sealed = header | {"sha256": store.checksum(header, *(arrays[name] for name in order if name in arrays))}
        files[size] = ("model", save(arrays, {"firesteel": json.dumps(sealed)}))
    assert {done["code"] for done in refused(tmp_path, files).values()} == {"", "store-damaged"}


def test_the_mutations_reach_every_field():
    """So that a field which nobody checks is noticed."""
    data = KINDS["model"].small
    header = parts(data)[0]
    seen = set()
    for mutant in sealed_mutants(data, 150, 3, []):
        changed = parts(mutant)[0]
        seen |= {key for key in header if changed.get(key) != header[key]}
    assert seen == set(header)
