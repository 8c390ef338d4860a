"""Constraints on weights, under Keras's names; their mathematics is in `firesteel.core.constraints`."""

from firesteel.core.constraints import Constraint, MaxNorm, NonNeg, UnitNorm

__all__ = ["Constraint", "MaxNorm", "NonNeg", "UnitNorm"]
