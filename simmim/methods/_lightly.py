"""What DINO and MoCo v3 take from the package lightly, the optional extra `methods`."""

from __future__ import annotations

from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead, MoCoProjectionHead
from lightly.utils.dist import gather

__all__ = ["DINOLoss", "DINOProjectionHead", "MoCoProjectionHead", "gather"]
