"""The whole graph at smoke scale through Slurm, from data to report page."""

import pytest
from projects import ended, local, smoke, start

pytestmark = [pytest.mark.slow, pytest.mark.punish]


@pytest.mark.timeout(2400)
def test_the_graph_gives_the_same_tables_on_slurm_as_here(slurm, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here, there = smoke(tmp_path / "here"), smoke(tmp_path / "there")
    snakemake = start(there, slurm.environment, "--config", "scale=smoke")
    assert ended(snakemake, 1500) == 0, (there / "out.log").read_text()[-4000:]
    local(here, "--config", "scale=smoke", seconds=800)
    tables = sorted(file.relative_to(here) for file in here.glob("results/smoke/tables/*.md"))
    assert len(tables) > 10 and (there / "results" / "smoke" / "report.html").stat().st_size > 5000
    for table in tables:
        assert (there / table).read_text() == (here / table).read_text(), table
    said = (there / "out.log").read_text()
    assert said.count("has been submitted with SLURM jobid") == said.count("Finished jobid") - said.count("localrule ")
    assert list(there.glob("logs/smoke/pretrain/attempts/default_seed0.*.log"))
