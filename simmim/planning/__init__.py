"""What a target would cost, worked out before anything is spent (`simmim plan`).

target    a table, a figure or a file -> the result files that it is made from
graph     result files -> the jobs that they come from (`simmim.jobs`), and which of them Snakemake would run
done      which outputs of a job are there, and whether they were made with today's config
jobs      the graph grouped over seeds, in the workflow's order
network   configs -> parameters, FLOPs and activations, counted on the meta device
data      how many samples, classes and bytes a data set has
cost      job, network and data -> images, FLOPs, memory, disk
limits    which jobs cannot end within what a Slurm profile grants them
rows      all of it as the rows of a Parquet file
printed   the rows in a terminal
sizes     parameters and multiply-adds of a run as records (`simmim size`)
check     builds the components of every row before any job starts (`simmim check`)
"""
