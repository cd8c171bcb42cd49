"""Graphics cards that a machine does not have."""

from __future__ import annotations

import os
from pathlib import Path


def pretend_cards(folder: Path, *names: str) -> dict[str, str]:
    """Environment in which nvidia-smi lists these cards; their leases lie in `folder`."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'echo "GPU {number}: Made Up (UUID: {name})"' for number, name in enumerate(names)]
    program.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    program.chmod(0o755)
    hidden = {"CUDA_VISIBLE_DEVICES", "SIMMIM_DEVICE", "SLURM_JOB_ID"}
    own = {key: value for key, value in os.environ.items() if key not in hidden}
    root = Path(__file__).parents[2]
    changes = {"PATH": f"{program.parent}:{os.environ['PATH']}", "TMPDIR": str(folder), "PYTHONPATH": str(root)}
    return own | changes
