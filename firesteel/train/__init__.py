"""Floor 1: training.  Rows become blocks, tasks go to shards, partial results return, one loop updates the state."""
