"""What is measured of attention and features, each of every image by itself, and how alike blocks are.

Letters: b images, w windows, h heads, n tokens of a window (q queries, k keys), d channels.
Source: Park et al., What do self-supervised vision transformers learn? (arXiv 2305.00729), and its published code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simmim.evaluate.mechanism.layout import Layout

_TINY = 1e-30
_NO_ENTROPY = 1e-6
_LEAST_AMPLITUDE = 1e-6


def among_tokens(weights: Tensor, layout: Layout) -> Tensor:
    """Attention between tokens that see each other and stand on the map, as shares that sum to one.

    Args:
        weights: as the network computes them, [b * w, h, n, n].

    Returns:
        float32 [b, w, h, n, n]; rows of what stands nowhere, a class token say, are zero.
    """
    weights = weights.float().unflatten(0, (-1, len(layout.pairs))) * layout.pairs[:, None]
    return weights / weights.sum(dim=-1, keepdim=True).clamp_min(_TINY)


def attention_distance(attention: Tensor, layout: Layout) -> Tensor:
    """How far a query's keys are, on average by their attention and over all queries: pixels, [b, h].

    Args:
        attention: [b, w, h, n, n], from `among_tokens`.
    """
    distances = torch.cdist(layout.places, layout.places, compute_mode="donot_use_mm_for_euclid_dist")  # [w, n, n]
    of_queries = (attention * distances[:, None]).sum(dim=-1)  # [b, w, h, n]
    return of_queries.sum(dim=(1, 3)) / layout.pairs.any(dim=-1).sum()


def attention_nmi(attention: Tensor, layout: Layout) -> Tensor:
    """Normalised mutual information of queries and keys, from 0 to 1, [b, h].

    As the paper defines it, I(q; k) / sqrt(H(q) H(k)) with p(q) = 1 / n and the attention as p(k | q): 0 where all
    queries attend to the same keys, be it to all of them alike, and 1 where each attends to a key of its own. It is
    taken among tokens that see each other, of a whole image or of a window, and averaged over queries.

    Args:
        attention: [b, w, h, n, n], from `among_tokens`.
    """
    pairs = layout.pairs.float()
    count = pairs.sum(dim=-1)  # [w, n], tokens that each sees
    among = pairs / count.clamp_min(1)[..., None]  # [w, n, n], mean over these
    keys = attention.sum(dim=-2) / count.clamp_min(1)[:, None]  # [b, w, h, n], p(k)
    of_keys = torch.einsum("wqk,bwhk->bwhq", pairs, torch.special.entr(keys))  # H(k)
    given_queries = torch.einsum("wqk,bwhk->bwhq", among, torch.special.entr(attention).sum(dim=-1))  # H(k | q)
    of_queries = count.clamp_min(1).log()[:, None]  # [w, 1, n], H(q)
    product = of_keys * of_queries
    shared = (of_keys - given_queries) / product.clamp_min(_NO_ENTROPY**2).sqrt()
    shared = torch.where(of_keys > _NO_ENTROPY, shared, 0.0)  # one key for all queries
    is_counted = (count > 1)[:, None]  # [w, 1, n]
    return (shared * is_counted).sum(dim=(1, 3)) / is_counted.sum()


def diagonal_frequencies(height: int, width: int) -> list[float]:
    """Spatial frequencies on the diagonal of a map's spectrum but 0, as shares of the highest that it can hold."""
    steps = min(height, width) // 2
    return [step / steps for step in range(1, steps + 1)]


def fourier_log_amplitude(x: Tensor) -> Tensor:
    """Logarithm (natural) of Fourier amplitudes of feature maps, less that at frequency 0, mean over channels.

    Args:
        x: [b, d, h, w].

    Returns:
        [b, frequencies], at those of `diagonal_frequencies`.
    """
    steps = min(x.shape[2:]) // 2
    shares = torch.arange(steps + 1, device=x.device) / max(steps, 1)
    rows, columns = ((shares * (side // 2)).round().long() for side in x.shape[2:])
    amplitudes = torch.fft.rfft2(x.float()).abs()[..., rows, columns]
    logarithms = (amplitudes + _LEAST_AMPLITUDE).log().mean(dim=1)  # [b, 1 + frequencies]
    return logarithms[:, 1:] - logarithms[:, :1]


def cka(blocks: Sequence[Tensor]) -> Tensor:
    """Linear centred kernel alignment (CKA) of every block with every other, at most 1, [blocks, blocks].

    By the unbiased estimate of HSIC (Song et al., 2012; used so by Nguyen et al., arXiv 2010.15327): without it two
    wide blocks look alike for lack of images. It is the cosine of two Gram matrices that are centred and have no
    diagonal, and 0 on average for features that have nothing in common.

    Args:
        blocks: features of the same images [b, d] of every block; NaN with fewer than four images.
    """
    centred = torch.stack([_centred_gram(x.double()).flatten() for x in blocks])  # [blocks, b * b]
    products = centred @ centred.T
    norms = products.diagonal().sqrt()
    return products / (norms[:, None] * norms)


def _centred_gram(x: Tensor) -> Tensor:
    """Inner products of images [b, b] without diagonal, U-centred (Székely and Rizzo, 2014): its rows sum to zero."""
    x, images = x - x.mean(dim=0), len(x)
    gram = (x @ x.T).fill_diagonal_(0)
    if images < 4:
        return torch.full_like(gram, torch.nan)
    rows = gram.sum(dim=1) / (images - 2)
    return (gram - rows[:, None] - rows + rows.sum() / (images - 1)).fill_diagonal_(0)
