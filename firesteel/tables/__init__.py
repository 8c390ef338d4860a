"""Conversion of tables and arrays to numeric arrays for training, and default settings chosen from the data."""
