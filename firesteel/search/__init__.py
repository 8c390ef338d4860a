"""Models to compare a model with: `linear.py` trains what a network is compared with."""
