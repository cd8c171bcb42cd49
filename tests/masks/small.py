"""Settings for the contract tests, where the defaults hide the same cells in every image or a grid of the tests
has no room for them; other masks keep their defaults."""

SMALL = {
    "block": {"ratio": 0.4},
    "drawn": {"outline": "box 0.1 0.1 0.9 0.9", "share": 0.6},
    "random": {"ratio": 0.6},
    "square": {"ratio": 0.25},
}
