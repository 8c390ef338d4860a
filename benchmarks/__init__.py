"""Speed and learning, measured side by side in one run; `make bench` runs them all, or name some."""
