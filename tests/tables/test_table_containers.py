"""The same table has the same bits, whatever holds it."""

import datetime
import decimal
import math
import zoneinfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from firesteel.errors import ConfigError, DataError
from firesteel.tables.containers import columns_of, is_table, values_of
from firesteel.tables.profile import Profile, learn

UTC = datetime.UTC
ZURICH = zoneinfo.ZoneInfo("Europe/Zurich")
D = decimal.Decimal
NA, NAT, NAN = pd.NA, pd.NaT, float("nan")


def times(zone, *, year=2013, nothing=None):
    """Return times with parts of a second, before 1970 and around a change of summer time."""
    found = [datetime.datetime(year, 10, 27, hour, 30, 1, 5, tzinfo=zone) for hour in (0, 1, 4)]
    return [*found, datetime.datetime(1913, 6, 5, 4, 3, 2, 999_999, tzinfo=zone), nothing, *found]


DAYS = [datetime.date(2013, 1, 31), None, datetime.date(1969, 12, 31), datetime.date(2000, 2, 29)]
WORDS = ["a", None, "", "a", "é", "😀", "a b", "a.b"]


def arrow(values, kind):
    """Return the forms of Arrow's array: whole, in chunks, as a dictionary, and in pandas."""
    whole = pa.array(values, kind)
    chunks = pa.chunked_array([whole[:1], whole[1:1], whole[1:]])
    return [
        whole,
        whole[1:1],
        chunks,
        whole.dictionary_encode(),
        chunks.dictionary_encode(),
        pd.Series(chunks, dtype=pd.ArrowDtype(kind)),
    ]


def pandas(values, *kinds):
    """Return a pandas Series of each dtype, and as a category, under an index that does not begin at 0."""
    found = [pd.Series(values, dtype=kind, index=range(7, 7 + len(values))) for kind in kinds]
    return found + [one.astype("category") for one in found]


