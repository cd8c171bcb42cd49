"""What the Snakemake workflow catalogue asks for: lint with Snakemake alone, deployment, use as a module."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What `pip install snakemake` brings of what the whole environment has; yaml and pydantic are among it.
ABSENT = ("pandas", "pyarrow", "numpy", "torch", "torchvision", "timm", "matplotlib", "scipy", "sklearn", "PIL", "rich")
ABSENT += ("seaborn", "statsmodels", "safetensors")
BARE = f"""import importlib.util, pkgutil, sys
sys.path = [each for each in sys.path if each not in ("", {str(ROOT)!r})]
sys.modules |= dict.fromkeys({ABSENT!r})
modules, found, plugin = pkgutil.iter_modules, importlib.util.find_spec, "snakemake_executor_plugin_slurm"
pkgutil.iter_modules = lambda *where: (each for each in modules(*where) if each.name != plugin)
importlib.util.find_spec = lambda name, *rest: None if name == plugin else found(name, *rest)
from snakemake.cli import main
main(sys.argv[1:])
"""


def run(folder, *command, timeout=100):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout + done.stderr


def test_lint_with_nothing_but_snakemake_finds_nothing():
    code, printed = run(ROOT, sys.executable, "-c", BARE, "--lint")
    assert code == 0 and "Congratulations" in printed, printed[-3000:]


def repository(folder: Path) -> Path:
    """What a clone holds, as far as a deployment reads it."""
    for part in ("config", "simmim", "workflow"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    shutil.copy(ROOT / "LICENSE", folder)
    return folder


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A folder that `snakedeploy` has filled; a repository on this machine it names without its folder."""
    source, folder = repository(tmp_path_factory.mktemp("simmim")), tmp_path_factory.mktemp("deployed")
    deploy = Path(sys.executable).parent / "snakedeploy"
    code, printed = run(
        folder, str(deploy), "deploy-workflow", str(source), ".", "--branch", "main", "--name", "simmim"
    )
    assert code == 0, printed
    snakefile = folder / "workflow" / "Snakefile"
    text = snakefile.read_text()
    assert 'snakefile: \n        "workflow/Snakefile"' in text
    snakefile.write_text(text.replace('"workflow/Snakefile"', f'"{source}/workflow/Snakefile"'))
    return folder


SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")


@pytest.mark.slow
def test_a_deployed_workflow_plans_the_paper(deployed):
    assert {path.name for path in deployed.iterdir()} >= {"config", "workflow", "LICENSE"}
    code, printed = run(deployed, SNAKEMAKE, "-n", "results/paper/tables/table4.md")
    assert code == 0 and "finetune " in printed and "pretrain " in printed, printed[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_deployed_workflow_trains(deployed):
    files = "results/smoke/pretrain/default/seed0/train.parquet", "results/smoke/size/default.parquet"
    code, printed = run(deployed, SNAKEMAKE, "--cores", "1", "--config", "scale=smoke", "--", *files, timeout=580)
    assert code == 0, printed[-3000:]
    assert all((deployed / file).is_file() for file in files)
    assert (deployed / "logs/smoke/pretrain/attempts").is_dir()


@pytest.mark.slow
def test_a_module_of_another_workflow_with_rows_of_its_own(tmp_path):
    """The sheets are those of the folder one works in, so a workflow can take the rules and bring its own rows."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    with (tmp_path / "config" / "pretrain.tsv").open("a") as sheet:
        sheet.write("mine\tswin_b_100ep\tmask.ratio=0.3\n")
    module = (
        f'module simmim:\n    snakefile: "{ROOT}/workflow/Snakefile"\n    config: config\n\nuse rule * from simmim\n'
    )
    (tmp_path / "Snakefile").write_text('configfile: "config/config.yaml"\n\n' + module)
    code, printed = run(tmp_path, SNAKEMAKE, "-n", "results/paper/pretrain/mine/seed0/train.parquet")
    assert code == 0 and "run=mine" in printed, printed[-3000:]


def test_without_the_package_one_sentence_says_what_to_install(tmp_path):
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    shutil.copytree(ROOT / "config", tmp_path / "config")
    block = "import sys, importlib.util as found; spec = found.find_spec\n"
    block += "found.find_spec = lambda name, *rest: None if name == 'simmim' else spec(name, *rest)\n"
    code, printed = run(tmp_path, sys.executable, "-c", block + "from snakemake.cli import main; main(['-n'])")
    assert code == 1 and "pip install './simmim[workflow]'" in printed and "Traceback" not in printed, printed[-2000:]
