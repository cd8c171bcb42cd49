"""What DINO and MoCo v3 take from the package lightly, the optional extra `methods`."""

from __future__ import annotations

try:
    from lightly.loss import DINOLoss
    from lightly.models.modules.heads import DINOProjectionHead, MoCoProjectionHead
    from lightly.utils.dist import gather
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "lightly":
        raise
    from simmim.plugin import NotInstalled

    raise NotInstalled("DINO and MoCo v3 need the package lightly: pip install 'simmim[methods]'") from None

__all__ = ["DINOLoss", "DINOProjectionHead", "MoCoProjectionHead", "gather"]
