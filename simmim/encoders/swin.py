"""Swin Transformer with mask tokens (section 3.1), one class for pre-training and every transfer task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from simmim.encoders._position_bias import TABLE, resize_table, square_side
from simmim.encoders._windowed import WindowedEncoder
from simmim.layers.swin_blocks import PadFirstBlock


class Swin(WindowedEncoder):
    """Hierarchical encoder: one stage per entry of `depths`, halving the tokens between stages.

    Args:
        image_px: height and width the windows are laid out for.
        in_channels: channels of the input, any number.
        patch_px: side of one token in pixels.
        embed_dim: channels of the first stage.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        window: side of an attention window in tokens.
        mlp_ratio: hidden channels of the MLP over its channels.
        drop_path: stochastic depth of the last block; grows linearly from 0 at the first.
        clamp_window: as released for pre-training and classification: a stage whose shorter side is at most the
            window attends in windows of that side, without shift, and only `image_px` is accepted as input then.
            False is the published dense form: full windows, always shifted, padded where they do not fit, any size.
        checkpoint_activations: keep only the input of every block and compute the rest again for the gradient.
    """

    _undecayed = (TABLE,)

    def __init__(
        self,
        *,
        image_px: tuple[int, int],
        in_channels: int = 3,
        patch_px: int = 4,
        embed_dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        num_heads: Sequence[int] = (4, 8, 16, 32),
        window: int = 6,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        clamp_window: bool = True,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__(
            SwinTransformer,
            PadFirstBlock,
            image_px=image_px,
            in_channels=in_channels,
            patch_px=patch_px,
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            window=window,
            mlp_ratio=mlp_ratio,
            drop_path=drop_path,
            clamp_window=clamp_window,
            checkpoint_activations=checkpoint_activations,
        )

    def adapt(self, state: Mapping[str, Tensor], image_px: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """Fit a state of this class to this instance's windows; `image_px` of the source is not needed."""
        adapted = dict(state)
        for name, own in self.state_dict().items():
            if name.endswith(TABLE) and name in adapted and adapted[name].shape != own.shape:
                source, target = square_side(len(adapted[name])), square_side(len(own))
                adapted[name] = resize_table(adapted[name], (source, source), (target, target))
        return adapted
