"""Masks of the method: one file is one name in a sheet."""

CONTEXT = ()  # arguments of the constructor that the code passes, not a sheet
