"""Encoders of the method: one file is one name in a sheet."""
