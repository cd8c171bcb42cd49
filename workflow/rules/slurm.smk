# What a Slurm cluster needs of the main process; elsewhere nothing happens.
import snakemake_executor_plugin_slurm as slurm

from simmim.cluster import patience

patience.teach(slurm.Executor)
