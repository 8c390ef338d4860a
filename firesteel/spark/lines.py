"""Reads images and labels from two text files with a row per line, paired by line number.

Spark does not number lines, but each task reads the lines of its file split in order.  Tasks parse, count and
validate the lines of their split in chunks; the driver orders the splits.  The labels, which are small, then move to
the chunks of images.  Every line is parsed once and validated before training.
`datasets/text.py` writes such files.
"""

import contextlib
import functools
import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import StorageLevel
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import firesteel
from firesteel.datasets.marks import is_number
from firesteel.errors import DataError
from firesteel.spark.arrow import Batches, binary_views, check_version, lists, record_batch
from firesteel.spark.engine import collect
from firesteel.spark.failures import alive, release_quietly, translated
from firesteel.spark.parcel import ship
from firesteel.spark.storage import path_text, pattern

CHUNK = 4096
"""Maximum number of lines in a chunk, and the distance between the starts of label packs."""
SHOWN = 40
"""Maximum length of a bad value in a message."""
PARSED = "file string, start long, at long, rows long, data binary, report string"
CUT = "pack long, label_line long, label_rows long, labels binary"

Place = tuple[str, int]
"""A file split: the file, and the byte at which it begins."""
Where = tuple[str, int, int]
"""A line: its file, the first byte of its split, and its number in the split, from 0."""


@dataclass(frozen=True)
class Paired:
    """Rows read from two text files, with the path of each and the number of lines.

    Args:
        frame: The rows: `features`, arrays of floats (or doubles if floats lose digits), and `label`.
        rows: Number of rows.
        inputs: Number of features.
        classes: Number of classes; 1 if labels are numbers.
    """

    frame: DataFrame
    rows: int
    inputs: int
    classes: int


@contextlib.contextmanager
def paired(
    spark: SparkSession, images: str | os.PathLike[str], labels: str | os.PathLike[str], *, numbers: bool = False
) -> Iterator[Paired]:
    """Context manager: rows with features from the lines of one text file and labels from another.

    Parsed lines stay in Spark's cache until the end of the `with` block.

    Args:
        spark: The session.
        images: A path that Spark reads: a file, plain or gzipped, or a folder of files in the order of their names.
        labels: A path as for `images`.
        numbers: Whether a label may also be one number per line.

    Raises:
        DataError: With file and line: `data-file` for a missing file, `data-empty` for no lines, `data-number` for a
            value that is not a finite number, `data-ragged` for lines of different lengths, `data-label` for a label
            that is not one-hot, `data-rows` for different numbers of images and labels.
    """
    images, labels = path_text(images, "images"), path_text(labels, "labels")
    with alive(spark, images):
        ship(spark)
    with contextlib.ExitStack() as stack:
        x = stack.enter_context(_parsed(spark, images, "features"))
        y = stack.enter_context(_parsed(spark, labels, "numbers" if numbers else "one-hot"))
        if x.rows != y.rows:
            few, many = sorted((x, y), key=lambda one: one.rows)
            raise DataError(
                f"{many.path}, line {few.rows + 1:,}: {few.path} has no line {few.rows + 1:,}: it has {few.rows:,} "
                f"lines and the other file {many.rows:,}; lines without a partner: {many.rows - few.rows:,}.  To do: "
                "name two files whose lines belong together, an image and its label in lines with the same number",
                code="data-rows",
            )
        yield Paired(_joined(spark, x, y), x.rows, x.width, y.width)


# On the driver


@dataclass(frozen=True)
class _Lines:
    """A parsed text file, or folder of text files.

    Args:
        path: The path.
        frame: The chunks.
        first: Number of the first line of each split, from 0 over all files.
        rows: Number of lines.
        width: Values per line; of one-hot labels the number of classes.
        narrow: Whether float32 represents all numbers exactly.
    """

    path: str
    frame: DataFrame
    first: Mapping[Place, int]
    rows: int
    width: int
    narrow: bool


@contextlib.contextmanager
def _parsed(spark: SparkSession, path: str, kind: str) -> Iterator[_Lines]:
    try:
        text = spark.read.text(pattern(spark, path))
    except AnalysisException as error:
        raise DataError(f"{path}: cannot be read: {str(error).splitlines()[0]}", code="data-file") from None
    except Exception as error:
        raise translated(error, spark, path) from None
    lines = text.select("value", "_metadata.file_path", "_metadata.file_block_start")
    work = functools.partial(parse, firesteel.__version__, kind)
    frame = lines.mapInArrow(work, PARSED).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        chunks = collect(frame.select("file", "start", "at", "rows", "report"), "firesteel: validating the lines")
        yield _validated(path, frame, chunks.to_pylist())
    finally:
        release_quietly(frame.unpersist)


