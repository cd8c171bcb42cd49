"""Snakemake with a line per running job in place of its job lists: `python -m simmim.follow ARGUMENTS OF SNAKEMAKE`."""
