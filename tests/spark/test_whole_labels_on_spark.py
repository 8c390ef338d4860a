"""What labels are is decided on Spark as it is in process, from the values and not their types."""

from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from firesteel.cli.parts import labels, part, read
from firesteel.cli.task import decide
from firesteel.errors import DataError
from tests.cli.test_whole_labels import AGES, GRADES, TYPES, csv, holed, parquet

ON_SPARK = [name for name in TYPES if name.startswith(("CSV", "Parquet, ", "LIBSVM")) and "uint" not in name]


@pytest.mark.parametrize("y", [GRADES, AGES, GRADES % 2, AGES * 0.5], ids=["grades", "ages", "bits", "halves"])
@pytest.mark.parametrize("name", ON_SPARK)
def test_labels_make_the_same_task_on_spark(spark, tmp_path, name, y):
    types = [name] if y.dtype.kind == "i" else [one for one in ("CSV", "Parquet, double") if one == name]
    for one in types:
        asked = TYPES[one](tmp_path / "rows", y)
        with ExitStack() as stack:
            here, there = read(asked, None, stack), read(asked, spark, stack)
            expected, found = decide(labels(here), None), decide(labels(there), None)
            assert found == expected and found.decision.split(": ", 1)[1] == expected.decision.split(": ", 1)[1]
            frame = part(there, found, spark)
            targets = frame.x.select(F.col(frame.columns["label"]).cast("double")).toPandas().iloc[:, 0]
            assert sorted(targets) == sorted(part(here, expected, None).y)


@pytest.mark.parametrize(
    "mark",
    ["NA", " n/a ", "nan", *(pytest.param(mark, marks=pytest.mark.slow) for mark in ("None", "?", "-", "NULL"))],
)
def test_a_mark_for_no_value_is_no_class_on_spark(spark, tmp_path, mark):
    for values in (["cat", "dog"] * 5, ["1", "2"] * 5):
        for number, write in enumerate([csv(str), parquet(pa.array)]):
            asked = write(tmp_path / f"rows{number}", holed(values, mark))
            with pytest.raises(DataError) as caught, ExitStack() as stack:
                labels(read(asked, spark, stack))
            assert "column 'y' " in str(caught.value) and caught.value.code in ("data-missing-value", "null-label")
            assert "2 of 10 rows have this error" in str(caught.value)


def test_a_text_among_many_numbers_is_no_class_on_spark(spark, tmp_path):
    for number, values in enumerate((AGES, AGES * 1.5)):
        asked = parquet(pa.array)(tmp_path / f"rows{number}", holed(map(str, values), "unknown"))
        with (
            pytest.raises(DataError, match="'y' holds 'unknown', which is not a number.*2 of 600 rows"),
            ExitStack() as stack,
        ):
            labels(read(asked, spark, stack))
    asked = parquet(pa.array)(tmp_path / "classes", [*"0123456789", "other"] * 20)
    with ExitStack() as stack:
        assert len(labels(read(asked, spark, stack)).values) == 11


@pytest.mark.parametrize("kind", ["double", "string", "int64", "bool"])
def test_a_null_or_nan_is_no_class_on_spark(spark, tmp_path, kind):
    cast = {"string": str, "bool": bool}.get(kind, int)
    values = pa.array(holed([cast(v) for v in GRADES[:10]], None), kind)
    asked = parquet(lambda y: values)(tmp_path / "rows", GRADES[:10])
    with pytest.raises(DataError, match="column 'y' has no value .null. in 2 of 10 rows"), ExitStack() as stack:
        labels(read(asked, spark, stack))
    asked = parquet(np.array)(tmp_path / "nan", np.array(holed(GRADES[:10] * 1.0, np.nan)))
    with pytest.raises(DataError, match="column 'y' holds NaN in 2 of 10 rows"), ExitStack() as stack:
        labels(read(asked, spark, stack))


def test_more_whole_numbers_than_are_counted_are_numbers_on_spark_too(spark, tmp_path):
    for y, kind in ((np.arange(1_200), "whole"), (np.append(np.arange(1_200), 0.5), "number")):
        asked = parquet(lambda y: pa.array(y, "double"))(tmp_path / f"{kind}.parquet", y)
        with ExitStack() as stack:
            here, there = labels(read(asked, None, stack)), labels(read(asked, spark, stack))
        assert here.kind == there.kind == kind and decide(there, None).kind == "regression"
