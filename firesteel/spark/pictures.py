"""Pictures in columns: Spark's image struct, nested arrays, and bytes that are no pixels, as expressions of Spark.

Everything is done where the rows are read, so every reader has it: training, scoring, streams and Spark Connect.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from firesteel.core.layers import Input
from firesteel.core.network import Network
from firesteel.core.types import Shape

IMAGE = ("origin", "height", "width", "nChannels", "mode", "data")
"""The fields of Spark's image struct."""
MODES = {1: (0, "$1"), 3: (16, "$3$2$1"), 4: (24, "$3$2$1$4")}
"""By the number of channels: OpenCV's type of a picture of bytes, and which byte of a pixel becomes which.  Spark has
blue first, and alpha last."""


def shape_of(network: Network) -> Shape:
    """Return the shape of a row of the first input, as an `Input` among the layers or the network says it."""
    return next((node.layer.shape for node in network.nodes if isinstance(node.layer, Input)), network.entries[0])


def is_image(kind: T.DataType) -> bool:
    """Return whether a column holds Spark's image structs."""
    return isinstance(kind, T.StructType) and tuple(kind.names) == IMAGE


def pixels(image: Column, which: str, shape: Shape | None) -> Column:
    """Return the bytes of pictures in image structs: row by row, red, green and blue of each pixel.

    Args:
        image: The structs.
        which: What messages call the column.
        shape: The height, width and channels that a network takes, if they are known.
    """
    made: Column = F.lit(None).cast("binary")
    hexed = F.hex(image["data"])
    for channels, (mode, order) in MODES.items():
        turned = image["data"]
        if channels > 1:
            pattern = "(..)" * channels
            turned = F.unhex(F.regexp_replace(hexed, pattern, order))
        made = F.when((image["nChannels"] == channels) & (image["mode"] == mode), turned).otherwise(made)
    found = F.concat(
        *(F.lit(f"{which}: the picture "), F.coalesce(image["origin"], F.lit("?")), F.lit(" is ")),
        *_joined(image["height"], image["width"], image["nChannels"]),
    )
    ends = ", and pictures are bytes of 1, 3 or 4 channels (types 0, 16 and 24): convert it before"
    kind = image["mode"].cast("string")
    unknown = _error(found, F.lit(", of OpenCV's type "), kind, F.lit(ends), code="data-picture")
    made = F.when(image["data"].isNull() | made.isNotNull(), made).otherwise(unknown)
    if shape is None or len(shape) != 3:
        return F.when(image.isNotNull(), made)
    sides = zip(("height", "width", "nChannels"), shape, strict=True)
    fits = F.lit(True)
    for name, side in sides:
        fits = fits & (image[name] == side)
    wanted = f"{' x '.join(map(str, shape))} (height x width x channels)"
    ends = f", and the network takes {wanted}: resize or convert the pictures, or give the network another Input"
    other = _error(found, F.lit(ends), code="data-picture")
    return F.when(image.isNotNull(), F.when(fits, made).otherwise(other))


def plain(content: Column, which: str) -> Column:
    """Return bytes that are values of their own, and end in an error where they are an encoded picture, by its marks.

    which: what messages call the column.
    """
    start, end = F.hex(F.substring(content, 1, 8)), F.hex(F.substring(content, -2, 2))
    png = start == "89504E470D0A1A0A"
    jpeg = start.startswith("FFD8FF") & (end == "FFD9")
    kind = F.when(png, F.lit("PNG")).otherwise(F.lit("JPEG"))
    ends = (
        ' and no pixels.  To do: read the pictures with spark.read.format("image").load(folder), whose column '
        '"image" is taken as features'
    )
    wrong = _error(F.lit(f"{which} holds an encoded "), kind, F.lit(ends), code="data-picture")
    return F.when(png | jpeg, wrong.cast("binary")).otherwise(content)


def depth(kind: T.DataType) -> int:
    """Return how many arrays of numbers lie in one another in a column's type, 0 where it is something else."""
    levels = 0
    while isinstance(kind, T.ArrayType):
        kind, levels = kind.elementType, levels + 1
    return levels if isinstance(kind, T.NumericType) else 0


def innermost(kind: T.DataType) -> T.DataType:
    """Return the type of the innermost arrays of arrays."""
    while isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.ArrayType):
        kind = kind.elementType
    return kind


def flattened(lists: Column, levels: int, which: str) -> Column:
    """Return lists of lists of numbers as lists of numbers; lists in one list must be of one length.

    Args:
        lists: The column.
        levels: How many lists lie in one another.
        which: What messages call the column.
    """
    for _ in range(levels - 1):
        lengths = F.array_distinct(F.transform(lists, lambda line: F.size(line)))
        text = F.lit(f"{which}: lists in one picture have lengths "), lengths.cast("string")
        wrong = _error(*text, F.lit(": all lines of a picture must be of one length"), code="data-picture")
        even = lists.isNull() | (F.size(lengths) <= 1)
        lists = F.when(even, F.flatten(lists)).otherwise(wrong)
    return lists


def _joined(*numbers: Column) -> list[Column]:
    """Return numbers as text, with a sign of times between them."""
    parts = [part for number in numbers for part in (F.lit(" x "), F.coalesce(number.cast("string"), F.lit("?")))]
    return parts[1:]


def _error(*text: Column, code: str) -> Column:
    return F.raise_error(F.concat(F.lit("firesteel.errors.DataError: "), *text, F.lit(f" [{code}]")))
