"""Takes a pre-trained encoder away: to timm, transformers, ONNX or torch.export, or as features of a folder."""
