"""Damaged files that Spark reads: refused by our errors alone, in a line without Java, or trained on."""

from contextlib import ExitStack

import pytest

from firesteel.cli.parts import BY_SPARK, labels, part, read
from firesteel.cli.rows import Ask
from firesteel.cli.task import decide
from firesteel.errors import FiresteelError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark.files import explained
from tests.store.test_mutated_readers import SOUND, WORDS, damaged, lines, reader_of

PLAIN = {"libsvm": lines(lambda n, v: f"{n % 3} 1:{v[0]} 3:{v[2]}"), "text": WORDS["lines"]}
KINDS = {name: PLAIN.get(name, content) for name, content in SOUND.items() if reader_of(name) in BY_SPARK}
UNREAD = ("csv, xz", "parquet, of vectors", "csv, quoted")
"""What Spark reads in other ways, or not at all: in the last, a line ends with CR."""
ENDINGS = {"csv, gzip": ".gz", "csv, bzip2": ".bz2"}


def trained(spark, form, path, other):
    """Read a file and train on it, as the command line does."""
    with ExitStack() as stack:
        rows = read(Ask(str(path), form, str(other) if form == "text" else None), spark, stack)
        with explained(rows.source):
            task = decide(labels(rows), None)
            given = part(rows, task, spark)
        model = Sequential([Dense(3, "softmax") if task.kind == "classification" else Dense(1)])
        model.compile("adam", task.loss)
        model.fit(**given.arguments, epochs=1, verbose=0, shards=1)


def outcomes(spark, folder, name, count):
    """Return how many of so many damaged files of a kind were refused."""
    other, refused = folder / "labels", 0
    other.write_text("".join(f"{n % 2} {1 - n % 2}\n" for n in range(12)))
    for number, content in enumerate(damaged(name, KINDS[name], count)):
        path = folder / f"rows-{number}{ENDINGS.get(name, '')}"
        path.write_bytes(content)
        try:
            trained(spark, reader_of(name), path, other)
        except FiresteelError as error:
            said = str(error)
            assert number, (name, said)
            assert error.code.startswith(("data-", "config-", "spark-job")) or error.code in OURS, (
                name,
                number,
                said,
            )
            assert len(said) < 700 and not any(sign in said for sign in ("\n", "\tat ", "org.apache", "py4j")), said
            refused += 1
    return refused


OURS = ("diverged", "nan", "null-label")
TRIED = [name for name in KINDS if name not in UNREAD]


def test_r43_every_format_that_spark_reads_is_here():
    assert set(map(reader_of, TRIED)) == set(BY_SPARK)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TRIED)
def test_r43_a_hundred_damaged_files_of_each_kind_are_refused_in_a_line_on_spark(spark, tmp_path, name):
    refused = outcomes(spark, tmp_path, name, 100)
    print(f"\n100 damaged files, {name}, on Spark: {refused} refused, {100 - refused} trained on")
    assert refused
