"""A tokenizer from sheet to file, and a pre-training that predicts its codes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pretraining import ALONE, built, packed, pretrain_config, tokenizer_config
from safetensors import safe_open
from safetensors.torch import load_file

from simmim import plugin
from simmim.config.reading import read_yaml
from simmim.config.sheets import Sheets
from simmim.data.shards import Shards
from simmim.pretraining.run import Init, pretrain
from simmim.pretraining.tokenizer import build_tokenizer, identity_of, is_made, load_tokenizer, make_tokenizer, measured
from simmim.storage import model_file, records
from simmim.storage.encoder_file import load_encoder
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes

CONFIG = Path(__file__).parents[2] / "config"
CLUSTERS = {"name": "colour_clusters", "clusters": 6, "images": 16, "image_px": 16}
DVAE = {"name": "dvae", "vocabulary": 8, "width": 4, "blocks": 1, "image_px": 32}
TRAIN = {"epochs": 1, "batch": 8, "base_lr": 1e-3, "precision": "fp32", "log_every_steps": 1, "save_every_steps": 1}


def _tokenizer(kind, **sections):
    return tokenizer_config(kind, **({"train": TRAIN} if kind["name"] == "dvae" else {}) | sections)


def _run(kind=CLUSTERS, resolution=16, **train):
    """Config of a pre-training that predicts codes; its images have 32 x 48 pixels."""
    target = {"name": "tokens", "tokenizer": kind["name"], "resolution_px": resolution}
    loss = {"name": "cross_entropy", "area": "masked"}
    return pretrain_config(target=target, loss=loss, tokenizer=_tokenizer(kind), train=train)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("stripes"))


@pytest.fixture(scope="module")
def files(data, tmp_path_factory):
    """Tokenizer files by kind."""
    folder = tmp_path_factory.mktemp("tokenizers")
    for kind in (CLUSTERS, DVAE):
        make_tokenizer(_tokenizer(kind), data["train"], folder / f"{kind['name']}.safetensors", ALONE)
    return {kind["name"]: folder / f"{kind['name']}.safetensors" for kind in (CLUSTERS, DVAE)}


@pytest.mark.parametrize("kind", [CLUSTERS, DVAE], ids=lambda kind: kind["name"])
def test_a_file_gives_the_tokenizer_back(files, kind):
    made_with = _tokenizer(kind)
    images = torch.rand(2, 3, 16, 24)
    first, second = (load_tokenizer(files[kind["name"]], made_with) for _ in range(2))
    assert torch.equal(first.encode(images), second.encode(images))
    assert any(value.abs().sum() > 0 for value in first.state_dict().values())
    with safe_open(files[kind["name"]], "pt") as file:
        assert '"perplexity"' in file.metadata()["simmim"]
    (kept,) = files[kind["name"]].parent.glob(f"{kind['name']}_state/*.safetensors")
    assert kept.samefile(files[kind["name"]])


def test_codes_are_counted_on_images_of_the_size_that_they_were_learnt_from(data, tmp_path):
    """Where the setting is left out, the kind's own: averages over larger cells have fewer colours."""
    kind = {name: value for name, value in CLUSTERS.items() if name != "image_px"}
    make_tokenizer(_tokenizer(kind), data["train"], tmp_path / "a.safetensors", ALONE)
    header, _ = model_file.read(tmp_path / "a.safetensors", "tokenizer")
    tokenizer = load_tokenizer(tmp_path / "a.safetensors", _tokenizer(kind))
    assert header["measured"] == measured(tokenizer, Shards(data["train"]), 48)
    assert header["measured"] != measured(tokenizer, Shards(data["train"]), 96)


