"""What a target would cost, worked out before anything is spent (`simmim plan`).

target    a table, a figure or a file -> the results that it is made from
jobs      results -> the jobs that make them, and which are done
network   configs -> parameters, FLOPs and activations, counted on the meta device
data      how many samples, classes and bytes a data set has
cost      job, network and data -> images, FLOPs, memory, disk
rows      all of it as the rows of a Parquet file
printed   the rows in a terminal
"""
