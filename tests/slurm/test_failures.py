"""Why a job failed stands in the terminal, and the logs of all its attempts are kept."""

import re

import pytest
from projects import ROOT, ended, profile, start

pytestmark = [pytest.mark.slow, pytest.mark.punish]
FAILS = """
rule all:
    input: "made"
rule fails:
    output: "made"
    log: "logs/fails.log"
    shell: "PYTHONPATH={root} python -m simmim.cluster.logged {{log}} bash -c 'echo simmim: error: the reason; exit 2'"
"""


@pytest.mark.timeout(240)
def test_the_reason_is_printed_and_every_attempt_kept(slurm, tmp_path):
    profile(tmp_path)
    (tmp_path / "Snakefile").write_text(FAILS.format(root=ROOT))
    assert ended(start(tmp_path, slurm.environment, "--retries", "1"), 200) == 1
    assert len(re.findall("^simmim: error: the reason$", (tmp_path / "out.log").read_text(), re.MULTILINE)) >= 2
    kept = sorted((tmp_path / "logs" / "attempts").iterdir())
    assert [file.read_text() for file in kept] == ["simmim: error: the reason\n"] * 2
