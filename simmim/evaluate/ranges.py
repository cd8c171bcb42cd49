"""Ranges of random draws. Torch-free."""

from __future__ import annotations


def check_range(name: str, limits: tuple[float, float]) -> None:
    """Refuse a range that is not two numbers above 0, the smaller first."""
    if not 0 < limits[0] <= limits[1]:
        raise ValueError(f"{name} {limits} must be two numbers above 0, the smaller first")
