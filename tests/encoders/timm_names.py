"""Twelve of timm's models that people use, across the families."""

TWELVE = [
    "swin_tiny_patch4_window7_224",
    "swin_s3_tiny_224",
    "swinv2_tiny_window8_256",
    "vit_small_patch16_224",
    "vit_small_patch16_dinov3",
    "deit_tiny_distilled_patch16_224",
    "beit_base_patch16_224",
    "eva02_tiny_patch14_224",
    "hiera_tiny_224",
    "convnext_tiny",
    "resnet50",
    "regnety_008",
]
