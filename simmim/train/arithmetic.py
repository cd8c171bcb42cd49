"""The arithmetic of a GPU, decided in one place: float32 is float32, and where it is asked for the bits repeat.

Left to itself PyTorch runs float32 convolutions in TF32, with 10 bits of mantissa, on every card since the A100. What
stays in float32 here does so on purpose (features, scores, codes of a tokenizer, boxes), and what may be faster is in
bfloat16 anyway; so TF32 is chosen nowhere, neither for convolutions nor for matrix products.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SWITCH = "SIMMIM_DETERMINISTIC"
_PARTS = torch.backends, torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul
_REFUSAL = re.compile(r"(\S+) does not have a deterministic implementation")


@contextmanager
def fixed() -> Iterator[None]:
    """Set it for what runs inside; before CUDA starts, for cuBLAS reads its setting once.

    Raises:
        ValueError: for a value of the switch that says neither yes nor no, and for an operation without a
            deterministic form.
    """
    torch.backends.cudnn.allow_tf32 = False  # the older name, which torch.export compares with the newer ones
    for part in _PARTS:  # one by one: a setting for all leaves alone what a library has set for a part
        part.fp32_precision = "ieee"
    wanted = is_deterministic()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    except RuntimeError as error:
        found = _REFUSAL.search(str(error))
        if not found:
            raise
        raise ValueError(
            f"{SWITCH}=1 cannot be kept here: {found[1]} has no deterministic form on this device (docs/numbers.md "
            f"names what has none); run this job without {SWITCH}"
        ) from error
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def searched_convolutions(wanted: bool) -> Iterator[None]:
    """Let cuDNN time its ways of a convolution, once for each size, and keep the fastest.

    Never where bits must repeat: the next start may find another one.
    """
    torch.backends.cudnn.benchmark = wanted and not is_deterministic()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False


def is_deterministic() -> bool:
    """Whether the switch asks for the same bits every time.

    Raises:
        ValueError: for a value that says neither yes nor no.
    """
    value = os.environ.get(SWITCH, "0")
    if value not in ("", "0", "1"):
        raise ValueError(f"{SWITCH}={value} must be 1, for the same bits every time, or 0")
    return value == "1"


def used() -> dict[str, str | bool]:
    """For the records: how float32 is computed, 'ieee' in every job, and whether bits repeat."""
    formats = {part.fp32_precision for part in _PARTS}
    return {"float32": "/".join(sorted(formats)), "deterministic": torch.are_deterministic_algorithms_enabled()}
