"""Models built from other models: ensembles, test-time augmentation, and the linear baseline."""
