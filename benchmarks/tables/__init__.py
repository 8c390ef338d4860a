"""Realistic tables of numbers, words, nulls and times; every model with its library's defaults.

`python -m benchmarks.tables.prepare FOLDER` writes eleven tables.  Each is split three times into 80 % training and
20 % test rows.  `python -m benchmarks tables FOLDER` scores every model on every split in its own process and saves
each score in FOLDER/cache, so that it can continue after an interruption.

Defaults are chosen on `splits(table, choose=True)` of the tables that are not set aside: on training rows, never on
test rows.
"""

from benchmarks.tables.data import SET_ASIDE, TABLES, Kind, Split, Table, splits, tables
from benchmarks.tables.scores import score

__all__ = ["SET_ASIDE", "TABLES", "Kind", "Split", "Table", "score", "splits", "tables"]
