"""Which device a process computes on, and what is wrong where that is not the one it was promised (`simmim doctor`)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import torch

from simmim.plugin import check_choice
from simmim.train import cards

_HELP = "`simmim doctor` says more; SIMMIM_DEVICE=cpu trains on the CPU on purpose"


def chosen_device() -> torch.device:
    """This process's card; the CPU where there is none or SIMMIM_DEVICE says so.

    Raises:
        ValueError: where a card was promised, or the driver has one, and torch cannot use it.
    """
    promised = os.environ.get(cards.DEVICE) or ("cuda" if cards.visible() else "")
    check_choice(cards.DEVICE, promised, {"", "cpu", "cuda"})
    if promised == "cpu" or not (promised or torch.cuda.is_available()):
        return torch.device("cpu")
    number = _number(torch.cuda.device_count()) if torch.cuda.is_available() else None
    if problem := _no_cuda() if number is None else _no_code(number):
        raise ValueError(f"this process is to have a GPU and cannot use one: {problem} ({_HELP})")
    return torch.device("cuda", number)


def _no_cuda() -> str:
    """Why torch has no CUDA here, and what to do."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; install a wheel that has it"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every card; unset it"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        said = re.split(r"\. |\n", str(error).strip())[0].rstrip(".")
        needed = f"torch {torch.__version__} needs a driver for CUDA {torch.version.cuda}"
        return f"{said}; {needed}: install or update the driver, or take a torch for an older CUDA"
    return "torch sees no card; look at the driver with nvidia-smi"


def _no_code(number: int) -> str:
    """What is wrong with a card that the wheel holds no code for, '' for others."""
    made_for, (major, minor) = torch.cuda.get_arch_list(), torch.cuda.get_device_capability(number)
    if any(_runs_on((major, minor), arch) for arch in made_for):
        return ""
    name = f"{torch.cuda.get_device_name(number)} (sm_{major}{minor})"
    return f"torch {torch.__version__} has code for {' '.join(made_for)}, not for {name}; take another card or torch"


def _runs_on(capability: tuple[int, int], arch: str) -> bool:
    """Whether code for an architecture runs on a card: `sm_` on its own generation, `compute_` on all later ones."""
    kind, number = re.fullmatch(r"(sm|compute)_(\d+)[a-z]?", arch).groups()
    made_for = divmod(int(number), 10)
    return capability >= made_for and (kind == "compute" or capability[0] == made_for[0])


def _number(count: int) -> int:
    """Of this process's card among `count` that it sees: LOCAL_RANK, or the only one (`--gpus-per-task=1`)."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    if local < count:
        return local
    if count == 1 and "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun's processes all see the same cards
        return 0
    raise ValueError(f"process {local} of this node has no card of its own: it sees {count}; start {count} processes")


def examined() -> Iterator[str]:
    """Wheel, driver, cards and CPU of this machine, a line each."""
    code = f"CUDA {torch.version.cuda}, code for {' '.join(torch.cuda.get_arch_list())}"
    yield f"torch   {torch.__version__}: {code if torch.version.cuda else 'built without CUDA'}"
    yield f"driver  {_driver() or 'unknown: nvidia-smi was not found'}"
    seen = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    for index in seen:
        card = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            trains = _trains_in(has_bf16(torch.device("cuda", index)))
        yield f"cuda:{index}  {card.name}, {card.total_memory / 2**30:.0f} GiB, sm_{card.major}{card.minor}: {trains}"
    if not seen:
        yield "cards   none that torch can use"
    yield f"CPU     {os.cpu_count()} cores: {_trains_in(has_bf16(torch.device('cpu')))}"


def has_bf16(device: torch.device) -> bool:
    """Whether the current card, or the CPU, computes in bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _trains_in(bfloat16: bool) -> str:
    return "trains in bfloat16" if bfloat16 else "trains in float32, for it has no bfloat16"


def _driver() -> str:
    """The driver's version and the cards that it has, '' without one."""
    said = cards.driver_says("--query-gpu=driver_version,name", "--format=csv,noheader")
    if said is None:
        return ""
    return "; ".join((said.stdout or said.stderr).strip().splitlines()) or "nvidia-smi says nothing"
