"""Exports give the encoder's features in their own library, or nothing is left."""

import errno
import functools
import os
import re

import pytest
import timm
import torch
from encoders.timm_names import TWELVE
from exporting.encoder_files import RESNET, SWIN, SWIN_V2, VIT, written
from helpers.pretraining import ALONE, packed, pretrain_config

from simmim.__main__ import main
from simmim.exporting import api, graph, timm_model, trial
from simmim.exporting.api import export
from simmim.exporting.card import card
from simmim.plugin import NotInstalled
from simmim.pretraining.run import pretrain
from simmim.storage.encoder_file import load_encoder

SLOW = pytest.mark.slow


def _needs(to):
    for package in api._FORMS[to][2]:
        pytest.importorskip(package, reason="needs the extra `export`: pip install 'simmim[export]'")


def _timm(model):
    return {"name": "timm", "model": model}


@pytest.mark.parametrize(
    "encoder, image_px, channels, to",
    [
        (SWIN, (64, 64), 3, "timm"),
        (SWIN_V2, (64, 64), 4, "timm"),
        (VIT, (64, 96), 1, "timm"),
        (_timm("test_vit"), (64, 96), 13, "timm"),
        (_timm("test_convnext"), (96, 160), 1, "timm"),
        (_timm("test_resnet"), (64, 64), 3, "timm"),
        (SWIN | {"mlp_ratio": 2.7}, (64, 64), 3, "timm"),  # 32, 64 and 129 hidden channels: of the first stage 2.67
        (SWIN_V2 | {"mlp_ratio": 2.7}, (64, 64), 3, "timm"),
        (VIT | {"embed_dim": 56, "mlp_ratio": 1.1}, (64, 64), 3, "timm"),  # 61 hidden channels, and 56 * (61 / 56) < 61
        (SWIN | {"mlp_ratio": 2.7}, (64, 64), 3, "transformers"),
        (VIT | {"embed_dim": 56, "mlp_ratio": 1.1}, (64, 64), 3, "transformers"),
        (SWIN, (64, 64), 3, "transformers"),
        pytest.param(SWIN_V2, (64, 64), 4, "transformers", marks=SLOW),
        (VIT, (64, 64), 1, "transformers"),
        pytest.param(_timm("deit_tiny_patch16_224"), (64, 96), 13, "transformers", marks=SLOW),
        pytest.param(_timm("beit_base_patch16_224"), (64, 64), 3, "transformers", marks=SLOW),
        *(
            pytest.param(encoder, (64, 64), 3, to, marks=SLOW)
            for encoder in (SWIN, SWIN_V2, VIT, RESNET, _timm("test_vit"), _timm("test_convnext"), _timm("test_resnet"))
            for to in ("onnx", "torch-export")
        ),
    ],
)
def test_its_own_library_gives_the_encoders_features(tmp_path, encoder, image_px, channels, to):
    _needs(to)
    path = written(tmp_path, encoder, image_px, channels)
    done = export(path, to, tmp_path / "out")
    assert done.difference <= (1e-4 if to == "onnx" else 1e-5)
    text = (tmp_path / "out" / "README.md").read_text()
    lines = re.search(r"```python\n(.*?)\n```", text, re.DOTALL)[1]
    assert lines == done.load and lines.count("\n") == 2
    found = {"images": torch.randn(3, channels, *image_px)}  # another number of images
    exec(lines, found)
    network = load_encoder(path)[0].eval()
    of_library = to in ("timm", "transformers") and hasattr(network, "before_pooling")
    expected = (network.before_pooling if of_library else network)(found["images"])
    features = trial.as_map(torch.as_tensor(found["features"]), expected)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", TWELVE)
@SLOW
def test_twelve_models_that_people_use_go_to_timm(tmp_path, model):
    sides = {"eva02_tiny_patch14_224": (56, 84), "swin_s3_tiny_224": (224, 224)}
    path = written(tmp_path, _timm(model), sides.get(model, (64, 64)), 4)
    assert export(path, "timm", tmp_path / "out").difference <= 1e-5


