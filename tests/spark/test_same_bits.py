"""The fifth law: same data, seed and configuration give the same bits, whatever carries the rows."""

import functools
import itertools

import numpy as np
import pytest

from firesteel.core.network import DTYPES
from firesteel.spark.columns import Columns
from firesteel.spark.frames import Frame
from tests.spark.conftest import Rows, fit, make_rows


@pytest.fixture(scope="module")
def expected(rows):
    """The fingerprint of the fit in process, which is the reference."""
    return fit(rows.x, rows.y)


@pytest.fixture
def conf(spark):
    """Change settings of the session for one test."""
    before = {}

    def change(name: str, value: str) -> None:
        before[name] = spark.conf.get(name)
        spark.conf.set(name, value)

    yield change
    for name, value in before.items():
        spark.conf.set(name, value)


def test_the_rows_make_enough_blocks_and_shards_for_these_tests_to_fail(spark, rows):
    source = Frame(rows.frame(spark), Columns(), "float32")
    source.profile()
    engine = source.packed(4, False)
    assert len(engine.blocks) >= 8
    assert len({block.id % 4 for block in engine.blocks}) >= 2
    assert sum(block.rows for block in engine.blocks) == len(rows.y)
    engine.close()


PARTITIONS, ORDERS, SEEDS = (1, 2, 3, 7, 64), ("as made", "reversed", "shuffled"), (0, 1, 7)
DIAGONAL = [(PARTITIONS[n], ORDERS[n % 3], SEEDS[n // 2], DTYPES[n % 2]) for n in range(5)]
"""A few layouts with every value of each in them."""


@pytest.mark.parametrize("partitions, adaptive", [(1, "true"), (3, "true"), (24, "false")])
def test_r09_partitions_and_adaptive_execution_change_nothing(spark, rows, expected, conf, partitions, adaptive):
    """What the session shuffles by itself has so many partitions, or fewer if Spark finds them small."""
    conf("spark.sql.adaptive.enabled", adaptive)
    conf("spark.sql.shuffle.partitions", str(partitions))
    frame = rows.frame(spark).repartition("id")
    assert adaptive == "true" or frame.rdd.getNumPartitions() == partitions
    assert fit(frame) == expected


@pytest.mark.slow
@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_r09_two_hundred_partitions_change_nothing(spark, rows, expected, conf, adaptive):
    conf("spark.sql.adaptive.enabled", adaptive)
    conf("spark.sql.shuffle.partitions", "200")
    assert fit(rows.frame(spark).repartition("id")) == expected


@pytest.fixture(scope="module")
def alone(rows):
    """Gives the fingerprint of the fit in process of a seed and dtype, computed once."""
    return functools.cache(lambda seed, dtype: fit(rows.x, rows.y, dtype=dtype, seed=seed))


def laid(spark, rows, partitions, order):
    n = len(rows.y)
    places = {
        "as made": np.arange(n),
        "reversed": np.arange(n)[::-1],
        "shuffled": np.random.default_rng(5).permutation(n),
    }[order]
    frame = rows.frame(spark, order=places).coalesce(1)
    return frame if partitions == 1 else frame.repartition(partitions)


@pytest.mark.parametrize("partitions, order, seed, dtype", DIAGONAL)
def test_r27_a_layout_has_the_bits_of_the_fit_in_process(spark, rows, alone, partitions, order, seed, dtype):
    assert fit(laid(spark, rows, partitions, order), dtype=dtype, seed=seed) == alone(seed, dtype)


def test_r27_every_seed_and_dtype_has_its_own_bits(alone):
    assert {value for one in DIAGONAL for value in one} == {*PARTITIONS, *ORDERS, *SEEDS, *DTYPES}
    assert len({alone(seed, dtype) for seed in SEEDS for dtype in DTYPES}) == len(SEEDS) * len(DTYPES)


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_r27_every_layout_has_the_bits_of_the_fit_in_process(spark, rows, alone, seed, dtype):
    layouts = itertools.product(PARTITIONS, ORDERS)
    found = {where: fit(laid(spark, rows, *where), dtype=dtype, seed=seed) for where in layouts}
    print(f"{len(found)} layouts, distinct hashes: {len({*found.values(), alone(seed, dtype)})}")
    assert set(found.values()) == {alone(seed, dtype)}, found


def test_row_order_changes_nothing_in_process(rows, expected):
    for places in (np.arange(len(rows.y))[::-1], np.argsort(rows.y, kind="stable")):
        assert fit(rows.x[places], rows.y[places]) == expected


@pytest.mark.parametrize(
    "form",
    [
        "mixed",
        *(pytest.param(form, marks=pytest.mark.slow) for form in ("dense", "sparse", "array<double>", "columns")),
    ],
)
def test_the_form_of_the_features_changes_nothing(spark, rows, expected, form):
    features = [f"x{number}" for number in range(6)] if form == "columns" else "features"
    assert fit(rows.frame(spark, form), features=features) == expected


def test_bytes_and_integers_are_the_numbers_they_hold(spark):
    rows = make_rows(600, seed=3)
    pixels = np.abs(rows.x * 4).astype(np.uint8)
    expected = fit(pixels, rows.y)
    frame = spark.createDataFrame(
        [(bytearray(p.tobytes()), int(label)) for p, label in zip(pixels, rows.y, strict=True)],
        "features binary, label long",
    )
    assert fit(frame) == expected
    assert fit(Rows(pixels.astype(float), rows.y, rows.w).frame(spark, "array<int>")) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_numbers_have_the_same_bits_in_every_form_and_dtype(spark, dtype):
    """Whole numbers leave low bits empty, where a weak hash would let keys collide and encodings break ties."""
    rng = np.random.default_rng(4)
    pixels, y = rng.integers(0, 3, (700, 6), dtype=np.uint8), rng.integers(0, 3, 700)
    rows = Rows(pixels.astype(float), y, np.ones(700))
    expected = fit(pixels, y, dtype=dtype)
    for x in (pixels.astype(np.int64), pixels.astype(np.float64)):
        assert fit(x, y, dtype=dtype) == expected
    form = "sparse" if dtype == "float64" else "array<int>"
    assert fit(rows.frame(spark, form).repartition(3), dtype=dtype) == expected


def test_weights_travel_with_their_rows(spark, rows, expected):
    there = fit(rows.frame(spark).repartition(5), weight="weight")
    assert there == fit(rows.x, rows.y, sample_weight=rows.w)
    assert there != expected


def test_r10_fewer_rows_than_partitions(spark):
    rows = make_rows(5)
    settings = {"shards": 1}
    assert fit(rows.frame(spark).repartition(24), **settings) == fit(rows.x, rows.y, **settings)


@pytest.fixture(scope="module")
def heavy():
    """90 % of the rows are one row, and another makes up most of the rest."""
    rows = make_rows(2000, seed=9)
    rows.x[200:], rows.y[200:], rows.w[200:] = rows.x[0], rows.y[0], 1.0
    rows.x[100:180], rows.y[100:180] = rows.x[1], rows.y[1]
    return rows


@pytest.mark.parametrize("partitions", [3, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 7))])
def test_heavy_duplicates_change_nothing(spark, heavy, partitions):
    places = np.random.default_rng(partitions).permutation(len(heavy.y))
    assert fit(heavy.frame(spark, order=places).repartition(partitions)) == fit(heavy.x, heavy.y)


def test_heavy_duplicates_stay_balanced(spark, heavy):
    source = Frame(heavy.frame(spark).repartition(3), Columns(), "float32")
    source.profile()
    engine = source.packed(4, False)
    sizes = [block.rows for block in engine.blocks]
    engine.close()
    assert sum(sizes) == 2000
    assert max(sizes) <= 2 * np.mean(sizes)


def test_the_gradient_strategy_has_the_same_bits_too(spark, rows):
    settings = {"strategy": "gradient", "batch_size": 450, "epochs": 2}
    there = fit(rows.frame(spark).repartition(5), **settings)
    assert there == fit(rows.x, rows.y, **settings)


def test_validation_rows_are_held_out_by_their_values(spark, rows, expected):
    found = []
    for partitions in (1, 7):
        model_rows = rows.frame(spark).repartition(partitions)
        found.append(fit(model_rows, validation_split=0.2))
    assert found[0] == found[1] != expected


def test_a_repeated_fit_gives_the_same_bits(spark, rows, expected):
    frame = rows.frame(spark).repartition(3)
    assert fit(frame) == fit(frame) == expected
