"""Slurm: patience with its controller.

patience    keeps Snakemake's list of jobs, and holds submissions back, while the controller does not answer
"""