def _validated(path: str, frame: DataFrame, chunks: list[dict[str, Any]]) -> _Lines:
    """Merge the reports of the chunks of a file.  Raises DataError for the most important problem in them."""
    splits: Counter[Place] = Counter()
    for chunk in chunks:
        splits[chunk["file"], chunk["start"]] += chunk["rows"]
    first, rows = {}, 0
    for place in sorted(splits):
        first[place], rows = rows, rows + splits[place]
    if not rows:
        raise DataError(f"{path}: it contains no lines: check how it was written", code="data-empty")
    files, reports = {file for file, _ in splits}, [json.loads(chunk["report"]) for chunk in chunks]

    def found(part: str) -> list[tuple[int, Where, Any]]:
        return [
            (count, (chunk["file"], chunk["start"], chunk["at"] + line), shown)
            for chunk, report in zip(chunks, reports, strict=True)
            for count, line, shown in report[part]
        ]

    def refuse(code: str, what: str, remedy: str, bad: list[tuple[int, Where, Any]]) -> DataError:
        (file, start, number), shown = min(one[1:] for one in bad)
        at = first[file, start] + number - min(first[place] for place in first if place[0] == file)
        where = f"{path if len(files) == 1 else unquote(file)}, line {at + 1:,}"
        count = sum(one[0] for one in bad)
        return DataError(
            f"{where}: {what.format(shown)}; {count:,} of {rows:,} lines have this error.  To do: {remedy}", code=code
        )

    if bad := found("numbers"):
        raise refuse("data-number", "{} is not a finite number", "write numbers, with spaces between them", bad)
    counts, widths = Counter[int](), found("widths")
    for count, _, width in widths:
        counts[width] += count
    usual = counts.most_common(1)[0][0]
    if bad := [one for one in widths if one[2] != usual]:
        what = f"{{}} values, where most lines have {usual:,}"
        raise refuse("data-ragged", what, f"give every line {usual:,} values", bad)
    if bad := found("labels"):
        what = "{} is not a one-hot label"
        raise refuse("data-label", what, "write 1 at the position of the class and 0 at all others", bad)
    return _Lines(path, frame, first, rows, usual, all(report["narrow"] for report in reports))


def _joined(spark: SparkSession, x: _Lines, y: _Lines) -> DataFrame:
    """Join images and labels: the chunks of images stay in place, and the labels of their lines move to them."""
    first = spark.createDataFrame(
        [(*place, line) for place, line in x.first.items()], "file string, start long, n long"
    )
    images = x.frame.join(F.broadcast(first), ["file", "start"])
    line = F.col("n") + F.col("at")
    images = images.select(line.alias("line"), "rows", "data", F.floor(line / CHUNK).alias("pack"))
    version = firesteel.__version__
    labels = y.frame.mapInArrow(functools.partial(cut, version, y.first), CUT)
    kind = "double" if y.width == 1 else "long"
    work = functools.partial(pair, version, x.width, y.width == 1, x.narrow)
    number = "float" if x.narrow else "double"
    return images.join(labels, "pack").mapInArrow(work, f"features array<{number}>, label {kind}")


# On executors


