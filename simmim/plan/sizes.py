"""Sizes of a run's networks as records (Tables 2, 7 and 8): parameters, and multiply-adds of one image."""

from __future__ import annotations

from pathlib import Path

from simmim.config.resolve import Config
from simmim.plan.pretraining_network import pretraining_network
from simmim.plan.transfer_network import transfer_network
from simmim.storage import records


def write_sizes(config: Config, out: Path) -> None:
    """Count what `size_config` describes and write it to `out`, in millions of parameters and 1e9 multiply-adds.

    `parameters_millions` is the pre-trained model with its head, `encoder_parameters_millions` and `pretrain_gmacs` are
    the encoder's alone at the input of pre-training, `finetune_...` the classifier's at the input of fine-tuning.
    """
    pretraining, finetuning = config["pretraining"], config["finetune"]
    network = pretraining_network(pretraining)
    values = {
        "parameters_millions": network.parameters / 1e6,
        "encoder_parameters_millions": network.encoder.parameters / 1e6,
        "pretrain_gmacs": _gmacs(network.encoder.forward_flops),
    }
    rows = _rows(config, pretraining["config_hash"], values)
    if finetuning:
        network = transfer_network(finetuning, pretraining, config["classes"])
        values = {"parameters_millions": network.parameters / 1e6, "gmacs": _gmacs(network.forward_flops)}
        rows += _rows(config, finetuning["config_hash"], {f"finetune_{name}": value for name, value in values.items()})
    records.write(out, rows, config=config)


def _rows(config: Config, config_hash: str, values: dict[str, float]) -> list[dict]:
    origin = records.Origin(config["scale"], config["run"], "size", 0, config_hash, "", records.code_version())
    return [records.record(origin, 0, metric, value) for metric, value in values.items()]


def _gmacs(flops: int) -> float:
    return flops / 2e9
