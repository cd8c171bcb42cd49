"""Nothing in a published file is trusted: what is not a tensor, a plain value or the config node is never unpickled."""

import argparse
import os
import re
import sys

import pytest
import torch
from released_files import pretrained, write
from safetensors.torch import save_file

from simmim.__main__ import main
from simmim.released.checkpoint import is_encoder_file, read_checkpoint

STATE = {"encoder.norm.weight": torch.arange(3.0)}


class Payload:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Local:
    pass


def test_a_payload_is_named_and_does_not_run(tmp_path):
    marker = tmp_path / "it_ran"
    path = write(tmp_path / "bad.pth", {"model": STATE, "epoch": Payload(os.system, f"touch {marker}")})
    with pytest.raises(ValueError, match=r"asks for 'posix\.system'") as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), "the payload is not alive, so the test above shows nothing"


@pytest.mark.parametrize(
    "value, name",
    [
        (Payload(eval, "1"), "eval"),
        (argparse.Namespace(lr=1.0), "argparse.Namespace"),
        (torch.optim.SGD([torch.zeros(1)]), "torch.optim.sgd.SGD"),
        (Payload(os.getenv, "HOME"), "os.getenv"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    ],
)
def test_anything_else_is_refused_by_name(tmp_path, value, name):
    for content in ({"model": STATE, "config": value}, {"model": STATE | {"x": value}}):
        with pytest.raises(ValueError, match=f"asks for '{name}'; allowed are tensors, plain values"):
            read_checkpoint(write(tmp_path / "bad.pth", content))


def test_what_another_library_allowed_is_not_allowed_here(tmp_path):
    path = write(tmp_path / "bad.pth", {"model": STATE, "epoch": Local()})
    before = set(torch.serialization.get_safe_globals())
    with torch.serialization.safe_globals([Local]):
        torch.load(path, weights_only=True)
        with pytest.raises(ValueError, match=r"asks for '.*Local'"):
            read_checkpoint(path)
        assert set(torch.serialization.get_safe_globals()) == before | {Local}


def test_the_environment_cannot_switch_the_check_off(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = write(tmp_path / "bad.pth", {"model": STATE, "epoch": Payload(os.getenv, "HOME")})
    with pytest.raises(ValueError, match="asks for"):
        read_checkpoint(path)


def test_config_node_and_training_state(tmp_path):
    path = pretrained(tmp_path / "a.pth", "mim_swin_a")
    assert "yacs" not in sys.modules
    checkpoint = read_checkpoint(path)
    assert checkpoint.left_aside == ("optimizer", "max_accuracy", "epoch")
    assert type(checkpoint.config["MODEL"]["SWIN"]) is dict
    assert checkpoint.config["MODEL"]["SWIN"]["DEPTHS"] == [2, 2, 2, 2]
    assert checkpoint.config["DATA"] == {"IMG_SIZE": 96}
    assert checkpoint.state["encoder.mask_token"].shape == (1, 1, 12)


def test_the_old_file_format_is_read_alike(tmp_path):
    torch.save({"model": STATE, "epoch": 3}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(tmp_path / "old.pth").state["encoder.norm.weight"], torch.arange(3.0))
    torch.save({"x": Payload(os.getenv, "HOME")}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"asks for 'os\.getenv'"):
        read_checkpoint(tmp_path / "old.pth")


def test_a_bare_state_is_a_checkpoint(tmp_path):
    torch.save(STATE, tmp_path / "bare.pth")
    save_file(STATE, tmp_path / "bare.safetensors")
    for file in ("bare.pth", "bare.safetensors"):
        checkpoint = read_checkpoint(tmp_path / file)
        assert list(checkpoint.state) == list(STATE) and not checkpoint.left_aside and not checkpoint.config
    assert not is_encoder_file(tmp_path / "bare.safetensors")


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_cut_file_is_one_line(tmp_path, capsys, share, ending):
    whole, cut = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    if ending == ".pth":
        pretrained(whole, "mim_vit_a_norm")
    else:
        save_file(STATE, whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(share * len(content))])
    assert main(["convert", "--from", str(cut), "--to", str(tmp_path / "out.safetensors")]) == 2
    error = capsys.readouterr().err
    assert re.match(f"simmim: error: {cut} is (no|not a) whole", error) and error.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        ({"optimizer": {}, "epoch": 3}, "no state under 'model', only: optimizer, epoch"),
        ({}, "no state under 'model', only: nothing"),
        ({"model": {"norm.weight": [1.0]}}, "entry 'norm.weight' of the state is a list, not a tensor"),
        ({"model": {3: torch.zeros(1)}}, "entry 3 of the state"),
        ({"model": {"x": torch.zeros(2, 2).to_sparse()}}, "entry 'x' of the state is not a plain dense tensor"),
        ({"model": {"x": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)}}, "'x' of the state is not a"),
        ({"model": {"x": torch.zeros(2, device="meta")}}, "entry 'x' of the state is not a plain dense tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants:UserWarning")
def test_content_that_is_no_state(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "a.pth")


def test_a_list_is_no_checkpoint(tmp_path):
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(ValueError, match="holds a list, not a checkpoint"):
        read_checkpoint(tmp_path / "a.pth")


def test_a_missing_file_is_said_to_be_missing(tmp_path, capsys):
    for name in ("none.pth", "none.safetensors"):
        assert main(["convert", "--from", str(tmp_path / name), "--to", str(tmp_path / "out.safetensors")]) == 2
        error = capsys.readouterr().err
        assert name in error and "o such file" in error and error.count("\n") == 1
