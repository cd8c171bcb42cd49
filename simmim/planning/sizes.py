"""Sizes of a run's networks as records (Tables 2, 7 and 8): parameters, and multiply-adds of one image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simmim.config.evaluate_models import SizeConfig
from simmim.planning.network import Network
from simmim.planning.pretraining_network import pretraining_network
from simmim.planning.transfer_network import transfer_network
from simmim.storage import records
from simmim.storage.identity import code_version


def write_sizes(config: SizeConfig, out: Path) -> None:
    """Count the networks of a run and write records to `out`, in millions of parameters and 1e9 multiply-adds.

    `parameters_millions` is the pre-trained model with its head, `encoder_parameters_millions` and `pretrain_gmacs` are
    the encoder's alone at the input of pre-training, `finetune_...` the classifier's at the input of fine-tuning.
    """
    network = pretraining_network(config.pretraining)
    values = {
        "parameters_millions": network.parameters / 1e6,
        "encoder_parameters_millions": network.encoder.parameters / 1e6,
        "pretrain_gmacs": network.encoder.forward_flops / 2e9,
    }
    rows = _rows(config, config.pretraining.hash, values)
    if config.finetune:
        classifier = transfer_network(config.finetune, config.pretraining, config.classes)
        rows += _rows(config, config.finetune.hash, _of_classifier(classifier))
    records.write(out, rows, config=config.as_json())


def _of_classifier(network: Network) -> dict[str, float]:
    return {
        "finetune_parameters_millions": network.parameters / 1e6,
        "finetune_gmacs": network.forward_flops / 2e9,
    }


def _rows(config: SizeConfig, config_hash: str, values: dict[str, float]) -> list[dict[str, Any]]:
    origin = records.Origin(config.scale, config.run, "size", 0, config_hash, code_version())
    return [records.record(origin, 0, metric, value) for metric, value in values.items()]
