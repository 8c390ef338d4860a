"""Floor 0: the mathematics.  NumPy and the standard library only: no Spark, no files, no clock, no print."""
