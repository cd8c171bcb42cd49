"""Layers that several kinds of components share."""
