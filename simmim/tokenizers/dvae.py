"""A discrete VAE (Ramesh et al., Zero-shot text-to-image generation, 2021), as BEiT uses it (section 4.1.5).

The encoder has the architecture and the parameter names of the published one, whose weights it can take. The decoder
is its mirror image, is ours, and comes with training only.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from simmim.config.models import TokenizerConfig
from simmim.config.ranges import check_share, check_temperatures
from simmim.data.shards import Shards
from simmim.storage.reading import reading
from simmim.tokenizers import _dvae_network as network
from simmim.tokenizers import _dvae_training as training
from simmim.train.processes import Processes

_GROUPS = 4
_EPSILON = 0.1  # the network sees values in [0.1, 0.9]


class Dvae(nn.Module):
    """One code for every 8 x 8 pixels.

    Args:
        vocabulary: number of codes.
        width: channels of the first group of blocks; every following group has twice as many.
        blocks: residual blocks of each of the four groups.
        file: published weights of the encoder, safetensors, instead of training; there is no decoder then.
        image_px: side of the training crops, a multiple of 8.
        first_temperature, last_temperature: of the Gumbel-softmax, lowered as half a cosine wave.
        temperature_share: share of the training over which it is lowered.
        kl_weight: of the codes' KL divergence from the uniform distribution, beside the log-likelihood of all pixels.
        kl_warmup: share of the training over which that weight rises from 0, as half a cosine wave.
        usage_weight: of the KL divergence of a micro-batch's mean use of the codes from the uniform one, likewise.
    """

    factor: ClassVar[int] = 2 ** (_GROUPS - 1)

    def __init__(
        self,
        *,
        vocabulary: int = 8192,
        width: int = 256,
        blocks: int = 2,
        file: str = "",
        image_px: int = 96,
        first_temperature: float = 1.0,
        last_temperature: float = 0.0625,
        temperature_share: float = 1.0,
        kl_weight: float = 6.6,
        kl_warmup: float = 0.2,
        usage_weight: float = 60.0,
    ) -> None:
        super().__init__()
        if image_px % self.factor or image_px < self.factor:
            raise ValueError(f"tokenizer setting image_px={image_px} must be a multiple of {self.factor}")
        if vocabulary < 2:
            raise ValueError(f"tokenizer setting vocabulary={vocabulary} must be at least 2")
        if width % 4 or width < 4:
            raise ValueError(f"tokenizer setting width={width} must be a multiple of 4")
        check_temperatures("tokenizer setting first_temperature", first_temperature)
        check_temperatures("tokenizer setting last_temperature", last_temperature)
        check_share("tokenizer setting temperature_share", temperature_share)
        check_share("tokenizer setting kl_warmup", kl_warmup)
        self.codes, self.is_trained = vocabulary, not file
        self._training = training.Settings(
            image_px, first_temperature, last_temperature, temperature_share, kl_weight, kl_warmup, usage_weight
        )
        widths = [width * 2**group for group in range(_GROUPS)]
        self.blocks = network.encoder(vocabulary, widths, blocks)
        self.decoder = None if file else network.decoder(vocabulary, widths, blocks)

    def encode(self, images: Tensor) -> Tensor:
        """[b, 3, H, W] in [0, 1] -> the likeliest codes, int64 [b, H / 8, W / 8]."""
        return self.logits(images).argmax(1)

    def decode(self, codes: Tensor) -> Tensor | None:
        """[b, h, w] -> [b, 3, 8 h, 8 w] in [0, 1]; None without a decoder."""
        if self.decoder is None:
            return None
        one_hot = functional.one_hot(codes, self.codes).movedim(-1, 1)  # [b, codes, h, w]
        mean, _ = self.decoder(one_hot.to(self.blocks.input.w.dtype)).chunk(2, dim=1)
        return self.images(mean)

    def logits(self, images: Tensor) -> Tensor:
        """[b, 3, H, W] in [0, 1] -> [b, codes, H / 8, W / 8]."""
        return self.blocks(self.squeezed(images))

    def squeezed(self, images: Tensor) -> Tensor:
        """Values in [0, 1] -> in [0.1, 0.9], as the networks see and model them (equation 3)."""
        return (1 - 2 * _EPSILON) * images + _EPSILON

    def images(self, mean: Tensor) -> Tensor:
        """Means of the logits of squeezed values -> the values, clamped to [0, 1]; any shape."""
        return ((mean.sigmoid() - _EPSILON) / (1 - 2 * _EPSILON)).clamp(0, 1)

    def fit(self, shards: Shards, config: TokenizerConfig, state: Path, processes: Processes) -> None:
        """Train encoder and decoder to reconstruct crops of the images."""
        training.train(self, self._training, shards, config, state, processes)

    def load_published(self, path: Path) -> None:
        """Take the encoder's weights from a file with the published names and shapes.

        Raises:
            ValueError: naming the tensors that do not fit.
        """
        with reading(path, "a .safetensors", "fetch it again"):
            state = load_file(path)
        try:
            self.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise ValueError(f"{path} does not hold the weights of this encoder: {error}") from error
