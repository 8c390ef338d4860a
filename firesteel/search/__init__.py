"""Models beside a model: `linear.py` trains what a network is compared with."""
