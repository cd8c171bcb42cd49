"""Weighted nearest-neighbour vote on frozen features."""