@pytest.mark.parametrize("to", ["transformers", "onnx", "torch-export"])
@pytest.mark.parametrize("model", ["swin_tiny_patch4_window7_224", "hiera_tiny_224", "resnet50"])
@SLOW
def test_models_that_people_use_go_wherever_they_have_a_counterpart(tmp_path, model, to):
    _needs(to)
    path = written(tmp_path, _timm(model), (224, 224) if "swin" in model else (64, 64))
    if to == "transformers" and "swin" not in model:
        with pytest.raises(ValueError, match=r"transformers has no counterpart of .*: Swin, SwinV2, ViT"):
            export(path, to, tmp_path / "out")
        return
    assert export(path, to, tmp_path / "out").difference <= (1e-4 if to == "onnx" else 1e-5)


def _left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "encoder.safetensors")


@pytest.mark.parametrize(
    "encoder, image_px, to, message",
    [
        (RESNET, (64, 64), "timm", "timm has no counterpart of encoder=resnet: those of swin, swin_v2, vit, timm have"),
        (SWIN_V2 | {"main_norm_every": 2}, (64, 64), "timm", "no norms on the main branch"),
        (VIT | {"shared_bias": False, "final_norm": False}, (64, 64), "timm", "is the classifier's; --to onnx or"),
        (SWIN, (32, 64), "timm", "on its map of 4 x 8 cells timm shifts windows along the longer side"),
        (VIT, (64, 96), "transformers", "BEiT is right for square inputs only, this encoder is for 64 x 96 px"),
        (SWIN | {"window": 8}, (64, 64), "transformers", "one window for all stages, this encoder has 8x8, 8x8, 4x4"),
        (_timm("test_resnet"), (64, 64), "transformers", "no counterpart of test_resnet here: Swin, SwinV2, ViT, DeiT"),
        (VIT, (64, 64), "onxx", "unknown form of an export 'onxx'; did you mean 'onnx'?"),
    ],
)
def test_what_has_no_counterpart_is_refused_and_nothing_is_left(tmp_path, encoder, image_px, to, message):
    if to in api._FORMS:
        _needs(to)
    path = written(tmp_path, encoder, image_px)
    with pytest.raises(ValueError, match=message):
        export(path, to, tmp_path / "out")
    assert _left(tmp_path) == []


def test_other_features_are_refused_and_nothing_is_left(tmp_path, monkeypatch):
    path = written(tmp_path, SWIN)
    right = trial.contents

    def wrong(encoder):
        return {name: value + 1e-3 if name == "norm.bias" else value for name, value in right(encoder).items()}

    monkeypatch.setattr(timm_model, "contents", wrong)
    with pytest.raises(ValueError, match=r"differ from the encoder's by 1.0e-03 at 64 x 64 px, allowed is 1e-05"):
        export(path, "timm", tmp_path / "out")
    assert _left(tmp_path) == []


def test_windows_that_do_not_fit_are_compared_where_they_do(tmp_path):
    path = written(tmp_path, SWIN | {"window": 3}, (64, 96))
    export(path, "timm", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "at 96 x 96 px their features" in text and "timm issue 2438" in text


def test_what_stands_there_stays_unless_it_may_be_replaced(tmp_path):
    path = written(tmp_path, VIT)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="out exists; --overwrite replaces it"):
        export(path, "timm", tmp_path / "out")
    for _ in range(2):
        export(path, "timm", tmp_path / "out", overwrite=True)
    with pytest.raises(ValueError, match=r"model.onnx would be a folder"):
        export(path, "timm", tmp_path / "model.onnx")


