"""Slurm: what must hold before anything is submitted, patience with its controller, and going on after a break.

asked       what kinds of jobs ask of Slurm
checks      what Slurm would refuse, or leave in its queue for ever
folder      what the shared folder must be able to do
patience    keeps Snakemake's list of jobs, and holds submissions back, while the controller does not answer
queue       jobs of this folder in Slurm's queue
again       starts what died again within its job, and puts a job that was stopped back into the queue
attempt     one start of a command, and what its processes say of it
recovery    goes on after Snakemake was killed
"""
