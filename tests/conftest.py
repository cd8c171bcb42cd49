"""One torch thread per process: with several, two cores under contention are slower than one."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the workflow's runs, the longest file: begun last, it would keep one core waiting for minutes."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/workflow/test_workflow.py"))


def pytest_terminal_summary(terminalreporter) -> None:
    """Say aloud what was not tested for want of a Slurm."""
    skipped = [report for report in terminalreporter.getreports("skipped") if report.nodeid.startswith("tests/slurm")]
    reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped})
    for reason in reasons:
        terminalreporter.write_line(f"NOT TESTED, {len(skipped)} tests of tests/slurm: {reason}", red=True, bold=True)
