"""All models by name; those of firesteel have names that begin with `firesteel`."""

from benchmarks.tables import peers, spark

MODELS = peers.PEERS | spark.PEERS
