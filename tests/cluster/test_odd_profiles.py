"""Profiles that hold something else than settings."""

import pytest
import yaml
from snakemake.resources import Resource

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


@pytest.mark.parametrize(
    "runtime", ["36 hours", "2 days", "1w", "90min", "90 MINUTES", "1.5h", "3d", "100 s", "5secs", "45", 45, "0"]
)
def test_a_time_is_read_as_snakemake_reads_it(tmp_path, runtime):
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump({"default-resources": {"runtime": runtime}}))
    expected = Resource("runtime", runtime).value
    assert asked_by(tmp_path / "profile.yaml")[EVERY_OTHER]["runtime"] == expected


@pytest.mark.parametrize("runtime", ["1.2.3", "1h30m", "12 fortnights", "-5", "1.", "h"])
def test_what_is_no_time_is_a_sentence(tmp_path, runtime):
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump({"set-resources": {"pack": {"runtime": runtime}}}))
    with pytest.raises(ValueError, match=f"runtime of pack is '{runtime}', which is no time; write minutes, 12h or 3d"):
        asked_by(tmp_path / "profile.yaml")
