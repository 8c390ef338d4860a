"""Kernels: loops that numba compiles, where NumPy needs several passes over arrays; the bits are the same.

A kernel uses only +, -, x, /, sqrt and copies, in the order of the NumPy lines that it replaces, and products by
NumPy's own BLAS, called as NumPy calls it.  So the bits do not depend on numba; a test checks every kernel.  Each
family has a file.  Without numba nothing here is called.
"""
