"""Networks built by calling layers: their construction, the names of inputs and outputs, and their description."""
