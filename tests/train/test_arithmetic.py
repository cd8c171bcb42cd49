"""float32 is float32, and the switch for the same bits every time."""

import os
import warnings

import pytest
import torch
from tasks import Regression
from test_loop import timed

from simmim.train import arithmetic
from simmim.train.processes import environment, joined_processes


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    """Neither the switch nor cuBLAS's setting, also after the test."""
    for name in (arithmetic.SWITCH, "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_nothing_runs_in_tf32_in_a_job():
    torch.backends.cudnn.conv.fp32_precision = "tf32"  # as PyTorch starts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with joined_processes() as processes:
            backends = torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul
            assert {each.fp32_precision for each in backends} == {"ieee"}
            assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
            stated = environment(processes, None)
    assert stated["float32"] == "ieee" and stated["precision"] == "fp32" and stated["deterministic"] is False


def test_the_switch_is_for_the_job_and_recorded(monkeypatch):
    monkeypatch.setenv(arithmetic.SWITCH, "1")
    with joined_processes() as processes:
        assert (
            torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
        )
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert environment(processes, None)["deterministic"] is True
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("switch", "varying", "searched"), [("0", False, True), ("0", True, False), ("1", False, False)]
)
def test_the_fastest_convolutions_are_searched_where_sizes_stay_and_bits_need_not_repeat(
    tmp_path, monkeypatch, switch, varying, searched
):
    seen = []

    class Looking(Regression):
        varying_shapes = varying

        def forward(self, batch):
            seen.append(torch.backends.cudnn.benchmark)
            return super().forward(batch)

    monkeypatch.setenv(arithmetic.SWITCH, switch)
    timed(tmp_path, Looking(), epochs=1)
    assert set(seen) == {searched} and not torch.backends.cudnn.benchmark


def test_another_value_of_the_switch_is_refused(monkeypatch):
    monkeypatch.setenv(arithmetic.SWITCH, "yes")
    with pytest.raises(ValueError, match="SIMMIM_DETERMINISTIC=yes must be 1, for the same bits every time, or 0"):
        arithmetic.fixed().__enter__()


def test_an_operation_without_a_deterministic_form_ends_in_a_sentence_and_other_errors_stay():
    wanted = r"SIMMIM_DETERMINISTIC=1 cannot be kept here: some_backward_cuda has no deterministic form.*run this job"
    with pytest.raises(ValueError, match=wanted), arithmetic.fixed():
        raise RuntimeError("some_backward_cuda does not have a deterministic implementation, but you set ...")
    with pytest.raises(RuntimeError, match="out of luck"), arithmetic.fixed():
        raise RuntimeError("out of luck")
