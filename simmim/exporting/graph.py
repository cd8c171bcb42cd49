"""An encoder as a graph of operations that needs none of its code: an ONNX file, or one of `torch.export`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simmim.exporting.trial import FOLDER, Draft
from simmim.storage.files import named, whole_file
from simmim.storage.reading import one_line

_ONNX = f"""import onnxruntime
session = onnxruntime.InferenceSession("{FOLDER}/model.onnx")
features = session.run(None, {{"images": images.numpy()}})[0]"""
_PROGRAM = f"""import torch
model = torch.export.load("{FOLDER}/model.pt2").module()
features = model(images)"""


def write_onnx(folder: Path, encoder: nn.Module, header: Mapping[str, Any]) -> Draft:
    """Write model.onnx: `images` [b, c, H, W] -> `features` [b, d, h, w], any number of images."""
    program = _program(encoder, header)
    names = {"input_names": ["images"], "output_names": ["features"]}
    file = folder / "model.onnx"
    with named(file), _refusals("ONNX"):
        made = torch.onnx.export(program, dynamo=True, verbose=False, external_data=False, **names)
        # By its own name: from 1.5 GiB on, torch writes model.onnx.data beside it, and the graph names that file.
        made.save(str(file), external_data=False)
    return Draft(_ONNX, 1e-4, tuple(header["image_px"]))


def write_program(folder: Path, encoder: nn.Module, header: Mapping[str, Any]) -> Draft:
    """Write model.pt2: `images` [b, c, H, W] -> features [b, d, h, w], any number of images."""
    program = _program(encoder, header)
    with whole_file(folder / "model.pt2") as temporary, open(temporary, "wb") as file:
        torch.export.save(program, file)
    return Draft(_PROGRAM, 1e-5, tuple(header["image_px"]))


def _program(encoder: nn.Module, header: Mapping[str, Any]) -> torch.export.ExportedProgram:
    images = torch.zeros(2, header["in_channels"], *header["image_px"])
    shapes = {"images": {0: torch.export.Dim("images_in_batch")}}
    network = _Features(copy.deepcopy(encoder))
    for module in network.modules():
        if hasattr(module, "fused_attn"):  # with a bias, its operator cannot be taken apart for ONNX
            module.fused_attn = False
    with torch.no_grad(), _refusals("torch.export"):
        return torch.export.export(network, (images,), dynamic_shapes=shapes, strict=False)


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """One sentence for whatever a tracer says of a network that it cannot follow, and no warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except OSError:  # of the disk
            raise
        except Exception as error:
            said = one_line(error)[:200]
            raise ValueError(f"{what} cannot express this encoder ({said}); nothing is kept") from error


class _Features(nn.Module):
    """The encoder without the mask, which no one uses after pre-training."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.encoder(images)
