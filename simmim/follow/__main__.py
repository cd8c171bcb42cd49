"""Runs Snakemake in this process and shows its events; exit codes and signals are Snakemake's own."""

from __future__ import annotations

import sys

from snakemake import cli
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from simmim.follow import handler

if __name__ == "__main__":
    # By hand: an editable installation has no packages that Snakemake would find by their names.
    LoggerPluginRegistry().register_plugin("snakemake_logger_plugin_simmim", handler)
    sys.argv[0] = "snakemake"
    cli.main(["--logger=simmim", *sys.argv[1:]])
