"""Small settings for the contract tests; a head that is not listed is built with its defaults."""

_SWIN = {"embed_dim": 12, "depths": [1, 2, 1, 2], "num_heads": [2, 2, 4, 4], "window": 4}
SMALL = {"inverse_swin_t": _SWIN, "inverse_swin_b": _SWIN}
