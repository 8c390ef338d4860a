"""What users hand over becomes rows of numbers, in `given.py`; defaults that rows decide stand in `policy.py`."""
