"""Model files: equal models give equal bytes, older files are read, and no changed file is accepted."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from simmim.storage import model_file

HEADER = {"encoder": {"name": "é", "ratio": 1e-05}, "image_px": [4, 4], "tags": {}}


class Model(nn.Module):
    """A parameter of every shape that matters: a scalar, an empty one, float64, a view; and an integer buffer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).view(2, 3).T)
        self.scale = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))
        self.none = nn.Parameter(torch.zeros(0, 2))
        self.register_buffer("index", torch.tensor([1, 2]))


def write_old(path, model, header):
    """A file as it was written before: one metadata entry for the header, one for the digest."""
    text = json.dumps(header, sort_keys=True)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() + value.numpy().tobytes())
    save_file(state, path, {"simmim": text, "sha256": digest.hexdigest()})
    return digest.hexdigest()


def same(state, model):
    expected = model.state_dict()
    return state.keys() == expected.keys() and all(
        torch.equal(value, expected[name]) and value.dtype == expected[name].dtype for name, value in state.items()
    )


def test_what_is_written_is_read(tmp_path):
    model_file.write(tmp_path / "a.safetensors", Model(), HEADER)
    header, state = model_file.read(tmp_path / "a.safetensors", "encoder")
    assert header == HEADER and same(state, Model())


def test_equal_models_have_equal_bytes(tmp_path):
    backwards = dict(reversed(HEADER.items()))
    for number in range(8):
        model_file.write(tmp_path / f"{number}", Model(), backwards if number % 2 else HEADER)
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1


def test_the_metadata_are_one_entry_of_sorted_json(tmp_path):
    model_file.write(tmp_path / "a.safetensors", Model(), HEADER)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        (entry,) = file.metadata().items()
    stated = {"header": HEADER, "sha256": model_file.digest(tmp_path / "a.safetensors")}
    assert entry == ("simmim", json.dumps(stated, sort_keys=True))


def test_older_files_are_read_and_keep_their_digest(tmp_path):
    old = write_old(tmp_path / "old.safetensors", Model(), HEADER)
    model_file.write(tmp_path / "new.safetensors", Model(), HEADER)
    header, state = model_file.read(tmp_path / "old.safetensors", "encoder")
    assert header == HEADER and same(state, Model())
    assert model_file.digest(tmp_path / "old.safetensors") == old == model_file.digest(tmp_path / "new.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda header, state: header["encoder"].update(ratio=2e-5),
        lambda header, state: header.update(more=1),
        lambda header, state: state["weight"].add_(1e-6),
        lambda header, state: state.update(gamma=state.pop("weight")),
        lambda header, state: state.update(weight=state["weight"].view(2, 3)),
        lambda header, state: state.update(index=state["index"].view(torch.float64)),
        lambda header, state: state.update(more=torch.zeros(1)),
        lambda header, state: state.pop("none"),
    ],
)
def test_any_change_changes_the_digest(tmp_path, change):
    model_file.write(tmp_path / "a.safetensors", Model(), HEADER)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        stated = json.loads(file.metadata()["simmim"])
    state = load_file(tmp_path / "a.safetensors")
    change(stated["header"], state)
    save_file(state, tmp_path / "b.safetensors", {"simmim": json.dumps(stated)})
    with pytest.raises(ValueError, match=r"b\.safetensors is damaged: its content does not match the SHA-256"):
        model_file.read(tmp_path / "b.safetensors", "encoder")


@pytest.mark.parametrize("old", [False, True])
def test_no_flipped_bit_is_accepted(tmp_path, old):
    (write_old if old else model_file.write)(tmp_path / "a.safetensors", Model(), HEADER)
    content = (tmp_path / "a.safetensors").read_bytes()
    changed = tmp_path / "b.safetensors"
    for place in range(len(content)):
        for bit in (place % 8, 5):  # and the letters' case
            changed.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            try:
                header, state = model_file.read(changed, "encoder")
            except ValueError as error:
                assert str(error).startswith(f"{changed} is ") and "\n" not in str(error)
            else:  # the exponent of 1e-05, or a digit of \u00e9, in capitals
                assert content[place : place + 1].isalpha() and header == HEADER and same(state, Model())


@pytest.mark.parametrize("entry", ["{", "[]", "3", '"text"', "{}", '{"header": {}}', '{"sha256": ""}'])
def test_an_entry_that_cannot_be_read_is_damage(tmp_path, entry):
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors", {"simmim": entry})
    for reading in (lambda path: model_file.read(path, "encoder"), model_file.digest):
        with pytest.raises(ValueError, match=r"a\.safetensors is damaged: its 'simmim' entry cannot be read"):
            reading(tmp_path / "a.safetensors")


def test_files_of_others_and_other_kinds_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors", {"format": "pt"})
    for name in "ab":
        with pytest.raises(ValueError, match=f"{name}.safetensors is no tokenizer written by simmim"):
            model_file.read(tmp_path / f"{name}.safetensors", "tokenizer")
        with pytest.raises(ValueError, match=f"{name}.safetensors is no model written by simmim"):
            model_file.digest(tmp_path / f"{name}.safetensors")
    model_file.write(tmp_path / "c.safetensors", Model(), HEADER)
    with pytest.raises(ValueError, match="is no tokenizer: its header has only encoder, image_px, tags"):
        model_file.read(tmp_path / "c.safetensors", "tokenizer")
    (tmp_path / "d.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=r"d\.safetensors is not a safetensors file, or is damaged"):
        model_file.digest(tmp_path / "d.safetensors")
    with pytest.raises(ValueError, match=r"none\.safetensors cannot be read: No such file"):
        model_file.read(tmp_path / "none.safetensors", "encoder")


def test_a_state_must_fit_exactly():
    model, sound = nn.Linear(2, 2), {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    for state, said in (
        ({"weight": torch.zeros(2, 2)}, "it is of another architecture, lacks bias"),
        (sound | dict.fromkeys("abcde", torch.zeros(1)), "it is of another architecture, has a, b, c and 2 more"),
        ({"weights": torch.zeros(2, 2), "bias": torch.zeros(2)}, "architecture, lacks weight and has weights"),
        (sound | {"weight": torch.zeros(2, 3)}, r"its weight is \[2, 3\], not \[2, 2\]"),
    ):
        with pytest.raises(ValueError, match=rf"^a\.safetensors does not fit the encoder it is to fill: .*{said}$"):
            model_file.load("a.safetensors", "encoder", model, state)
    model_file.load("a.safetensors", "encoder", model, sound)
    assert model.weight.eq(1).all()
