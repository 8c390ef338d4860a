"""Training: rows become blocks, tasks go to shards, partial results return, and a loop updates the weights."""
