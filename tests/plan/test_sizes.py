"""Sizes as records, which Tables 2, 7 and 8 print."""

import pytest
from sheets import CONFIG

from simmim import records
from simmim.__main__ import main
from simmim.config import Sheets
from simmim.plan.size_config import size_config
from simmim.report.measurements import measurement

OPTIONS = ["--scale", "paper", "--run", "default", "--config", str(CONFIG)]


def test_a_run_s_networks_are_recorded(tmp_path):
    assert main(["size", *OPTIONS, "--results", str(tmp_path)]) == 0
    frame = records.read([tmp_path / "paper" / "size" / "default.parquet"])
    found = {metric: measurement(frame, "default", "size", metric).values[0] for metric in frame["metric"]}
    assert found == pytest.approx(
        {
            "parameters_millions": 89.874104,  # Table 2: 89.9
            "encoder_parameters_millions": 86.725304,
            "pretrain_gmacs": 11.277,  # Table 8: 11.3
            "finetune_parameters_millions": 87.750304,  # Tables 7 and 8: 88
            "finetune_gmacs": 11.278,
        },
        rel=1e-4,
    )
    sheets = Sheets(CONFIG)
    hashes = dict(zip(frame["metric"], frame["config_hash"]))
    assert hashes["pretrain_gmacs"] == sheets.pretraining("paper", "default")["config_hash"]
    assert hashes["finetune_gmacs"] == sheets.evaluation("paper", "default", "finetune")["config_hash"]


def test_a_size_counted_with_another_config_is_refused(tmp_path, capsys):
    assert main(["size", *OPTIONS, "--results", str(tmp_path), "--expect", "0123456789ab"]) == 2
    assert "this job was planned with 0123456789ab" in capsys.readouterr().err


def test_the_classifier_has_the_published_number_of_classes():
    sheets = Sheets(CONFIG)
    assert size_config(sheets, "paper", "default")["classes"] == 1000
    assert size_config(sheets, "smoke", "default")["classes"] == 1  # the demo's are counted when they are made
