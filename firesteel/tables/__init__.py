"""Conversion of users' tables and arrays to rows of numbers, and defaults that depend on rows."""
