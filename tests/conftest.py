"""One torch thread per process: with several, two cores under contention are slower than one."""

import os
import tempfile
from collections import Counter

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# torch.compile keeps what it has compiled, and does not tell by which of the CPU's instructions it was to compile it.
_compiled = f"torchinductor_{os.getuid()}_{os.environ.get('ATEN_CPU_CAPABILITY', 'native')}"
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(tempfile.gettempdir(), _compiled))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the workflow's runs, the longest file: begun last, it would keep one core waiting for minutes."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/workflow/test_workflow.py"))


def pytest_terminal_summary(terminalreporter) -> None:
    """Say aloud what was not tested for want of a Slurm, a browser or a graphics card."""
    for part in ("tests/slurm", "tests/report/test_browser.py", "tests/device"):
        skipped = [each for each in terminalreporter.getreports("skipped") if each.nodeid.startswith(part)]
        reasons = Counter(each.longrepr[2].removeprefix("Skipped: ") for each in skipped)
        for reason, count in sorted(reasons.items()):
            words = f"NOT TESTED, {part} ({count} skipped): {reason}"
            terminalreporter.write_line(words, red=True, bold=True)
