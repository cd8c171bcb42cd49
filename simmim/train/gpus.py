"""Peak rates and memory of some GPUs, from NVIDIA's data sheets and architecture papers (torch-free)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class GPU:
    """One GPU.

    Args:
        peak_tflops: dense bfloat16 matrix products with float32 sums, or without bfloat16 float32 ones, in 1e12 FLOP/s.
        memory_gb: in 1e9 bytes.
        source: where both are printed.
        remark: what to know about the hours.
        has_bf16: whether trainings run in bfloat16 on it; in float32 otherwise.
        driver_name: how the driver's name of the card ends, a regular expression; those of slower relatives and of
            parts of a card (MIG) end otherwise.
    """

    peak_tflops: float
    memory_gb: float
    source: str
    remark: str = ""
    has_bf16: bool = True
    driver_name: str = "never"


_FLOAT32 = "it has no bfloat16, so these trainings run in float32 there"
GPUS = {
    "V100": GPU(
        15.7,
        32,
        "V100 SXM2 data sheet (2020), single precision",
        f"{_FLOAT32}; wheels of the torch in environment.yml begin at compute capability 7.5 and have no code for 7.0: "
        "take an older torch",
        has_bf16=False,
        driver_name=r"V100-SXM2-\d+GB",
    ),
    "T4": GPU(8.1, 16, "T4 data sheet (2019), single precision", _FLOAT32, has_bf16=False, driver_name="T4"),
    "A100": GPU(312, 80, "A100 SXM 80 GB data sheet (2021)", driver_name=r"A100.*GB(?: PCIe)?"),
    "RTX4090": GPU(165.2, 24, "Ada architecture paper (2022), table of GeForce RTX 4090", driver_name="RTX 4090"),
    "L40S": GPU(362, 48, "L40S data sheet (2023)", driver_name="L40S"),
    "H100": GPU(
        989,
        80,
        "H100 SXM data sheet (2023): half of the 1,979 printed with sparsity",
        driver_name="H100 80GB HBM3",
    ),
    "H200": GPU(989, 141, "H200 SXM data sheet (2024): half of the 1,979 printed with sparsity", driver_name="H200"),
    "B200": GPU(
        2250, 180, "HGX B200 data sheet (2024): a sixteenth of 36 PFLOP/s for 8 GPUs with sparsity", driver_name="B200"
    ),
}


def of_driver_name(name: str) -> GPU | None:
    """The GPU that a driver calls so ('NVIDIA A100-SXM4-80GB'); None for one that is not listed."""
    return next((gpu for gpu in GPUS.values() if re.search(rf"(?:^|[ -]){gpu.driver_name}$", name)), None)
