"""A throw-away Slurm on this machine: two nodes with two pretended GPUs each, no accounting, everything below a folder.

Needs root, and Debian's packages slurmctld, slurmd, slurm-client and munge. The cluster must also be found at
/etc/slurm, because the plugin's jobs drop SLURM_CONF; a slurm.conf there that is another's is left alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = "slurmctld", "slurmd", "slurm-client", "munge"
ETC = Path("/etc/slurm")
FILES = "slurm.conf", "gres.conf", "cgroup.conf"
NODES, GPUS, CPUS, MEMORY_MB, PORTS = ("n1", "n2"), 2, 8, 16000, 17300


def missing(may_install: bool) -> str:
    """Why there can be no Slurm here; "" where there can. Packages are installed only where asked for."""
    if os.getuid():
        return "its daemons need root"
    if shutil.which("slurmctld") and shutil.which("slurmd") and shutil.which("munged"):
        return _taken()
    if not may_install:
        return "Slurm is not installed (`make punish` installs Debian's)"
    if not shutil.which("apt-get"):
        return "there is no apt-get to install it with"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        if (done := subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True)).returncode:
            return f"apt-get cannot install it: {done.stderr.strip()[-200:]}"
    return _taken()


def _taken() -> str:
    other = [ETC / name for name in FILES if (ETC / name).exists()]
    return f"{other[0]} belongs to another Slurm" if other else ""


class Toy:
    """The cluster; one at a time on a machine, others wait for it.

    Args:
        requeue_seconds: what Slurm waits before it starts a job again that was put back; 120 as it comes.
    """

    def __init__(self, folder: Path, requeue_seconds: int = 120) -> None:
        self.folder, self._requeue_seconds = folder, requeue_seconds
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._turn = open("/tmp/simmim-toy-slurm.lock", "w")  # noqa: SIM115

    def __enter__(self) -> Toy:
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            for name in ("etc", "run", "log", "state/controller", *(f"state/{node}" for node in NODES), "devices"):
                (self.folder / name).mkdir(parents=True)
            self._write_configuration()
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if "controller" in self._running:
                self.ask("scancel", "--full", "--user=root")
                _until(lambda: not self.ask("squeue", "--noheader").stdout, "an empty queue", 15, must=False)
        finally:
            for name in reversed([*self._running]):
                self._stop(name)
            for name in FILES:
                if (ETC / name).is_symlink() and (ETC / name).readlink() == self.folder / "etc" / name:
                    (ETC / name).unlink()
            fcntl.flock(self._turn, fcntl.LOCK_UN)  # or the next one of this process would wait for ever

    @property
    def environment(self) -> dict[str, str]:
        """Of commands that talk to it."""
        return os.environ | {"SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}

    def ask(self, *command: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command of Slurm."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=seconds)

    def signal_controller(self, number: int) -> None:
        """Send the controller a signal: STOP makes it silent, CONT ends that."""
        self._running["controller"].send_signal(number)

    def kill_controller(self) -> None:
        """As a crash of its machine would."""
        self._running["controller"].kill()
        self._running.pop("controller").wait()

    def start_controller(self) -> None:
        """Start it from its saved state, and return when it answers."""
        self._start("controller", "slurmctld", "-D")
        _until(lambda: self.ask("scontrol", "ping").returncode == 0, "the controller", 30)

    def log(self) -> str:
        """The end of what its daemons said."""
        return "\n".join(f"{file.name}: {file.read_text()[-1500:]}" for file in sorted((self.folder / "log").iterdir()))

    def _start_all(self) -> None:
        run, log = self.folder / "run", self.folder / "log"
        own = f"--pid-file={run}/munged --log-file={log}/munged.log --seed-file={run}/seed --socket={run}/munge"
        self._start("munged", "munged", "-F", "--force", f"--key-file={self.folder}/etc/munge.key", *own.split())
        _until(lambda: (run / "munge").exists(), "munged", 10)
        self.start_controller()
        for node in NODES:
            self._start(node, "slurmd", "-D", "-N", node)
        listed = "sinfo", "--noheader", "--Node", "--partition=cpu", "--states=idle", "--format=%N"
        _until(lambda: len(self.ask(*listed).stdout.split()) == len(NODES), "idle nodes", 60)

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as out:
            self._running[name] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def _stop(self, name: str) -> None:
        daemon = self._running.pop(name)
        daemon.send_signal(signal.SIGCONT)
        daemon.terminate()
        try:
            daemon.wait(15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _write_configuration(self) -> None:
        etc, host = self.folder / "etc", socket.gethostname().split(".")[0]
        key = etc / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        (etc / "slurm.conf").write_text(_slurm_conf(self.folder, host, self._requeue_seconds))
        (etc / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # touches nothing: no plugin below uses it
        lines = []
        for node in NODES:
            for gpu in range(GPUS):
                (self.folder / "devices" / f"{node}-{gpu}").symlink_to("/dev/null")
            lines.append(f"NodeName={node} Name=gpu File={self.folder}/devices/{node}-[0-{GPUS - 1}]\n")
        (etc / "gres.conf").write_text("".join(lines))
        ETC.mkdir(exist_ok=True)
        for name in FILES:
            (ETC / name).unlink(missing_ok=True)  # what a killed one left leads nowhere
            (ETC / name).symlink_to(etc / name)


def _slurm_conf(folder: Path, host: str, requeue_seconds: int) -> str:
    nodes = "".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={PORTS + 2 + number} CPUs={CPUS} "
        f"RealMemory={MEMORY_MB} Gres=gpu:{GPUS} State=UNKNOWN\n"
        for number, node in enumerate(NODES)
    )
    partition = "Nodes=ALL MaxTime=1-00:00:00 DefaultTime=01:00:00 DefMemPerCPU=500 State=UP"
    return f"""ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={PORTS}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/run/munge,cred_expire={requeue_seconds}
StateSaveLocation={folder}/state/controller
SlurmdSpoolDir={folder}/state/%n
SlurmctldPidFile={folder}/run/controller
SlurmdPidFile={folder}/run/%n
SlurmctldLogFile={folder}/log/controller.log
SlurmdLogFile={folder}/log/%n.log
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=600
KillWait=5
InactiveLimit=0
JobRequeue=1
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
{nodes}PartitionName=cpu {partition} Default=YES PriorityTier=10 PreemptMode=OFF
PartitionName=gpu {partition} PriorityTier=10 PreemptMode=OFF
PartitionName=preemptible {partition} PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
"""


def _until(done: Callable[[], bool], what: str, seconds: float, must: bool = True) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            assert not must, f"timed out waiting for {what}"
            return
        time.sleep(0.2)
