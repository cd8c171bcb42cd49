"""Settings that change what a job takes, not what it makes: memory, speed, how often it saves (torch-free).

They are read from sheets as any other and may be changed at any time, also between two tries of one training: no config
is stored with them and no hash covers them. The records' `environment` says what was used. A few numbers notice all the
same, as they notice the number of processes, which no config knows either:

    last bits          sums are taken in another order
    grey levels        one value in fifty of a crop that is cut on the device differs by one
    random draws       mixup, cutmix, drop path and dropout draw anew for every micro-batch
    batch statistics   of ResNet and of UPerNet's heads are those of a micro-batch (on GPUs, of all processes together)
    use of codes       which the dVAE's loss evens out (`usage_weight`) is that of one process's micro-batch
"""

from __future__ import annotations

from typing import Any

MACHINE_SETTINGS = frozenset(
    {
        *("micro_batch", "score_batch", "workers", "sharded", "checkpoint_activations"),
        *("save_every_steps", "save_every_minutes"),
        *("crop_on", "compile"),
    }
)


def without_machine_settings(config: Any) -> Any:
    """The same JSON values, at any depth without these settings."""
    if isinstance(config, dict):
        return {key: without_machine_settings(value) for key, value in config.items() if key not in MACHINE_SETTINGS}
    return [without_machine_settings(each) for each in config] if isinstance(config, list) else config
