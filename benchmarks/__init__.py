"""Benchmarks of speed and accuracy; each measures all sides in one run.  `make bench` runs those of speed, `python -m
benchmarks NAME ...` the named ones."""
