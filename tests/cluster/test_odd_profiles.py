"""Profiles that hold something else than settings."""

import pytest

from simmim.cluster.asked import EVERY_OTHER, asked_by, jobs_at_a_time


@pytest.mark.parametrize("text", ["", "- a list\n", "text\n", "default-resources: [runtime=3]\n", "set-resources: 3\n"])
def test_a_profile_without_settings_is_refused_by_name(tmp_path, text):
    profile = tmp_path / "profile.yaml"
    profile.write_text(text)
    with pytest.raises(ValueError, match=r"profile\.yaml is no Slurm profile, or is damaged: '.*-resources' has no"):
        asked_by(profile)


def test_a_rule_without_settings_is_refused_by_name(tmp_path):
    profile = tmp_path / "profile.yaml"
    profile.write_text("set-resources:\n  pack: gpu\n")
    with pytest.raises(ValueError, match=r"profile\.yaml is no Slurm profile, or is damaged: 'pack' has no settings"):
        asked_by(profile)


def test_what_has_no_value_is_not_asked_for_and_takes_the_default_away(tmp_path):
    """As Snakemake reads it; it would be a partition, or an account, named None."""
    profile = tmp_path / "profile.yaml"
    common = "default-resources:\n  slurm_account:\n  slurm_partition: cpu\n  runtime: 5\n"
    profile.write_text(f"{common}set-resources:\n  pack:\n    slurm_partition:\n    runtime: ~\n    gpu: null\n")
    assert asked_by(profile) == {"pack": {}, EVERY_OTHER: {"slurm_partition": "cpu", "runtime": 5}}


@pytest.mark.parametrize(("jobs", "number"), [("50", 50), ("unlimited", None), ("", None)])
def test_how_many_jobs_run_at_a_time_is_read(tmp_path, jobs, number):
    (tmp_path / "profile.yaml").write_text(f"jobs: {jobs}\n")
    assert jobs_at_a_time(tmp_path / "profile.yaml") == number


def test_sections_may_be_empty(tmp_path):
    (tmp_path / "profile.yaml").write_text("default-resources:\nset-resources:\n  pack:\n")
    assert asked_by(tmp_path / "profile.yaml") == {"pack": {}, EVERY_OTHER: {}}
