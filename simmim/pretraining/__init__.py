"""What runs around pre-training: the training itself, its tokenizer, its reconstructions and the masks' statistics."""
