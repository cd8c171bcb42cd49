"""Small settings for the contract tests, one entry per encoder file."""

SMALL = {
    "resnet": {"stem_width": 4, "depths": [1, 2, 2], "width_factor": 2},
    "swin": {"embed_dim": 12, "depths": [2, 2, 2], "num_heads": [2, 2, 4], "window": 4},
    "swin_v2": {"embed_dim": 12, "depths": [2, 2, 2], "num_heads": [2, 2, 4], "window": 4, "main_norm_every": 2},
    "timm": {"model": "test_convnext"},
    "vit": {"patch_px": 8, "embed_dim": 24, "depth": 4, "num_heads": 2},
}
