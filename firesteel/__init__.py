"""firesteel: neural networks as native Spark ML stages, and the same networks on plain arrays.

Importing it costs NumPy alone: Spark, pandas and Java come in with `firesteel.spark`, and only there.
Start reading at `firesteel/core/layers/dense.py` (the mathematics), then `firesteel/train/rounds.py` (the training).
"""

__version__ = "0.1.0"
