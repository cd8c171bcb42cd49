"""Settings for the contract tests, one entry per mask file; none may hide the same cells in every image."""

SMALL = {
    "block": {"ratio": 0.4},
    "drawn": {"shape": "box 0.1 0.1 0.9 0.9", "share": 0.6},
    "random": {"ratio": 0.6},
    "square": {"ratio": 0.25},
}
