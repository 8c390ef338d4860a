"""Tables as people have them: numbers, words, nulls and times, and every model with its library's defaults.

Eleven tables, made by `python -m benchmarks.tables.prepare FOLDER`, are each split three times: 80 % for training and
20 % for the test.  `python -m benchmarks tables FOLDER` scores every model on every split in a process of its own and
keeps each score in FOLDER/cache, so that it goes on where it ended.

Defaults are chosen on `splits(table, choose=True)` of the tables that are not set aside: rows of a training part,
never of a test.
"""

from benchmarks.tables.data import SET_ASIDE, TABLES, Kind, Split, Table, splits, tables
from benchmarks.tables.scores import score

__all__ = ["SET_ASIDE", "TABLES", "Kind", "Split", "Table", "score", "splits", "tables"]
