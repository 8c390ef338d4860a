"""What the rows of a table decide: defaults that depend on them stand in `policy.py`."""