def test_only_exports_are_replaced(tmp_path):
    run = tmp_path / "run"
    (run / "results").mkdir(parents=True)
    path = written(run, VIT)
    with pytest.raises(ValueError, match=r"run holds encoder.safetensors, results, which no export has left; name"):
        export(run, "timm", run, overwrite=True)
    with pytest.raises(ValueError, match=r"encoder.safetensors would be a folder"):
        export(run, "timm", path, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file is a file, and an export is a folder; name another one"):
        export(run, "timm", tmp_path / "file", overwrite=True)
    assert path.is_file() and (run / "results").is_dir() and (tmp_path / "file").is_file()


@pytest.mark.parametrize(
    "theirs", [("README.md",), ("README.md", "model.ckpt"), ("model.safetensors", "model/notes.txt"), ("model-v2",)]
)
def test_files_called_much_like_an_export_are_not_replaced(tmp_path, theirs):
    for name in theirs:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("my own")
    with pytest.raises(ValueError, match="which no export has left"):
        export(written(tmp_path, VIT), "timm", tmp_path / "mine", overwrite=True)
    assert all((tmp_path / "mine" / name).read_text() == "my own" for name in theirs)


@pytest.mark.parametrize("name", ['it"s', "a\\b"])
def test_a_folder_that_lines_of_python_cannot_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="the lines that load an export name its folder, which cannot hold"):
        export(written(tmp_path, VIT), "timm", tmp_path / name)


def test_an_export_that_is_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    path = written(tmp_path, VIT)
    export(path, "timm", tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    for _ in range(3):
        export(path, "timm", tmp_path / "link", overwrite=True)
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "real/model.safetensors").is_file()
    assert not list(tmp_path.glob(".*part"))


@pytest.mark.parametrize("encoder", [SWIN, SWIN_V2, VIT, _timm("test_vit"), _timm("test_resnet")])
def test_timm_fine_tunes_an_export_with_other_classes_and_channels(tmp_path, encoder):
    path = written(tmp_path, encoder)
    export(path, "timm", tmp_path / "out")
    create = functools.partial(timm.create_model, f"local-dir:{tmp_path / 'out'}", pretrained=True)
    network, _ = load_encoder(path)
    ours = trial.contents(network)
    assert create(num_classes=10)(torch.zeros(1, 3, *network.image_px)).shape == (1, 10)
    grey = create(num_classes=10, in_chans=1).state_dict()
    first = [name for name, value in ours.items() if grey[name].shape != value.shape]
    assert len(first) == 1
    assert all(torch.equal(grey[name], value) for name, value in ours.items() if name not in first)


def test_an_export_of_other_channels_keeps_its_first_layer(tmp_path):
    path = written(tmp_path, VIT, channels=4)
    export(path, "timm", tmp_path / "out")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, num_classes=10).state_dict()
    assert all(torch.equal(theirs[name], value) for name, value in trial.contents(load_encoder(path)[0]).items())


def test_a_full_disk_is_no_fault_of_the_encoder(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("torch.onnx.export", full)
    monkeypatch.setattr(graph, "_program", lambda *_: None)
    with pytest.raises(OSError, match=r"No space left on device: .*model\.onnx"):
        graph.write_onnx(tmp_path, None, {"image_px": (64, 64)})


def test_a_library_that_is_absent_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(api.importlib.util, "find_spec", lambda name: None)
    for to, names in (("onnx", "onnx, onnxscript, onnxruntime"), ("transformers", "transformers")):
        with pytest.raises(NotInstalled, match=rf"--to {to} needs {names}: pip install 'simmim\[export\]'"):
            export(written(tmp_path, VIT), to, tmp_path / "out")


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o027, 0o640)])
def test_every_weight_file_has_the_mode_that_the_umask_gives(tmp_path, umask, mode):
    _needs("transformers")
    before = os.umask(umask)
    try:
        files = [written(tmp_path, SWIN)]
        for to in ("timm", "transformers"):
            files += export(files[0], to, tmp_path / to).folder.iterdir()
        assert main(["convert", "--from", str(files[0]), "--to", str(tmp_path / "swin.pth")]) == 0
        files.append(tmp_path / "swin.pth")
    finally:
        os.umask(before)
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {file.name: oct(mode) for file in files}


MIM = "tags: [simmim, masked-image-modeling]"
RUN = {"run": "mine", "seed": 0, "step": 9, "scale": "own", "config_hash": "", "code_version": ""}
THEIRS = {"file": "a.pth", "sha256": "0", "released_as": "a"}
FRESH = {"method": "", "begun_with_encoder": False}


