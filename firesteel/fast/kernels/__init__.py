"""Loops that NumPy makes several passes of, compiled where numba is installed: the same bits, faster.

A loop is made of +, -, x, /, sqrt and copies alone, in the order of the NumPy lines that it replaces, and of
products that NumPy's own BLAS makes as NumPy asks it, so that nothing depends on who has numba; a test holds each to
it.  There is a file for each family, and without numba nothing here is called.
"""
