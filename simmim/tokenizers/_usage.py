"""How many of a tokenizer's codes are in use."""

from __future__ import annotations

from torch import Tensor


def usage(counts: Tensor) -> dict[str, float]:
    """How codes that came up `counts` [codes] times are used.

    Returns:
        `codes_used`; `perplexity`, exp of the entropy of their frequencies in nats: k for k codes that are used alike.
    """
    shares = counts[counts > 0].double() / counts.sum()
    return {"codes_used": len(shares), "perplexity": round((-(shares * shares.log()).sum()).exp().item(), 2)}
