"""The functional API: networks built by calling layers on symbolic tensors, and models described as graphs."""
