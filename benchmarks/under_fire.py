"""What share of its time does a training spend on steps that count, when faults hit it again and again under Slurm?

    python benchmarks/under_fire.py --mean 60 20      on a throw-away Slurm of this machine (root, make punish)

A pre-training at smoke scale runs through Snakemake and Slurm. Faults come at exponential distances of the time in
which a process of it exists, drawn from --seed, until there were enough or the training is done. The share (ETTR) is
the time between steps that count, over the wall time from the first step to the last: starts, waits and steps done
twice are the rest. The same training runs undisturbed beside it, at the lowest priority, for its weights.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "slurm")]

from fire import ENCODER, Fire, Step, project, undisturbed  # noqa: E402
from toy import Toy, missing  # noqa: E402

from simmim.storage import model_file  # noqa: E402

HANGS_AFTER = 600.0  # seconds without a step


@dataclass(frozen=True)
class Fault:
    """What was done to the training, and when."""

    kind: str
    time: float


def under_fire(fire: Fire, mean: float, faults: int, chosen: list[str], draws: random.Random) -> list[Fault]:
    """Let faults happen until there were enough, every kind once before any comes twice, and wait for the end."""
    done: list[Fault] = []
    left, last, kinds, began = draws.expovariate(1 / mean), time.monotonic(), [], time.time()
    while fire.snakemake.poll() is None:
        time.sleep(0.1)
        now = time.monotonic()
        left, last = left - (now - last) * (fire.process() is not None), now
        if left < 0 and len(done) < faults:
            kinds = kinds or draws.sample(chosen, len(chosen))
            done.append(Fault(kinds.pop(), time.time()))
            print(f"{done[-1].time - began:7.1f} s  {done[-1].kind}", flush=True)
            fire.faults()[done[-1].kind]()
            left, last = draws.expovariate(1 / mean), time.monotonic()
        steps = fire.steps() if int(now) % 10 == 0 else []
        if steps and time.time() - steps[-1].time > HANGS_AFTER:
            raise SystemExit(f"hangs: no step for {HANGS_AFTER} s after {done[-1]}; see {fire.folder}")
    return done


def measured(fault: Fault, steps: list[Step]) -> tuple[float, float, int] | None:
    """Seconds from a fault to the first step and to the first new one, and how many were done twice until then.

    What comes in between, other faults too, counts; steps within half a second may have been under way. None where the
    training had nothing left to do.
    """
    before = max((step.number for step in steps if step.time <= fault.time), default=0)
    after = [step for step in steps if step.time > fault.time + 0.5]
    new = next((step for step in after if step.number > before), None)
    if new is None:
        return None
    twice = sum(step.number <= before and step.time < new.time for step in after)
    return after[0].time - fault.time, new.time - fault.time, twice


def useful_seconds(steps: list[Step]) -> float:
    """The time between two steps of one process, over all steps that were not done once more."""
    last = {step.number: step for step in steps}
    before = {(step.process, step.number): step.time for step in steps}
    return sum(step.time - before.get((step.process, step.number - 1), step.time) for step in last.values())


def report(faults: list[Fault], steps: list[Step], same: bool, mean: float) -> None:
    """Print the table."""
    rows: dict[str, list[tuple[float, float, int] | None]] = {}
    for fault in faults:
        rows.setdefault(fault.kind, []).append(measured(fault, steps))
    print("\n| fault | times | s to a step: median, worst | s to a new step: median, worst | steps lost |")
    print("| --- | --- | --- | --- | --- |")
    for kind, all_found in sorted(rows.items()):
        found = [each for each in all_found if each]
        cells = [f"{statistics.median(each):.0f}, {max(each):.0f}" if each else "-" for each in [*zip(*found)][:2]]
        lost = ", ".join(str(each[2]) for each in found)
        print(f"| {kind} | {len(all_found)} | {' | '.join(cells or ['-', '-'])} | {lost} |")
    useful, wall = useful_seconds(steps), steps[-1].time - steps[0].time
    starts, number = len({step.process for step in steps}), steps[-1].number
    print(f"\n{len(faults)} faults, mean distance {mean:g} s; {number} steps, {1000 * useful / number:.0f} ms each")
    print(f"{wall:.0f} s from the first step to the last, {len(steps) - number} steps done twice, {starts} processes")
    print(
        f"ETTR {useful / wall:.2f}; weights {'have the same bits' if same else 'DIFFER'}; load {os.getloadavg()[1]:.1f}"
    )


def one_run(
    reference: Path, alone: subprocess.Popen[bytes], folder: Path, mean: float, options: argparse.Namespace
) -> None:
    """One run under fire, and its table."""
    project(folder, options.steps, options.save_minutes)
    for part in ("results/smoke/source", "results/smoke/data", ".snakemake"):
        shutil.copytree(reference / part, folder / part, symlinks=True, dirs_exist_ok=True)
    with Toy(folder / "toy", options.requeue_seconds) as slurm:
        fire = Fire(folder, slurm)
        kinds = options.kinds or sorted(fire.faults())
        faults = under_fire(fire, mean, options.faults, kinds, random.Random(options.seed))
    if fire.snakemake.returncode:
        shutil.copy(folder / "out.log", "under_fire.log")
        raise SystemExit(f"Snakemake ended with {fire.snakemake.returncode}; see under_fire.log")
    assert alone.wait(3600) == 0, (reference / "out.log").read_text()[-2000:]
    same = model_file.digest(folder / ENCODER) == model_file.digest(reference / ENCODER)
    report(faults, fire.steps(), same, mean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mean", type=float, nargs="+", default=[60, 20], help="seconds between faults, run by run")
    parser.add_argument("--faults", type=int, default=20, help="the most faults of a run")
    parser.add_argument("--kinds", nargs="+", help="only these faults, as the table names them")
    parser.add_argument("--wait", type=float, default=0.3, help="seconds that each step waits, as for a card")
    parser.add_argument("--steps", type=int, default=8000, help="updates of the training")
    parser.add_argument("--save-minutes", type=float, default=0.1, help="save_every_minutes of the training")
    parser.add_argument("--requeue-seconds", type=int, default=120, help="what Slurm waits before a requeued job runs")
    parser.add_argument("--stuck-minutes", type=float, default=0.25, help="SIMMIM_STUCK_MINUTES")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and their distances")
    options = parser.parse_args()
    if reason := missing(may_install=False):
        raise SystemExit(f"no throw-away Slurm: {reason}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Slurm's daemons end too
    os.environ["SIMMIM_STUCK_MINUTES"] = str(options.stuck_minutes)
    with tempfile.TemporaryDirectory(prefix="fire-") as scratch:
        reference = project(Path(scratch, "reference"), options.steps, options.save_minutes)
        alone = undisturbed(reference)
        os.environ["UNDER_FIRE_WAIT"] = str(options.wait)
        for mean in options.mean:
            one_run(reference, alone, Path(scratch, f"fire{mean:g}"), mean, options)


if __name__ == "__main__":
    main()