@pytest.mark.parametrize(
    "origin, tags, said",
    [
        (RUN | {"method": "simmim"}, MIM, "pre-trained without labels by SimMIM, masked image modelling (arXiv 2111.0"),
        (RUN | {"method": "dino"}, "tags: [dino]", "pre-trained without labels by DINO (arXiv 2104.14294)."),
        (RUN | {"method": "moco_v3"}, "tags: [moco_v3]", "pre-trained without labels by MoCo v3 (arXiv 2104.02057)."),
        (RUN | {"method": "mine"}, "tags: [mine]", "pre-trained without labels by method `mine`."),
        (RUN, "tags: [simmim]", "pre-trained without labels; its file, of an older version, does not say by which met"),
        (
            RUN | {"evaluation": "finetune", "method": "dino"},
            "tags: [dino]",
            "pre-trained without labels by DINO (arXiv 2104.14294), then trained with labels (`finetune` of run `mi",
        ),
        (
            RUN | {"evaluation": "finetune"} | FRESH,
            "tags: [supervised]",
            "trained with labels (`finetune`) from fresh w",
        ),
        (
            RUN | {"evaluation": "finetune", "method": "", "begun_with_encoder": True},
            "tags: [supervised]",
            "trained with labels (`finetune`) from the encoder file that run `mine` began with.",
        ),
        (RUN | {"evaluation": "finetune"}, "tags: [simmim]", "(`finetune`) from where run `mine` had left it."),
        (
            RUN | {"step": 0} | FRESH | {"begun_with_encoder": True},
            "tags: [simmim]",
            "as run `mine` began with it, which",
        ),
        (RUN | {"step": 0} | FRESH, "tags: [untrained]", "as run `mine` began with it, which has trained nothing."),
        ({"origin": THEIRS | {"fine_tuned": False}}, MIM, "pre-trained without labels by SimMIM, masked image mode"),
        ({"origin": THEIRS | {"fine_tuned": True}}, "tags: [simmim]", "trained with labels by others, as `a`."),
        ({"origin": THEIRS}, "tags: [simmim]", "as others published it, as `a`."),
        (
            {},
            "tags: [simmim]",
            "pre-trained without labels; its file, of an older version, does not say by which method",
        ),
    ],
)
def test_the_card_says_how_its_weights_came_about(tmp_path, origin, tags, said):
    header = {"encoder": SWIN, "image_px": (64, 64), "in_channels": 1, "mean": [0.5], "std": [0.5]} | origin
    draft = trial.Draft("", 1e-5, (64, 64))
    text = card(tmp_path / "encoder.safetensors", header, torch.nn.Identity(), "onnx", "", 0.0, draft)
    assert text.split("\n")[2] == tags
    assert said in text.split("\n")[6]


def test_the_card_of_a_run_tells_data_recipe_scale_and_numbers(tmp_path, capsys):
    run = tmp_path / "results" / "test" / "pretrain" / "simmim" / "seed0"
    sizes = {"image_px": (32, 32), "masked_patch_px": 16}
    config = pretrain_config(encoder={"name": "timm", "model": "test_convnext2"}, geometry=sizes)
    data = packed(tmp_path / "data")
    pretrain(config, 0, data, run, ALONE)
    out = str(tmp_path / "taken")
    assert main(["export", "--encoder", str(run / "encoder.safetensors"), "--to", "timm", "--out", out]) == 0
    text = (tmp_path / "taken" / "README.md").read_text()
    for said in (
        "made_up",
        "run simmim, seed 0",
        "**Scale**: test",
        "| validation_loss |",
        "Licence",
        "test_convnext2",
    ):
        assert said in text, said
    assert "To load it" in capsys.readouterr().out
    (tmp_path / "encoder.safetensors").hardlink_to(run / "encoder.safetensors")  # as at the top of a run folder
    export(tmp_path, "timm", tmp_path / "taken", overwrite=True)
    assert (tmp_path / "taken" / "README.md").read_text() == text


@pytest.mark.parametrize("epochs, method", [(0.5, "simmim"), (0, "")])
def test_a_run_says_what_has_trained_its_encoder(tmp_path, epochs, method):
    pretrain(pretrain_config(train={"epochs": epochs}), 0, packed(tmp_path / "data"), tmp_path, ALONE)
    _, header = load_encoder(tmp_path / "encoder.safetensors")
    assert (header["method"], header["begun_with_encoder"]) == (method, False)
