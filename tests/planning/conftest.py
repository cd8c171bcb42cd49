"""The fixture that these tests share."""

from helpers.sheets import folder

__all__ = ["folder"]
