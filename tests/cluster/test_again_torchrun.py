"""Several processes under torchrun are started again together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simmim import stopping

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("own", "seconds"), [({}, stopping.TO_SAVE), ({"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "300"}, 300)])
def test_torchrun_lets_its_ranks_save_before_it_kills_them(tmp_path, own, seconds):
    """As long as a training has to save before its time ends, or as the user says."""
    read = "from torch.distributed.launcher import LaunchConfig as C; print(vars(C(1, 1, 1)).get('shutdown_timeout'))"
    words = [sys.executable, "-m", "simmim.cluster.again", sys.executable, "-c", read]
    environment = {name: value for name, value in os.environ.items() if name != "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"}
    environment |= {"PYTHONPATH": str(ROOT)} | own
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    if done.stdout == "None\n":
        pytest.skip("this PyTorch always waits 30 s")
    assert done.stdout == f"{seconds}\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("end", "code", "attempts"), [("n or die(9)", 0, 2), ("sys.exit(said.ended(2))", 2, 1)])
def test_ranks_under_torchrun_are_started_again_together_and_their_mistakes_are_heard(tmp_path, end, code, attempts):
    (tmp_path / "work.py").write_text(
        "import os, signal, sys, time\nfrom pathlib import Path\nfrom simmim import said\n"
        "rank = os.environ['RANK']\nn = len([*Path().glob(f'began{rank}.*')])\n"
        "def die(number): os.kill(os.getpid(), number)\n"
        "Path(f'began{rank}.{os.getpid()}').touch()\n"
        "while len([*Path().glob('began0.*')]) != len([*Path().glob('began1.*')]): time.sleep(0.05)\n"
        f"rank == '0' and n == 0 and time.sleep(60)\nrank == '1' and ({end})\n"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "work.py"]
    words = [sys.executable, "-m", "simmim.cluster.again", *launcher]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    assert len([*tmp_path.glob("began1.*")]) == attempts and done.stdout.count("started again") == attempts - 1