def parse(version: str, kind: str, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Parse lines into chunks, each with a report.

    Args:
        version: The driver's version of firesteel.
        kind: "features" for float32 values, or float64 if they have more digits; "one-hot" for labels that become
            int64 classes; "numbers" for labels that are one-hot or one float64 per line.
        batches: The lines.
    """
    check_version(version)
    seen: Counter[Place] = Counter()
    for batch in batches:
        lines, files, starts = batch.columns
        at = 0
        for place, run in itertools.groupby(zip(files.to_pylist(), starts.to_pylist(), strict=True)):
            end = at + sum(1 for _ in run)
            for begin in range(at, end, CHUNK):
                part = lines.slice(begin, min(CHUNK, end - begin))
                values, report = _chunk(part, kind)
                data = b"" if values is None else values.tobytes()
                where = {"file": [place[0]], "start": [place[1]], "at": [seen[place]], "rows": [len(part)]}
                yield record_batch(**where, data=[data], report=[json.dumps(report)])
                seen[place] += len(part)
            at = end


def _chunk(lines: pa.Array, kind: str) -> tuple[npt.NDArray[Any] | None, dict[str, Any]]:
    """Parse lines; return their values or labels (None if some are invalid) and a report.

    The report has whether float32 is enough, and the number, the first line and its content for each width, for bad
    numbers and for bad labels.
    """
    lines = pc.ascii_trim_whitespace(lines)
    words = pc.ascii_split_whitespace(lines)
    widths = pc.list_value_length(words).to_numpy(zero_copy_only=False)
    widths = np.where(pc.binary_length(lines).to_numpy(zero_copy_only=False) == 0, 0, widths)  # "" splits into [""]
    lengths, firsts, counts = np.unique(widths, return_index=True, return_counts=True)
    found = np.stack([counts, firsts, lengths], axis=1).tolist()
    report: dict[str, Any] = {"widths": found, "numbers": [], "labels": [], "narrow": True}
    values = _floats(words.flatten())
    with np.errstate(over="ignore"):
        kept = values.astype(np.float32) if kind == "features" else values
    bad = np.flatnonzero(~np.isfinite(kept))
    if len(bad):
        ends = np.cumsum(pc.list_value_length(words).to_numpy(zero_copy_only=False))
        holding = np.searchsorted(ends, bad, side="right")
        bad, holding = (part[widths[holding] > 0] for part in (bad, holding))
    if len(bad):
        word = words.flatten().cast(pa.binary())[int(bad[0])].as_py().decode(errors="replace")
        return None, report | {"numbers": [[len(np.unique(holding)), int(holding[0]), _short(word)]]}
    if len(lengths) > 1 or not lengths[0]:
        return None, report
    report["narrow"] = narrow = bool((kept == values).all())
    table = (kept if narrow else values).reshape(len(lines), -1)
    if kind == "features" or (kind == "numbers" and lengths[0] == 1):
        return table, report
    sound = ((table == 0) | (table == 1)).all(axis=1) & (table.sum(axis=1) == 1) & (table.shape[1] > 1)
    if not sound.all():
        line = int(np.argmin(sound))
        shown = " ".join(f"{value:g}" for value in table[line].tolist())
        return None, report | {"labels": [[int((~sound).sum()), line, _short(shown)]]}
    return table.argmax(axis=1), report


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def _floats(words: pa.Array) -> npt.NDArray[np.float64]:
    """Convert words to numbers; a word that is not a number becomes NaN or infinite."""
    try:
        values: npt.NDArray[np.float64] = words.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return values
    except pa.ArrowInvalid:
        texts = [word.decode("ascii", "replace") for word in words.cast(pa.binary()).to_pylist()]
        return np.array([float(text) if is_number(text) else math.nan for text in texts])


def cut(version: str, first: Mapping[Place, int], batches: Batches) -> Iterator[pa.RecordBatch]:
    """Group labels into overlapping packs for joining: pack p has lines p CHUNK to (p + 2) CHUNK.

    These are all labels that an image chunk beginning in the first half can need.
    """
    check_version(version)
    for batch in batches:
        data = binary_views(batch.column("data"))
        for row, bytes_ in zip(batch.select(["file", "start", "at"]).to_pylist(), data, strict=True):
            labels = bytes_.view(np.int64)  # or float64: 8 bytes per label
            begin = first[row["file"], row["start"]] + row["at"]
            end = begin + len(labels)
            for pack in range(max(0, begin // CHUNK - 1), (end - 1) // CHUNK + 1):
                low, high = max(begin, pack * CHUNK), min(end, (pack + 2) * CHUNK)
                if low < high:
                    part = labels[low - begin : high - begin].tobytes()
                    yield record_batch(pack=[pack], label_line=[low], label_rows=[high - low], labels=[part])


def pair(version: str, width: int, numbers: bool, narrow: bool, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Yield rows from the lines that a chunk of images and a pack of labels share.

    Args:
        version: The driver's version of firesteel.
        width: Number of features.
        numbers: Whether labels are float64 instead of int64.
        narrow: Whether images become float32 instead of float64.
        batches: Chunks of images with label packs.
    """
    check_version(version)
    for batch in batches:
        chunks, packs = binary_views(batch.column("data")), binary_views(batch.column("labels"))
        places = (batch.column(name).to_pylist() for name in ("line", "rows", "label_line"))
        for line, rows, start, chunk, pack in zip(*places, chunks, packs, strict=True):
            x = chunk.view(f"f{len(chunk) // (rows * width)}").reshape(rows, width)
            x, y = x.astype("f4" if narrow else "f8", copy=False), pack.view("f8" if numbers else "i8")
            low, high = max(line, start), min(line + len(x), start + len(y))
            if low < high:
                features = lists(x[low - line : high - line])
                label = pa.array(y[low - start : high - start])
                yield pa.RecordBatch.from_arrays([features, label], ["features", "label"])
