"""The functional API: networks built by calling layers on symbolic values, and models described as graphs."""
