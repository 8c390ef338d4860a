"""Pictures in columns: Spark expressions for image structs, nested arrays and encoded pictures.

Expressions work in training, scoring, streams and on Spark Connect alike.
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
"""By number of channels: OpenCV's type of a picture of bytes, and the order of the bytes of a pixel.  Spark has blue
first and alpha last."""


def shape_of(network: Network) -> Shape:
    """Return the shape of a row of the first input, from an `Input` layer or the network."""
    return next((node.layer.shape for node in network.nodes if isinstance(node.layer, Input)), network.entries[0])


def is_image(kind: T.DataType) -> bool:
    """Return whether a column holds Spark's image structs."""
    return isinstance(kind, T.StructType) and tuple(kind.names) == IMAGE


def pixels(image: Column, which: str, shape: Shape | None) -> Column:
    """Return a Spark expression for the pixels of image structs, as bytes in the order red, green, blue.

    Args:
        image: The structs.
        which: The column's name in messages.
        shape: Height, width and channels that the network takes, if they are known.
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
    ends = ", and pictures must have bytes and 1, 3 or 4 channels (types 0, 16 and 24): convert it first"
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
    ends = f", but the network takes {wanted}: resize or convert the pictures, or give the network another Input"
    other = _error(found, F.lit(ends), code="data-picture")
    return F.when(image.isNotNull(), F.when(fits, made).otherwise(other))


def plain(content: Column, which: str) -> Column:
    """Return a Spark expression for a picture's bytes that fails at run time if they are an encoded PNG or JPEG.

    Args:
        content: The bytes.
        which: The column's name in messages.
    """
    start, end = F.hex(F.substring(content, 1, 8)), F.hex(F.substring(content, -2, 2))
    png = start == "89504E470D0A1A0A"
    jpeg = start.startswith("FFD8FF") & (end == "FFD9")
    kind = F.when(png, F.lit("PNG")).otherwise(F.lit("JPEG"))
    ends = (
        ' instead of pixels.  To do: read the pictures with spark.read.format("image").load(folder), and use its '
        'column "image" as features'
    )
    wrong = _error(F.lit(f"{which} holds an encoded "), kind, F.lit(ends), code="data-picture")
    return F.when(png | jpeg, wrong.cast("binary")).otherwise(content)


def depth(kind: T.DataType) -> int:
    """Return the nesting depth of arrays of numbers in a column's type; 0 for any other type."""
    levels = 0
    while isinstance(kind, T.ArrayType):
        kind, levels = kind.elementType, levels + 1
    return levels if isinstance(kind, T.NumericType) else 0


def innermost(kind: T.DataType) -> T.DataType:
    """Return the type of the innermost arrays of a nested array type."""
    while isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.ArrayType):
        kind = kind.elementType
    return kind


def flattened(lists: Column, levels: int, which: str) -> Column:
    """Return a Spark expression that flattens nested lists of numbers, and fails at run time if lengths differ.

    Args:
        lists: The column.
        levels: Its nesting depth.
        which: The column's name in messages.
    """
    for _ in range(levels - 1):
        lengths = F.array_distinct(F.transform(lists, lambda line: F.size(line)))
        text = F.lit(f"{which}: lists in one picture have lengths "), lengths.cast("string")
        wrong = _error(*text, F.lit(": all lines of a picture must have the same length"), code="data-picture")
        even = lists.isNull() | (F.size(lengths) <= 1)
        lists = F.when(even, F.flatten(lists)).otherwise(wrong)
    return lists


def _joined(*numbers: Column) -> list[Column]:
    """Return a Spark expression for numbers as text, such as "28 x 28 x 1"."""
    parts = [part for number in numbers for part in (F.lit(" x "), F.coalesce(number.cast("string"), F.lit("?")))]
    return parts[1:]


def _error(*text: Column, code: str) -> Column:
    return F.raise_error(F.concat(F.lit("firesteel.errors.DataError: "), *text, F.lit(f" [{code}]")))
