"""One torch thread per process: with several, two cores under contention are slower than one."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the workflow's runs, the longest file: begun last, it would keep one core waiting for minutes."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/workflow/test_workflow.py"))
