"""Networks that are described by calling layers: how they are built, what their inputs and outputs are called."""
