"""Settings of the linear probe. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from simmim.evaluate.frozen_settings import FrozenSettings


class LinearProbeSettings(FrozenSettings):
    """A linear classifier on the features of every block (section 4.2)."""

    label: ClassVar[str] = "linear probe"
