"""How far apart are the numbers of the demo on other CPUs and cards, in another number format, on more threads?

    python benchmarks/machines.py                          every setting that is missing, ten minutes to an hour each
    python benchmarks/machines.py native-bf16-1            only these
    python benchmarks/machines.py --add other.parquet      what another machine has measured, too

A setting is what ATen's kernels may use (ATEN_CPU_CAPABILITY; oneDNN and MKL choose theirs themselves) or `cuda` for a
GPU, the number format of every training, and the threads of a job. Each is one demo from data to page in a folder of
its own, where an interrupted one goes on; what it gives is put into results/demo_numbers.parquet, beside what other
machines have given, and is not measured again. The ranges of all of them are printed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
import yaml

from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.machine import cpu_name, cpus
from simmim.plugin import check_choice
from simmim.report import elsewhere
from simmim.report.facts import facts
from simmim.report.results import Results
from simmim.storage.reading import existing
from simmim.train.device import has_bf16

ROOT = Path(__file__).parents[1]
SCALE = "demo"
FILE = ROOT / "results" / f"{SCALE}_numbers.parquet"
THREADS = 1, 2
CARD = "cuda"  # in place of kernels: on a GPU
COMPUTES = "pretrain", "features", "evaluate", "finetune"  # the rules whose threads make numbers


@dataclass(frozen=True)
class Setting:
    """One way to compute the demo on this machine."""

    capability: str
    precision: str
    threads: int

    def __str__(self) -> str:
        return f"{self.capability}-{self.precision}-{self.threads}"

    @property
    def environment(self) -> dict[str, str]:
        """Of this process, with the device and the kernels that ATen may use; `native` is all that the CPU has."""
        own = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
        own["SIMMIM_DEVICE"] = "cuda" if self.capability == CARD else "cpu"
        return own | ({} if self.capability in ("native", CARD) else {"ATEN_CPU_CAPABILITY": self.capability})

    def row(self) -> dict[str, str | int]:
        """The columns `elsewhere.SETTING`."""
        of = torch.cuda.get_device_name() if self.capability == CARD else cpu_name()
        return {"machine": of, "torch": torch.__version__} | asdict(self)


def settings(best: str, bf16: bool, card_bf16: bool | None = None) -> list[Setting]:
    """Those that differ on a CPU with these capabilities: `native` is AVX2 on one that has no more.

    Args:
        best: kernels of the CPU.
        bf16, card_bf16: whether CPU and card have the format; None without a card.
    """
    capabilities = ["default", "avx2", "native"] if best.startswith("AVX512") else ["default", "native"]
    capabilities = capabilities if best.startswith("AVX") else ["native"]
    on_card = [] if card_bf16 is None else [Setting(CARD, each, 1) for each in ["bf16", "fp32"][not card_bf16 :]]
    products = itertools.product(capabilities, ["bf16", "fp32"][not bf16 :], THREADS)
    return [Setting(*each) for each in products] + on_card


def of_this_machine() -> list[Setting]:
    """Settings of its CPU and, where it has one, of its GPU."""
    card_bf16 = has_bf16(torch.device("cuda")) if torch.cuda.is_available() else None
    return settings(torch.backends.cpu.get_cpu_capability(), has_bf16(torch.device("cpu")), card_bf16)


def checkout(folder: Path, precision: str) -> None:
    """This checkout in a folder, with this number format for the trainings of the demo whose recipe states none."""
    for part in ("config", "simmim", "workflow"):
        shutil.rmtree(folder / part, ignore_errors=True)
        shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    scale = folder / "config" / "scales" / f"{SCALE}.yaml"
    content = yaml.safe_load(scale.read_text(encoding="utf-8"))
    sheets = Sheets(ROOT / "config")
    stated = {
        name for name in sheets.recipes("evaluate") if "precision" in sheets.recipe(name, "evaluate").get("train", {})
    }
    sections = [content["pretrain"], *(each for name, each in content["evaluate"].items() if name not in stated)]
    for section in sections:
        if "train" in section:
            section["train"] = section["train"] | {"precision": precision}
    scale.write_text(yaml.safe_dump(content), encoding="utf-8")


def run(setting: Setting, folder: Path) -> None:
    """The demo in its folder, or what is missing of it."""
    checkout(folder, setting.precision)
    threads = [f"{rule}={setting.threads}" for rule in COMPUTES]
    command = [sys.executable, "-m", "simmim.follow", "--profile", "workflow/profiles/local", "--set-threads", *threads]
    searched = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    command += ["--cores", str(max(cpus(), setting.threads)), "--config", f"scale={SCALE}"]
    subprocess.run(command, cwd=folder, env=setting.environment | {"PYTHONPATH": searched}, check=True)


def measured(setting: Setting, folder: Path, jobs: Jobs) -> pd.DataFrame:
    """Numbers of a finished demo; config hashes are those of a demo whose number format is the machine's."""
    known, there = facts(jobs.sheets, SCALE), Jobs(jobs.sheets, str(folder / "results"))
    frame = elsewhere.numbers(Results(there.files(SCALE, elsewhere.needs(known)), known), known)
    hashes = config_hashes(jobs)
    of_sheets = [hashes[key] for key in zip(frame["run"], frame["evaluation"])]
    return frame.assign(**setting.row(), config_hash=of_sheets)


def config_hashes(jobs: Jobs) -> dict[tuple[str, str], str]:
    """By run and evaluation."""
    known, sheets = facts(jobs.sheets, SCALE), jobs.sheets
    pretrained = {(run, "pretrain"): sheets.pretraining(SCALE, run).hash for run in known.loss_areas}
    return pretrained | {each: sheets.evaluation(SCALE, *each).hash for each in known.evaluated}


def is_done(setting: Setting, known: pd.DataFrame, jobs: Jobs) -> bool:
    """Whether the file has every number of this setting, with the configs of the sheets."""
    rows = known[(known[elsewhere.SETTING] == pd.Series(setting.row())).all(axis=1)]
    return dict(zip(zip(rows["run"], rows["evaluation"]), rows["config_hash"])) == config_hashes(jobs)


def missing(wanted: list[Setting], file: Path, jobs: Jobs) -> Iterator[Setting]:
    """Those that the file does not have when their turn comes."""
    for setting in wanted:
        if not is_done(setting, elsewhere.read(file), jobs):
            yield setting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = {str(each): each for each in of_this_machine()}
    parser.add_argument("settings", nargs="*", help=f"of {', '.join(known)} (all)")
    parser.add_argument("--add", type=Path, nargs="+", default=(), help="files of other machines; nothing is measured")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "machines", help="where the demos run")
    options = parser.parse_args()
    for name in options.settings:
        check_choice("setting of this machine", name, known)
    jobs = Jobs(Sheets(ROOT / "config"))
    for file in options.add:
        elsewhere.add(FILE, elsewhere.read(existing(file, "--add")))
    wanted = [known[name] for name in options.settings or known] if not options.add else []
    for setting in missing(wanted, FILE, jobs):
        print(f"{setting} on {cpu_name()}", flush=True)
        folder = options.folder.absolute() / str(setting)
        run(setting, folder)
        elsewhere.add(FILE, measured(setting, folder, jobs))
    print(elsewhere.ranges(elsewhere.read(FILE)).to_string(index=False))


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
