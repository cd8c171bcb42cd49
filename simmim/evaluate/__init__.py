"""Transfers of a pre-trained encoder: a package is a task, its name is the task's name in a recipe."""
