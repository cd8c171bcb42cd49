"""Do kills of every kind of job leave the results that an undisturbed run leaves, bit for bit?

    python benchmarks/kills.py --kills 200          on this machine alone
    python benchmarks/kills.py --slurm              through a throw-away Slurm (root, make punish)

The smoke scale with few rows, but with a tokenizer, a first stage and features among them, runs from data to its report
page through Snakemake, again and again until there were enough kills. A kill (kill -9) comes at exponential distances
of the time in which a process works, and hits one of the verb that was hit the least; every fourth is TERM.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "slurm")]

import projects  # noqa: E402
import same_results  # noqa: E402
from toy import Toy, missing  # noqa: E402

RUNS = "default, step_300ep, target_tokens"
LEFT_OUT = "inat, supervised, detect, segment_lr3e4, segment_pretrained, segment_pretrained_lr3e4"
VERBS = "pack", "tokenizer", "first-stage", "pretrain", "features", "evaluate"
HANGS_AFTER = 900.0  # seconds
GOES_ON = ("--retries", "1000", "--config", "scale=smoke")


def project(folder: Path) -> Path:
    """The project at smoke scale with the rows that this needs."""
    folder.mkdir()
    projects.smoke(folder, precision="fp32")
    scale = folder / "config" / "scales" / "smoke.yaml"
    text, _, _ = scale.read_text().rpartition("runs: ")
    scale.write_text(f"{text}runs: [{RUNS}]\nwithout: [{LEFT_OUT}]\n")
    return folder


def at_work(folder: Path) -> dict[int, str]:
    """Process -> verb, of every process of the project that works."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
            if words[1:3] == ["-m", "simmim"] and words[3] in VERBS and (process / "cwd").samefile(folder):
                found[int(process.name)] = words[3]
        except (OSError, IndexError):
            continue
    return found


def under_kills(
    folder: Path, snakemake: subprocess.Popen[bytes], mean: float, most: int, draws: random.Random
) -> Counter[tuple[str, str]]:
    """Kill until there were enough, wait for the end, and say how often each verb was hit by each signal."""
    hit: Counter[tuple[str, str]] = Counter()
    left, last, done = draws.expovariate(1 / mean), time.monotonic(), time.monotonic()
    while snakemake.poll() is None:
        time.sleep(0.05)
        now, work = time.monotonic(), at_work(folder)
        left, last = left - (now - last) * bool(work), now
        if left < 0 and work and sum(hit.values()) < most:
            fewest = Counter(dict.fromkeys(work.values(), 0))
            fewest.update({verb: times for (verb, _), times in hit.items() if verb in fewest})
            verb = min(fewest, key=fewest.__getitem__)
            number = signal.SIGTERM if draws.random() < 0.25 else signal.SIGKILL
            process = draws.choice(sorted(each for each, its in work.items() if its == verb))
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
            hit[verb, number.name] += 1
            left, done = draws.expovariate(1 / mean), now
        if now - done > HANGS_AFTER:
            raise SystemExit(f"hangs: no end {HANGS_AFTER:g} s after the last kill; see {folder}")
    return hit


def compared(reference: Path, folder: Path) -> None:
    """Fail with the first difference in records, pictures and tables."""
    here, there = (each / "results" / "smoke" for each in (reference, folder))
    before, after = same_results.records(here), same_results.records(there)
    assert before.equals(after), before.compare(after).head(20)
    shown = same_results.pictures(here)
    assert shown and shown == same_results.pictures(there), "pictures differ"
    tables = sorted(file.name for file in (here / "tables").glob("*.md"))
    for name in tables:
        texts = [(each / "tables" / name).read_text().splitlines() for each in (here, there)]
        assert texts[0] == texts[1], "\n".join(difflib.unified_diff(*texts, name, name, lineterm="", n=0))
    print(
        f"{len(before)} records, {len(shown)} pictures and {len(tables)} tables are the same, bit for bit", flush=True
    )


def started(folder: Path, slurm: Toy | None) -> subprocess.Popen[bytes]:
    """Snakemake on the whole graph, through Slurm or on this machine."""
    if slurm:
        return projects.start(folder, slurm.environment, *GOES_ON)
    own = {"HOME": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "SIMMIM_DEVICE": "cpu"}
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local", "--nocolor", *GOES_ON]
    with (folder / "out.log").open("ab") as out:
        return subprocess.Popen(command, cwd=folder, env=os.environ | own, stdout=out, stderr=out)


def one_round(
    reference: Path, folder: Path, mean: float, most: int, draws: random.Random, slurm: Toy | None
) -> Counter:
    """One graph from nothing to its page under kills, compared with the undisturbed one; the kills."""
    began = time.monotonic()
    snakemake = started(project(folder), slurm)
    hit = under_kills(folder, snakemake, mean, most, draws)
    if snakemake.returncode:
        raise SystemExit((folder / "out.log").read_text()[-4000:])
    print(f"\n{sum(hit.values())} kills, {time.monotonic() - began:.0f} s; ", end="")
    compared(reference, folder)
    return hit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--mean", type=float, default=5.0, help="seconds between kills")
    parser.add_argument("--slurm", action="store_true", help="through a throw-away Slurm")
    parser.add_argument("--requeue-seconds", type=int, default=30, help="what Slurm waits before a requeued job runs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.slurm and (reason := missing(may_install=False)):
        raise SystemExit(f"no throw-away Slurm: {reason}")
    draws, hit = random.Random(options.seed), Counter()
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        reference = project(Path(scratch, "reference"))
        began = time.monotonic()
        assert started(reference, None).wait(3600) == 0, (reference / "out.log").read_text()[-4000:]
        print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
        while (left := options.kills - sum(hit.values())) > 0:
            folder = Path(scratch, f"round{len(list(Path(scratch).iterdir()))}")
            if options.slurm:
                with Toy(Path(scratch, f"toy{folder.name[-1]}"), options.requeue_seconds) as slurm:
                    hit += one_round(reference, folder, options.mean, left, draws, slurm)
            else:
                hit += one_round(reference, folder, options.mean, left, draws, None)
    print("\n| verb | SIGKILL | SIGTERM |\n| --- | --- | --- |")
    for verb in VERBS:
        print(f"| {verb} | {hit[verb, 'SIGKILL']} | {hit[verb, 'SIGTERM']} |")
    print(f"\n{sum(hit.values())} in all, a mean of {options.mean:g} s apart; load {os.getloadavg()[1]:.1f}")


if __name__ == "__main__":
    main()
