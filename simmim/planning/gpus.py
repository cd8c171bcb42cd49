"""What jobs may run on: peak rates and memory of some GPUs, from NVIDIA's data sheets and architecture papers."""

from __future__ import annotations

from dataclasses import dataclass

from simmim.plugin import check_choice


@dataclass(frozen=True)
class GPU:
    """One GPU.

    Args:
        peak_tflops: dense bfloat16 matrix products with float32 sums, or without bfloat16 float32 ones, in 1e12 FLOP/s.
        memory_gb: in 1e9 bytes.
        source: where both are printed.
        remark: what to know about the hours.
        has_bf16: whether trainings run in bfloat16 on it; in float32 otherwise.
    """

    peak_tflops: float
    memory_gb: float
    source: str
    remark: str = ""
    has_bf16: bool = True


GPUS_A_NODE = 8
_FLOAT32 = "it has no bfloat16, so these trainings run in float32 there"
GPUS = {
    "V100": GPU(
        15.7,
        32,
        "V100 SXM2 data sheet (2020), single precision",
        f"{_FLOAT32}; wheels of the torch in environment.yml begin at compute capability 7.5 and have no code for 7.0: "
        "take an older torch",
        has_bf16=False,
    ),
    "T4": GPU(8.1, 16, "T4 data sheet (2019), single precision", _FLOAT32, has_bf16=False),
    "A100": GPU(312, 80, "A100 SXM 80 GB data sheet (2021)"),
    "RTX4090": GPU(165.2, 24, "Ada architecture paper (2022), table of GeForce RTX 4090"),
    "L40S": GPU(362, 48, "L40S data sheet (2023)"),
    "H100": GPU(989, 80, "H100 SXM data sheet (2023): half of the 1,979 printed with sparsity"),
    "H200": GPU(989, 141, "H200 SXM data sheet (2024): half of the 1,979 printed with sparsity"),
    "B200": GPU(2250, 180, "HGX B200 data sheet (2024): a sixteenth of 36 PFLOP/s for 8 GPUs with sparsity"),
}


@dataclass(frozen=True)
class Machine:
    """So many GPUs a job, used at a share `utilisation` of their peak rate."""

    name: str
    gpu: GPU
    utilisation: float
    gpus: int


def machine(name: str, utilisation: float, gpus: int) -> Machine:
    """A machine as a user names it.

    Raises:
        ValueError: for an unknown GPU, a utilisation outside (0, 1], or less than one GPU.
    """
    check_choice("GPU", name, GPUS)
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation {utilisation} must lie above 0 and be at most 1")
    if gpus < 1:
        raise ValueError(f"gpus {gpus} must be at least 1")
    return Machine(name, GPUS[name], utilisation, gpus)
