"""All models by name."""

from benchmarks.tables.peers import PEERS

MODELS = dict(PEERS)
