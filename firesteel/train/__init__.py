"""Floor 1: training.  Rows become blocks, tasks go out, partials come back, one loop advances the state."""
