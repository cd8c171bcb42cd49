"""Ranges of random draws, and shares, as settings. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator


def _check_factors(limits: Sequence[float]) -> Sequence[float]:
    if not 0 < limits[0] <= limits[1]:
        raise ValueError("it must be two numbers above 0, the smaller first")
    return limits


def check_areas(limits: Sequence[float]) -> Sequence[float]:
    """The same limits of a crop's area, if they are shares of the image.

    Raises:
        ValueError: saying what they must be.
    """
    if not 0 < limits[0] <= limits[1] <= 1:
        raise ValueError("it must be two shares of the image, above 0 and up to 1, the smaller first: 67 % is 0.67")
    return limits


def check_share(setting: str, value: float, of: str = "the training: 50 of 400 epochs is 0.125") -> None:
    """Refuse a share that is none.

    Args:
        of: the words for what it is a share of.

    Raises:
        ValueError: outside 0 to 1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{setting} {value:g} must lie in 0 to 1; it is a share of {of}")


def check_temperatures(setting: str, *values: float) -> None:
    """Refuse a temperature that softens nothing: logits are divided by it.

    Raises:
        ValueError: where one is 0 or less.
    """
    for value in values:
        if value <= 0:
            raise ValueError(f"{setting} {value:g} must be above 0; logits are divided by it")


Factors = Annotated[tuple[float, float], AfterValidator(_check_factors)]
Areas = Annotated[tuple[float, float], AfterValidator(check_areas)]
