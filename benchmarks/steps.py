"""Pre-training steps: images in a CPU second (on a GPU, in a second), beside the released code's way.

    python benchmarks/steps.py [swin_b vit_b micro] [--batch 4] [--turns 5]

A step is forward, backward, clipping and update of one batch of random images that lie on the device. The released way:
timm's blocks with attention as separate products and softmax, the prediction of all pixels, clipping by PyTorch's
utility and AdamW's default implementation, in float32 as it is shipped, under autocast, and with the fused AdamW.
Ours is what `simmim.train.loop` does. bfloat16 is compared where the machine has it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from measure import Measured, Way, compare, cpu_seconds, table
from timm.layers import set_fused_attn, use_fused_attn
from timm.models.beit import Beit
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from simmim.config.sections import GeometrySection, ImagesSection, LossSection
from simmim.layers.normaliser import ImageNormaliser
from simmim.machine import keep_freed_memory
from simmim.methods.simmim import SimMIM
from simmim.plugin import Component
from simmim.train.processes import autocast_dtype
from simmim.train.sharding import clip_gradients

# Encoder, side and masked patch in pixels, stride, and the settings of timm's class for the same network.
MICRO = {"patch_px": 4, "embed_dim": 48, "depths": (2, 2, 4), "num_heads": (3, 6, 12), "window": 4}
SHAPES = {
    "swin_b": (
        Component(name="swin"),
        192,
        32,
        32,
        {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32), "window_size": 6},
    ),
    "vit_b": (Component(name="vit"), 224, 32, 16, None),
    "micro": (
        Component(name="swin", **MICRO),
        64,
        16,
        16,
        {"embed_dim": 48, "depths": (2, 2, 4), "num_heads": (3, 6, 12), "window_size": 4},
    ),
}
GOALS = {  # of a machine that has bfloat16
    "swin_b": {"float32": 3.3, "bfloat16": 1.45, "bfloat16, fused AdamW": 1.2},
    "vit_b": {"float32": 3.3, "bfloat16": 1.4, "bfloat16, fused AdamW": 1.15},
    "micro": {"float32": 2.6, "bfloat16": 1.6},
}
KEEPS_GOAL = 1 / 0.85  # images in as much memory: 0.85 of the released code's an image


class Released(nn.Module):
    """SimMIM on timm's blocks, in the order of the released code's operations."""

    def __init__(self, shape: str) -> None:
        super().__init__()
        _, self.side, self.patch, stride, swin = SHAPES[shape]
        fused = use_fused_attn()
        set_fused_attn(False)
        if swin:
            self.encoder = SwinTransformer(img_size=self.side, patch_size=4, num_classes=0, **swin)
            self.token = 4
        else:
            options = {"use_abs_pos_emb": False, "use_shared_rel_pos_bias": True, "init_values": 0.1}
            self.encoder = Beit(img_size=self.side, patch_size=16, num_classes=0, **options)
            self.token = 16
        set_fused_attn(bool(fused))
        self.mask_token = nn.Parameter(torch.zeros(self.encoder.embed_dim))
        self.decoder = nn.Sequential(nn.Conv2d(self.encoder.num_features, stride**2 * 3, 1), nn.PixelShuffle(stride))
        self.normalise = ImageNormaliser((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        images, hidden = self.normalise(batch["images"]), batch["hidden"]
        encoder = self.encoder
        tokens = encoder.patch_embed(images)
        weight = hidden.flatten(1)[..., None].type_as(tokens)  # [b, n, 1]
        flat = tokens.flatten(1, -2)
        flat = flat * (1 - weight) + self.mask_token.expand_as(flat) * weight
        if isinstance(encoder, SwinTransformer):
            features = encoder.norm(encoder.layers(flat.view_as(tokens))).permute(0, 3, 1, 2)
        else:
            flat = torch.cat((encoder.cls_token.expand(len(flat), -1, -1), flat), dim=1)
            bias = encoder.rel_pos_bias()
            for block in encoder.blocks:
                flat = block(flat, shared_rel_pos_bias=bias)
            side = self.side // self.token
            features = encoder.norm(flat)[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        prediction = self.decoder(features)
        mask = hidden.repeat_interleave(self.token, 1).repeat_interleave(self.token, 2)[:, None].type_as(images)
        loss = (images - prediction).abs()
        return (loss * mask).sum() / (mask.sum() + 1e-5) / 3


def ours(shape: str) -> SimMIM:
    """Our method with the same sizes."""
    encoder, side, patch, _, _ = SHAPES[shape]
    sections = {"target": Component(name="pixels"), "head": Component(name="linear"), "mask": Component(name="random")}
    geometry = GeometrySection(image_px=side, masked_patch_px=patch)
    return SimMIM(encoder=encoder, geometry=geometry, images=ImagesSection(), loss=LossSection(), **sections)


def batch_for(shape: str, size: int, device: torch.device) -> dict[str, Tensor]:
    """Random images and masks of 60 %."""
    _, side, patch, _, swin = SHAPES[shape]
    token = 4 if swin else 16
    cells = torch.rand(size, side // patch, side // patch, device=device) < 0.6
    hidden = cells.repeat_interleave(patch // token, 1).repeat_interleave(patch // token, 2)
    images = torch.randint(0, 256, (size, 3, side, side), dtype=torch.uint8, device=device)
    return {"images": images, "hidden": hidden}


def update_of(
    module: nn.Module, device: torch.device, dtype: torch.dtype | None, fused: bool | None, clip: Callable
) -> Callable[[dict[str, Tensor]], int]:
    """An update by a batch; it returns how many images that has."""
    module.to(device).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=fused)

    def update(batch: dict[str, Tensor]) -> int:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            loss = module(batch)
        loss.backward()
        clip(list(module.parameters()), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return len(batch["images"])

    return update


def step_of(
    module: nn.Module, batch: dict[str, Tensor], dtype: torch.dtype | None, fused: bool | None, clip: Callable
) -> Way:
    """An update by always the same batch."""
    update = update_of(module, batch["images"].device, dtype, fused, clip)
    return lambda: update(batch)


def kept_bytes(module: nn.Module, batch: dict[str, Tensor], dtype: torch.dtype | None) -> int:
    """Bytes that autograd keeps of a forward pass, weights left out."""
    weights = {each.untyped_storage().data_ptr() for each in module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        held.append(tensor)
        return tensor

    held: list[Tensor] = []  # so that no storage is let go and its place taken by another
    autocast = torch.autocast(batch["images"].device.type, dtype, enabled=dtype is not None)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        module(batch)
    return sum(kept.values())


def measured(shape: str, size: int, turns: int, device: torch.device) -> Iterator[Measured]:
    """Ours beside each released way; goals are ratios of ours to that way, so each has a comparison of its own."""
    dtype, batch = autocast_dtype("auto", device), batch_for(shape, size, device)
    ways = {"float32": (None, None)}
    if dtype is not None:
        ways |= {"bfloat16": (dtype, None), "bfloat16, fused AdamW": (dtype, True)}
    else:
        ways |= {"fused AdamW": (None, True)}
    clock = time.perf_counter if device.type == "cuda" else cpu_seconds
    mine = step_of(ours(shape), batch, dtype, True, clip_gradients)
    for name, (number_format, fused) in ways.items():
        theirs = step_of(Released(shape), batch, number_format, fused, nn.utils.clip_grad_norm_)
        goals = {"ours": GOALS[shape][name]} if dtype is not None and name in GOALS[shape] else {}
        both = {f"released, {name}": theirs, "ours": mine}
        yield from compare(f"step {shape}, batch {size}", both, turns, goals, clock)


def activations(shape: str, size: int, device: torch.device) -> Iterator[Measured]:
    """Images of a GiB that autograd keeps for the backward pass, which is no matter of time: one turn.

    Counted is what the second half of a batch adds, for weights in another number format are kept once for all images.
    """
    dtype, batch = autocast_dtype("auto", device), batch_for(shape, size, device)
    half = {name: tensor[: size // 2] for name, tensor in batch.items()}
    kept = 0.0

    def keeping(module: nn.Module) -> Way:
        def forward() -> int:
            nonlocal kept
            module.to(device).train()
            kept += (kept_bytes(module, batch, dtype) - kept_bytes(module, half, dtype)) / 2**30
            return size - size // 2

        return forward

    ways = {"released": keeping(Released(shape)), "ours": keeping(ours(shape))}
    goals = {} if shape == "micro" else {"ours": KEEPS_GOAL}
    yield from compare(f"activations kept, {shape}, images a GiB", ways, 1, goals, clock=lambda: kept)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), help=", ".join(SHAPES))
    parser.add_argument("--batch", type=int, default=4, help="images of a step; 32 times as many of the micro model")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    keep_freed_memory()
    for shape in options.shapes:
        size = options.batch * (32 if shape == "micro" else 1)
        print(table([*measured(shape, size, options.turns, device), *activations(shape, size, device)]))


if __name__ == "__main__":
    main()