SAME = {
    "text": (
        "text",
        WORDS,
        [
            WORDS,
            tuple(WORDS),
            np.array(WORDS, object),
            [NAN if one is None else one for one in WORDS],
            [NA if one is None else np.str_(one) for one in WORDS],
            np.ma.array([one or "" for one in WORDS], mask=[one is None for one in WORDS]),
            np.array(WORDS, np.dtypes.StringDType(na_object=None)),
            *pandas(WORDS, object, "string", "string[pyarrow]"),
            *arrow(WORDS, pa.string()),
            *arrow(WORDS, pa.large_string()),
            pa.array(WORDS, pa.string_view()),
        ],
    ),
    "integer": (
        "integer",
        [1, None, 2**62 + 1, -(2**63), 2**63 - 1],
        [
            [1, None, 2**62 + 1, -(2**63), 2**63 - 1],
            [np.int64(1), NA, np.int64(2**62 + 1), -(2**63), 2**63 - 1],
            np.ma.array([1, 7, 2**62 + 1, -(2**63), 2**63 - 1], mask=[0, 1, 0, 0, 0]),
            *pandas([1, None, 2**62 + 1, -(2**63), 2**63 - 1], object, "Int64"),
            *arrow([1, None, 2**62 + 1, -(2**63), 2**63 - 1], pa.int64()),
        ],
    ),
    "small": (
        "integer",
        [1, 200, None],
        [
            *pandas([1, 200, None], "Int16", "UInt8", "UInt64"),
            *arrow([1, 200, None], pa.uint8()),
            *arrow([1, 200, None], pa.uint64()),
            *arrow([1, 200, None], pa.int32()),
        ],
    ),
    "unsigned": (
        "float",
        [0.0, 2.0**64],
        [
            [0, 2**64 - 1],
            np.array([0, 2**64 - 1], np.uint64),
            *pandas([0, 2**64 - 1], "uint64", "UInt64"),
            *arrow([0, 2**64 - 1], pa.uint64()),
        ],
    ),
    "float": (
        "float",
        [0.1, None, math.inf, -math.inf, 1e308, 5e-324, -0.0],
        [
            [0.1, None, math.inf, -math.inf, 1e308, 5e-324, -0.0],
            [0.1, NAN, math.inf, -math.inf, 1e308, 5e-324, -0.0],
            np.array([0.1, NAN, math.inf, -math.inf, 1e308, 5e-324, -0.0]),
            np.ma.array([0.1, 7, math.inf, -math.inf, 1e308, 5e-324, -0.0], mask=[0, 1, 0, 0, 0, 0, 0]),
            *pandas([0.1, None, math.inf, -math.inf, 1e308, 5e-324, -0.0], object, float, "Float64"),
            *arrow([0.1, None, math.inf, -math.inf, 1e308, 5e-324, -0.0], pa.float64()),
        ],
    ),
    "half": (
        "float",
        [0.5, None, -2.0],
        [
            np.array([0.5, NAN, -2], np.float16),
            np.array([0.5, NAN, -2], np.float32),
            np.array([0.5, NAN, -2], np.longdouble),
            *pandas([0.5, None, -2], "float32", "Float32"),
            *arrow([0.5, None, -2], pa.float32()),
            pa.array(np.array([0.5, 0, -2], np.float16), mask=np.array([False, True, False])),
        ],
    ),
    "decimal": (
        "float",
        [0.1, None, float("12345678901234567890123456789012345678"), -1e-10],
        [
            [D("0.1"), None, D("12345678901234567890123456789012345678"), D("-1e-10")],
            [D("0.1"), D("NaN"), D("12345678901234567890123456789012345678"), D("-1e-10")],
            [D("0.1"), D("sNaN"), 12345678901234567890123456789012345678, D("-1e-10")],
            pd.Series([D("0.1"), None, D("12345678901234567890123456789012345678"), D("-1e-10")]),
            *arrow([D("0.1"), None, D("12345678901234567890123456789012345678"), D("-1e-10")], pa.decimal256(60, 10)),
        ],
    ),
    "boolean": (
        "boolean",
        [True, None, False],
        [
            [True, None, False],
            [np.True_, NA, np.False_],
            np.ma.array([True, True, False], mask=[0, 1, 0]),
            *pandas([True, None, False], object, "boolean"),
            *arrow([True, None, False], pa.bool_()),
        ],
    ),
    "date": (
        "date",
        DAYS,
        [
            DAYS,
            np.array(DAYS, "M8[D]"),
            list(np.array(DAYS, "M8[D]")),
            np.ma.array(np.array(DAYS, "M8[D]"), mask=[0, 1, 0, 0]),
            pd.Series(DAYS),
            pd.Series(DAYS).astype("category"),
            *arrow(DAYS, pa.date32()),
            pa.array(DAYS, pa.date64()),
        ],
    ),
    "wall": (
        "wall",
        times(None),
        [
            times(None),
            times(None, nothing=NAT),
            np.array(times(None), "M8[us]"),
            list(np.array(times(None), "M8[us]")),
            np.array(times(None), "M8[us]").astype("M8[ns]"),
            np.ma.array(np.array(times(None), "M8[us]").astype("M8[ns]"), mask=[0, 0, 0, 0, 1, 0, 0, 0]),
            *pandas(times(None), "M8[ns]", "M8[us]", object),
            *arrow(times(None), pa.timestamp("us")),
            *arrow(times(None), pa.timestamp("ns")),
        ],
    ),
    "timestamp": (
        "timestamp",
        times(ZURICH),
        [
            times(ZURICH),
            [one and one.astimezone(UTC) for one in times(ZURICH)],
            [one and one.astimezone(datetime.timezone(datetime.timedelta(hours=-7))) for one in times(ZURICH)],
            *pandas(times(ZURICH), object),
            *pandas(times(ZURICH), "datetime64[ns, Europe/Zurich]", "datetime64[us, UTC]"),
            *arrow(times(ZURICH), pa.timestamp("us", "Europe/Zurich")),
            *arrow(times(ZURICH), pa.timestamp("ns", "UTC")),
        ],
    ),
    "ends": (
        "wall",
        [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)],
        [
            [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)],
            np.array(["0001-01-01", "9999-12-31T23:59:59.999999"], "M8[us]"),
            pd.Series(np.array(["0001-01-01", "9999-12-31T23:59:59.999999"], "M8[us]")),
            pa.array([datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)]),
        ],
    ),
    "nothing": ("text", [None] * 3, [[None] * 3, [NA, None, NAN], pa.nulls(3), pd.Series([None] * 3)]),
    "nowhere": (
        "float",
        [NAN] * 3,
        [[NAN] * 3, np.full(3, NAN), pd.Series([NAN] * 3), pa.array([None] * 3, "float32")],
    ),
}


def read(column):
    """Return a column's values as Python has them, None where they are missing."""
    if column.kind in ("text", "written"):
        known = [None if out else column.words[code] for code, out in zip(column.data, column.absent, strict=True)]
        assert column.data.dtype == np.int32
        return known
    assert column.data.dtype == (np.float64 if column.kind == "float" else np.int64)
    return [None if out else value for value, out in zip(column.data.tolist(), column.absent, strict=True)]


