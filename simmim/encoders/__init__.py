"""Encoders of the method: one file is one name in a sheet."""

CONTEXT = ("image_px", "in_channels")  # arguments of the constructor that the code passes, not a sheet
