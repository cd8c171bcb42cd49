"""Sizes as records, which Tables 2, 7 and 8 print."""

import pytest
from sheets import CONFIG

from simmim.__main__ import main
from simmim.config.errors import Unavailable
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.jobs import groups_of
from simmim.planning.target import needed
from simmim.storage import records

OPTIONS = ["--scale", "paper", "--run", "default", "--config", str(CONFIG)]


def test_a_run_s_networks_are_recorded(tmp_path):
    assert main(["size", *OPTIONS, "--results", str(tmp_path)]) == 0
    frame = records.read([tmp_path / "paper" / "size" / "default.parquet"])
    assert set(frame["run"]) == {"default"} and set(frame["evaluation"]) == {"size"}
    assert dict(zip(frame["metric"], frame["value"])) == pytest.approx(
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
    assert hashes["pretrain_gmacs"] == sheets.pretraining("paper", "default").hash
    assert hashes["finetune_gmacs"] == sheets.evaluation("paper", "default", "finetune").hash


def test_a_size_counted_with_another_config_is_refused(tmp_path, capsys):
    assert main(["size", *OPTIONS, "--results", str(tmp_path), "--expect", "0123456789ab"]) == 2
    assert "this job was planned with 0123456789ab" in capsys.readouterr().err


def test_the_classifier_has_the_published_number_of_classes():
    sheets = Sheets(CONFIG)
    assert sheets.size("paper", "default").classes == 1000
    assert sheets.size("smoke", "default").classes == 1  # the demo's are counted when they are made


GIANT = "swin_v2_g_22k_ext"


def test_a_run_whose_data_are_not_public_is_not_planned(tmp_path):
    sheets = Sheets(CONFIG)
    jobs = Jobs(sheets, str(tmp_path))
    files = needed("table7", jobs, "paper").files
    assert jobs.path("size", "records", scale="paper", run=GIANT) in files
    groups = groups_of(files, jobs)
    assert groups and not [group for group in groups if group.run == GIANT]
    with pytest.raises(Unavailable):
        sheets.pretraining("paper", GIANT)


@pytest.mark.slow
def test_a_run_whose_data_are_not_public_is_counted(tmp_path):
    """Table 7 prints 3.0 B for SwinV2-G, with the classifier at 640 px."""
    options = ["--scale", "paper", "--run", GIANT, "--config", str(CONFIG), "--results", str(tmp_path)]
    assert main(["size", *options]) == 0
    frame = records.read([tmp_path / "paper" / "size" / f"{GIANT}.parquet"])
    found = dict(zip(frame["metric"], frame["value"]))
    assert found["finetune_parameters_millions"] == pytest.approx(3000, rel=0.02)