def expected(kind, values):
    """Return what `read` is to give of Python's values."""
    begin = datetime.datetime(1970, 1, 1, tzinfo=UTC if kind == "timestamp" else None)
    step = datetime.timedelta(microseconds=1)
    if kind == "date":
        return [one and (one - begin.date()) // step for one in values]
    if kind in ("wall", "timestamp"):
        return [one and (one - begin) // step for one in values]
    return [None if one != one else one for one in values]


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name, (_, _, forms) in SAME.items() for at in range(len(forms))]
)
def test_a_column_is_read_as_the_values_that_it_holds(name, at):
    kind, values, forms = SAME[name]
    found = values_of(forms[at], "a")
    if len(forms[at]):
        assert found.kind == kind and read(found) == expected(kind, values)
    else:
        assert read(found) == []


@pytest.mark.parametrize("name", SAME)
def test_every_form_of_a_column_is_learned_and_encoded_alike(name):
    _, values, forms = SAME[name]
    found = set()
    for form in forms:
        if len(form):
            column = values_of(form, "a")
            column = type(column)(column.kind, np.tile(column.data, 3), np.tile(column.absent, 3), column.words)
            rows = len(column)
            table = {"a": column, "n": values_of(np.arange(rows), "n")}
            schema = learn(Profile.of(table, rows), zone="Europe/Zurich")
            found.add((repr(schema.to_config()), schema.encode(table, rows).tobytes()))
    assert len(found) == 1


def table_of(rows=200):
    """Return a table of plain lists."""
    rng = np.random.default_rng(0)

    def some(values):
        return [None if rng.random() < 0.1 else one for one in values]

    return {
        "number": some(rng.normal(size=rows).tolist()),
        "whole": some(rng.integers(0, 1000, rows).tolist()),
        "truth": some((rng.random(rows) < 0.5).tolist()),
        "colour": some(rng.choice(["red", "green", "blue"], rows).tolist()),
        "town.of birth": some([f"town {n}" for n in rng.integers(0, 30, rows)]),
        "day": some(
            [datetime.date(2013, 1, 1) + datetime.timedelta(days=int(n)) for n in rng.integers(0, 900, rows)]
        ),
        "moment": some(
            [
                datetime.datetime(2013, 1, 1, tzinfo=UTC) + datetime.timedelta(hours=int(n))
                for n in rng.integers(0, 9000, rows)
            ]
        ),
        "": list(range(rows)),
    }


def test_a_table_is_the_same_in_every_container():
    plain = table_of()
    held = pa.table(plain)
    frames = [
        plain,
        {name: np.array(one, object) for name, one in plain.items()},
        pd.DataFrame({name: pd.Series(one, dtype=object) for name, one in plain.items()}),
        pd.DataFrame(plain).convert_dtypes(),
        held.to_pandas(types_mapper=pd.ArrowDtype),
        held,
        pa.Table.from_batches(held.to_batches(max_chunksize=17)),
        held.combine_chunks().to_batches()[0],
    ]
    found = set()
    for frame in frames:
        assert is_table(frame)
        columns, rows = columns_of(frame)
        schema = learn(Profile.of(columns, rows))
        kinds = tuple((name, column.kind) for name, column in columns.items())
        found.add((rows, kinds, repr(schema.to_config()), schema.encode(columns, rows).tobytes()))
    assert len(found) == 1


def test_pandas_own_floats_for_whole_numbers_with_gaps_are_encoded_alike():
    """pandas reads 1, null as 1.0, NaN: the kind is another, and the rows are the same."""
    plain = {"a": [1, 5, None, 7] * 9, "b": list(range(36))}
    found = []
    for frame in (plain, pd.DataFrame(plain)):
        columns, rows = columns_of(frame)
        found.append(learn(Profile.of(columns, rows)).encode(columns, rows).tobytes())
    assert found[0] == found[1]


def test_a_column_that_is_made_a_category_is_one_in_every_container():
    for frame in (
        {"zip": [8001, 8002, None]},
        pd.DataFrame({"zip": [8001, 8002, None]}),
        pa.table({"zip": [8001, 8002, None]}),
    ):
        columns, _ = columns_of(frame, {"zip": "category"})
        assert read(columns["zip"]) == ["8001", "8002", None] and columns["zip"].kind == "written"
    columns, _ = columns_of(
        {"a": [True, False], "b": [0.5, math.inf], "c": [datetime.date(1, 2, 3)] * 2, "d": ["x", "y"]},
        dict.fromkeys("abcd", "category"),
    )
    assert [read(one)[0] for one in columns.values()] == ["True", "0.5", "0001-02-03", "x"]
    assert columns["d"].kind == "text"