def test_a_file_of_another_config_or_kind_or_with_changed_bytes_is_refused(files, data, tmp_path):
    path, made_with = files["colour_clusters"], _tokenizer(CLUSTERS)
    with pytest.raises(ValueError, match=r"made otherwise(.|\n)*seed: 0 before, 1 now"):
        load_tokenizer(path, _tokenizer(CLUSTERS, seed=1))
    pretrain(pretrain_config(train={"epochs": 0}), 0, data, tmp_path, ALONE)
    with pytest.raises(ValueError, match="is no tokenizer"):
        load_tokenizer(tmp_path / "encoder.safetensors", made_with)
    with pytest.raises(ValueError, match="is no encoder"):
        load_encoder(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        load_tokenizer(tmp_path / "flipped.safetensors", made_with)


def test_a_tokenizer_of_other_images_or_of_another_published_file_is_refused(files, data, tmp_path, capsys):
    path, fitted = files["colour_clusters"], _tokenizer(CLUSTERS)
    assert is_made(path, fitted, identity_of(fitted, data["train"])) and not is_made(tmp_path / "a", fitted, None)
    assert capsys.readouterr().out == f"{path} is finished, nothing to do\n"
    with pytest.raises(ValueError, match=r"made otherwise; remove(.|\n)*data_digests.train: .* before, .* now"):
        is_made(path, fitted, identity_of(fitted, data["val"]))
    published, source, out = _tokenizer(CLUSTERS | {"file": "$data/c.npy"}), tmp_path / "c.npy", tmp_path / "b"
    np.save(source, np.linspace(-1, 1, 18).reshape(6, 3))
    make_tokenizer(published, source, out, ALONE)
    assert is_made(out, published, identity_of(published, source))
    np.save(source, np.linspace(-1, 0, 18).reshape(6, 3))
    with pytest.raises(ValueError, match=r"made otherwise; remove(.|\n)*made_from.published: .* before, .* now"):
        is_made(out, published, identity_of(published, source))


TRAIN_LONGER, OF_ONE_COLOUR = "train it for longer or see docs/dvae.md", "see whether the images are nearly all of one"


@pytest.mark.parametrize(
    ("kind", "codes", "advice"),
    [
        (DVAE, 1, TRAIN_LONGER),
        (DVAE, 8, ""),
        (DVAE | {"vocabulary": 2}, 1, TRAIN_LONGER),
        (DVAE | {"vocabulary": 2}, 2, ""),
        (DVAE | {"vocabulary": 4}, 4, ""),
        (CLUSTERS, 1, OF_ONE_COLOUR),
        (CLUSTERS | {"clusters": 3}, 3, ""),
    ],
)
def test_a_collapse_is_told(data, tmp_path, monkeypatch, capsys, kind, codes, advice):
    def encode(self, images):
        """So many codes, used alike."""
        count = len(images) * images.shape[2] * images.shape[3] // self.factor**2
        return (torch.arange(count) % codes).reshape(len(images), images.shape[2] // self.factor, -1)

    monkeypatch.setattr(plugin.component("tokenizers", kind["name"]), "encode", encode)
    make_tokenizer(_tokenizer(kind), data["train"], tmp_path / "made.safetensors", ALONE)
    captured = capsys.readouterr()
    assert f"'codes_used': {codes}, 'perplexity': {codes}.0" in captured.out
    of = kind.get("vocabulary") or kind["clusters"]
    told = f"warning: tokenizer '{kind['name']}' has collapsed: its {of} codes have a perplexity of 1 and say next to "
    assert (told in captured.err) == bool(advice) == ("collapsed" in captured.err)
    assert advice in captured.err


@pytest.mark.parametrize(
    ("kind", "called"),
    [(DVAE, ["fit"]), (CLUSTERS, []), (CLUSTERS | {"file": "$data/centres.npy"}, [])],
    ids=["trained", "fitted", "published"],
)
def test_processes_beside_the_main_one_train_and_do_nothing_else(data, tmp_path, monkeypatch, capsys, kind, called):
    """Each of eight ran k-means, measured, printed and warned."""
    calls = []
    for function in ("fit", "load_published"):
        note = lambda *arguments, function=function: calls.append(function)  # noqa: E731
        monkeypatch.setattr(plugin.component("tokenizers", kind["name"]), function, note)
    source = tmp_path / "centres.npy" if "file" in kind else data["train"]
    np.save(tmp_path / "centres.npy", np.linspace(-1, 1, 18).reshape(6, 3))
    beside = Processes(1, 2, torch.device("cpu"))
    make_tokenizer(_tokenizer(kind), source, tmp_path / "out.safetensors", beside)
    assert calls == called and capsys.readouterr() == ("", "")
    assert not (tmp_path / "out.safetensors").exists()


def test_published_centres_become_a_file_and_fit_what_they_say(tmp_path):
    np.save(tmp_path / "centres.npy", np.linspace(-1, 1, 18).reshape(6, 3))
    made_with = _tokenizer(CLUSTERS | {"file": "$data/centres.npy"})
    make_tokenizer(made_with, tmp_path / "centres.npy", tmp_path / "out.safetensors", ALONE)
    (tmp_path / "centres.npy").unlink()
    centres = load_tokenizer(tmp_path / "out.safetensors", made_with).centres
    torch.testing.assert_close(centres.flatten(), torch.linspace(0, 1, 18))


def test_a_trained_kind_needs_a_training():
    with pytest.raises(ValueError, match=r"tokenizer 'dvae' is trained: give it train\.epochs"):
        build_tokenizer(tokenizer_config(DVAE))


@pytest.mark.parametrize("kind, resolution", [(CLUSTERS, 16), (DVAE, 4)], ids=["clusters", "dvae"])
def test_codes_are_predicted_and_the_tokenizer_stays_as_it_is(files, data, tmp_path, kind, resolution):
    before = load_file(files[kind["name"]])
    run = _run(kind, resolution, epochs=20)
    pretrain(run, 0, data, tmp_path, ALONE, Init(tokenizer=files[kind["name"]]))
    values = records.read([tmp_path / "train.parquet"]).set_index("metric")["value"]
    assert values["loss"].iloc[-1] < values["loss"].iloc[0]
    assert 0 < values["validation_loss"] < np.log(kind.get("clusters", kind.get("vocabulary")))
    assert "validation_loss_mean_colour" not in values
    after = load_file(files[kind["name"]])
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not {name for name in load_file(tmp_path / "encoder.safetensors") if "tokenizer" in name or "target" in name}


def test_the_tokenizer_is_neither_trained_nor_decayed_nor_saved_in_checkpoints(files):
    tokenizer = load_tokenizer(files["dvae"], _tokenizer(DVAE))
    task = built(_run(DVAE, 4), tokenizer)
    held = {id(parameter) for parameter in tokenizer.parameters()}
    assert not held & {id(parameter) for parameter in task.parameters()}
    groups = parameter_groups(task, "encoder.", 0.05, 1.0, set())
    assert not held & {id(parameter) for group in groups for parameter in group["params"]}
    assert not [name for name in task.state_dict() if "tokenizer" in name or "target" in name]


def test_an_interrupted_run_goes_on_with_the_same_tokenizer_only(files, data, tmp_path, monkeypatch):
    run, path = _run(), files["colour_clusters"]

    def stop(*arguments):
        raise KeyboardInterrupt

    pretrain(run, 0, data, tmp_path / "whole", ALONE, Init(tokenizer=path))
    with monkeypatch.context() as patch:
        patch.setattr("simmim.methods.simmim.validation_losses", stop)
        for name in ("cut", "other"):
            with pytest.raises(KeyboardInterrupt):
                pretrain(run, 0, data, tmp_path / name, ALONE, Init(tokenizer=path))
    pretrain(run, 0, data, tmp_path / "cut", ALONE, Init(tokenizer=path))
    whole, cut = (load_file(tmp_path / name / "encoder.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    monkeypatch.setattr("simmim.pretraining.tokenizer.code_version", lambda: "another")  # as good as another tokenizer
    make_tokenizer(run.tokenizer, data["train"], tmp_path / "again.safetensors", ALONE)
    with pytest.raises(ValueError, match=r"made_from\.tokenizer"):
        pretrain(run, 0, data, tmp_path / "other", ALONE, Init(tokenizer=tmp_path / "again.safetensors"))


@pytest.fixture
def folder(tmp_path):
    """A copy of the sheets with one more row."""
    copied = Path(shutil.copytree(CONFIG, tmp_path / "config"))
    target = "target=tokens target.tokenizer=colours_512 target.resolution_px=32 loss.name=cross_entropy"
    with open(copied / "pretrain.tsv", "a") as sheet:
        sheet.write(f"codes\tswin_b_100ep\t{target}\n")
    yield copied
    read_yaml.cache_clear()


def _replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("scale", Sheets(CONFIG).scales())
def test_every_tokenizer_resolves_at_every_scale(scale):
    sheets = Sheets(CONFIG)
    hashes = {sheets.tokenizer(scale, name).hash for (name,) in sheets.tokenizers}
    assert len(hashes) == len(sheets.tokenizers) >= 4


def test_a_tokenizer_is_part_of_the_config_of_the_runs_that_name_it_only(folder):
    before = {run: Sheets(folder).pretraining("smoke", run) for run in ("default", "codes")}
    assert before["default"].tokenizer is None
    assert before["codes"].tokenizer == Sheets(folder).tokenizer("smoke", "colours_512")
    assert before["codes"].tokenizer.kind.settings["clusters"] == 8  # the scale's, not the sheet's 512
    _replace(folder / "scales" / "smoke.yaml", "clusters: 8", "clusters: 9")
    read_yaml.cache_clear()
    after = {run: Sheets(folder).pretraining("smoke", run) for run in ("default", "codes")}
    assert after["default"] == before["default"]
    assert after["codes"].hash != before["codes"].hash


def test_rows_with_a_tokenizer_are_built_without_its_file(folder):
    from simmim.planning.check import check_scale

    sheets = Sheets(folder)
    sheets.runs = lambda scale: ["codes"]
    check_scale(sheets, "smoke")
    _replace(folder / "scales" / "smoke.yaml", "clusters: 8", "clustres: 8")
    read_yaml.cache_clear()
    spoilt = Sheets(folder)
    spoilt.runs = lambda scale: ["codes"]
    with pytest.raises(
        ValueError,
        match=r"smoke.yaml: unknown setting of tokenizers.colours_512.kind 'clustres'; did you mean 'clusters'",
    ):
        check_scale(spoilt, "smoke")


@pytest.mark.parametrize(
    ("sheet", "old", "new", "message"),
    [
        (
            "pretrain",
            "colours_512",
            "colors_512",
            "unknown tokenizer 'colors_512'; did you mean 'colours_512'",
        ),
        (
            "tokenizers",
            "\tcolour_clusters\tclusters=512\n",
            "\tcolor_cluster\t\n",
            "'color_cluster'; did you mean",
        ),
        ("tokenizers", "\tclusters=512\n", "\tclusters=512 trains.epochs=3\n", "'trains'; did you mean 'train'"),
    ],
)
def test_a_wrong_name_is_met_with_the_nearest(folder, sheet, old, new, message):
    _replace(folder / f"{sheet}.tsv", old, new)
    with pytest.raises(ValueError, match=message):
        Sheets(folder).pretraining("smoke", "codes")
