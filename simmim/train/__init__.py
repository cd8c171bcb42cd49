"""Training: one loop, its schedule, its parameter groups and its checkpoints, for every task."""