@pytest.mark.parametrize(
    ("kinds", "what"), [({"zap": "category"}, "no column 'zap'.*zip"), ({"zip": "ordered"}, "'ordered'")]
)
def test_a_kind_that_there_is_not_is_refused(kinds, what):
    with pytest.raises(ConfigError, match=what):
        columns_of({"zip": [1]}, kinds)


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (["a", 1], "int and str"),
        (["a", True, None], "bool and str"),
        ([1, datetime.date(2013, 1, 1)], "date and int"),
        ([datetime.date(2013, 1, 1), datetime.datetime(2013, 1, 1)], "date and datetime"),
        ([datetime.datetime(2013, 1, 1), datetime.datetime(2013, 1, 1, tzinfo=UTC)], "with and without a zone"),
        ([datetime.datetime(2013, 1, 1), np.datetime64("2013-01-01")], "datetime and datetime64"),
        ([[1, 2], [3]], "list"),
        ([np.arange(2), np.arange(2)], "ndarray"),
        ([np.arange(2), NAN], "ndarray"),
        ([b"a"], "bytes"),
        ([{}], "dict"),
        ([1 + 2j], "complex"),
        ([datetime.timedelta(1)], "timedelta"),
        ([np.timedelta64(1, "s")], "timedelta64"),
        ([datetime.time(1)], "time"),
        (np.array([b"a"]), "S1"),
        (np.array([1j]), "complex128"),
        (np.array([1], "m8[s]"), "timedelta64"),
        (np.zeros(2, [("a", int)]), r"\[\('a'"),
        (np.zeros((2, 2)), "2 axes"),
        (np.array(3.0), "0 axes"),
        ("abc", "type str"),
        (5, "type int"),
        (None, "type NoneType"),
        ({"a": 1}, "type dict"),
        ({1, 2}, "type set"),
        (pd.Series(pd.period_range("2013", periods=2, freq="D")), "Period"),
        (pd.Series([pd.Timedelta(1)]), "timedelta64"),
        (pd.Series([pd.Interval(0, 1)]), "Interval"),
        (pa.array([[1]]), "list"),
        (pa.array([{"a": 1}]), "struct"),
        (pa.array([datetime.time(1)]), "time64"),
        (pa.array([datetime.timedelta(1)]), "duration"),
        (pa.array([b"a"]), "binary"),
    ],
    ids=lambda one: repr(one)[:30],
)  # fmt: skip
def test_a_column_of_none_of_a_tables_types_is_refused(column, what):
    with pytest.raises(DataError, match=f"(?s)column 'x y'.*{what}"):
        columns_of({"x y": column})


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"a": [1], 2: [1]}, "a column is called 2"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        (pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])), "a column is called"),
        (pa.table([[1], [2]], names=["a", "a"]), "two columns are called 'a'"),
        ({"a": [1], "b": [1, 2]}, r"differ in length \(a 1, b 2\)"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_table_whose_columns_do_not_fit_is_refused(table, what):
    with pytest.raises(DataError, match=what):
        columns_of(table)


def test_a_table_without_rows_or_columns_has_none():
    for table in ({}, pd.DataFrame(), pa.table({})):
        assert columns_of(table) == ({}, 0)
    for table in (
        {"a": [], "b": ()},
        pd.DataFrame({"a": [], "b": []}),
        pa.table({"a": pa.array([], "string"), "b": pa.array([], "int8")}),
    ):
        columns, rows = columns_of(table)
        assert rows == 0 and [*columns] == ["a", "b"]


def test_what_is_no_table_is_none():
    for other in (
        [[1, 2]],
        np.zeros((2, 2)),
        5,
        "abc",
        None,
        pd.Series([1]),
        pa.array([1]),
        sparse.dok_array((2, 2)),
    ):
        assert not is_table(other)


def test_numbers_that_no_float_holds_are_infinite():
    assert read(values_of([10**400, -(10**400), 1, D("1e400")], "a")) == [math.inf, -math.inf, 1.0, math.inf]
    assert read(values_of([2**63, 1], "a")) == [2.0**63, 1.0]
    assert read(values_of([True, 2, 0.5], "a")) == [1.0, 2.0, 0.5]


def test_text_is_read_character_for_character():
    odd = ["", " ", "\0", "a\0", "\ud800", "😀", "e\u0301", "é", "None", "nan", "NA"]
    found = values_of(odd, "a")
    assert read(found) == odd and len(set(found.words)) == len(odd)


class Frame:
    """A DataFrame of Spark Connect, which makes a column of any name that it is asked for."""

    columns = ("a",)

    def mapInArrow(self):
        """What pandas' frames do not have."""

    def __getattr__(self, name):
        raise AssertionError(name)


def test_a_frame_of_spark_is_no_table_and_is_not_asked_for_columns():
    assert not is_table(Frame())
