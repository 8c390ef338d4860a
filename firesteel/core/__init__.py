"""The mathematics of networks, on NumPy and the standard library alone: no Spark, no files, no printing."""
