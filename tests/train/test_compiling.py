"""Compiled blocks train as the others do; the trial decides by what it measures and leaves no trace."""

import os
import re
import socket
from unittest import mock

import pytest
import torch
from helpers.pretraining import ALONE, VIT, built_simmim, packed, pretrain_config
from official import masked_loss
from safetensors.torch import load_file
from tasks import Regression
from test_loop import assert_equal, timed, without_times
from test_sharding import Noise
from torch import nn
from torch._dynamo.utils import counters

from simmim.layers.blocks import blocks_of
from simmim.layers.hooked import hooked
from simmim.plugin import names
from simmim.pretraining.run import pretrain
from simmim.storage import records
from simmim.train import compiling
from simmim.train.checkpoint import newest
from simmim.train.compiled_blocks import Blocks
from simmim.train.processes import joined_processes
from simmim.train.task import TrainTask

WINDOWS = {"patch_px": 4, "embed_dim": 12, "depths": [2], "num_heads": [2], "window": 4}
PLAIN = {"name": "vit", "patch_px": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
ENCODERS = {
    "vit": PLAIN | {"drop_path": 0.2},
    "swin": {"name": "swin", "drop_path": 0.2} | WINDOWS,
    "checkpointed vit": PLAIN | {"checkpoint_activations": True},
    "checkpointed swin": {"name": "swin", "checkpoint_activations": True} | WINDOWS,
    "checkpointed timm": {"name": "timm", "model": "test_vit", "checkpoint_activations": True},
    "one block": PLAIN | {"depth": 1},
}
TEN_STEPS = {"epochs": 2, "batch": 8, "micro_batch": 4, "log_every_steps": 1, "save_every_steps": 5, "base_lr": 3e-3}
INDUCTOR = pytest.param("inductor", marks=pytest.mark.slow)


class Masked(TrainTask):
    """SimMIM with any of these encoders on the images of `Noise`."""

    def __init__(self, encoder):
        super().__init__()
        torch.manual_seed(0)
        geometry = {"image_px": 32, "masked_patch_px": 16 if "timm" in encoder else 8}
        sections = {"head": {"name": "linear"}, "target": {"name": "pixels"}, "loss": {"name": "l1"}}
        self.model = built_simmim(encoder=ENCODERS[encoder], geometry=geometry, **sections)

    def forward(self, batch):
        every = self.model.encoder.token // 4  # tokens of 4 px are hidden there
        return masked_loss(self.model, batch["images"], batch["hidden"][:, ::every, ::every])


def train(folder, encoder, compile, processes=ALONE, **changes):
    """Trained weights, and the log without its times."""
    settings = TEN_STEPS | {"compile": compile} | changes
    task, history = timed(folder, Masked(encoder), Noise(), processes=processes, **settings)
    return task.state_dict(), without_times(history)


@pytest.fixture(autouse=True)
def forgotten():
    """What one test has compiled is nothing to the next."""
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def backend(request, monkeypatch):
    """The compiler proper, or all that stands before it, which takes seconds and no C++."""
    if request.param != "inductor":
        compile = torch.compile
        monkeypatch.setattr(
            torch, "compile", lambda one, dynamic, options: compile(one, dynamic=dynamic, backend=request.param)
        )
    return request.param


def graphs():
    return counters["stats"]["unique_graphs"]


def assert_close(history, expected):
    assert len(history) == len(expected) == 10
    for row, other in zip(history, expected):
        assert row == pytest.approx(other, rel=2e-4)


@pytest.mark.parametrize("backend", ["aot_eager", INDUCTOR], indirect=True)
@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name != "one block"])
def test_compiled_blocks_train_as_the_others(tmp_path, encoder, backend):
    """Drop path draws the same, too; blocks alike share what is compiled, and nothing is compiled again later."""
    state, expected = train(tmp_path / "plain", encoder, "off")
    assert graphs() == 0
    compiled, history = train(tmp_path / "compiled", encoder, "on")
    assert list(compiled) == list(state) and not counters["graph_break"]
    assert_close(history, expected)
    are_alike = encoder in ("checkpointed vit", "checkpointed timm")  # others: shifted or not, drop path of two rates
    assert graphs() == (1 if are_alike else 2)


def test_the_compiler_itself_is_used(tmp_path):
    _, expected = train(tmp_path / "plain", "one block", "off")
    _, history = train(tmp_path / "compiled", "one block", "on")
    assert_close(history, expected)
    assert counters["inductor"] and graphs() == 1


@pytest.mark.parametrize("backend", [INDUCTOR], indirect=True)
@pytest.mark.parametrize(("first", "then"), [("off", "on"), ("on", "off")])
def test_a_training_goes_on_with_and_without_compiling_and_says_so(tmp_path, backend, first, then, capsys):
    _, expected = train(tmp_path / "whole", "vit", "off")
    train(tmp_path / "cut", "vit", first, epochs=1)  # all of it warm-up, as the whole's first half
    _, history = train(tmp_path / "cut", "vit", then)
    assert_close(history, expected)
    assert f"environment.compiled: {first == 'on'} before, {then == 'on'} now" in capsys.readouterr().out
    _, manifest = newest(tmp_path / "cut")
    assert [part["environment"]["compiled"] for part in manifest["parts"]] == [first == "on", then == "on"]


@pytest.mark.parametrize("backend", ["aot_eager", INDUCTOR], indirect=True)
def test_compiled_it_resumes_to_the_same_bits(tmp_path, backend):
    expected, whole = train(tmp_path / "whole", "vit", "on")
    train(tmp_path / "cut", "vit", "on", epochs=1)
    torch._dynamo.reset()  # as in a new process
    state, history = train(tmp_path / "cut", "vit", "on")
    assert_equal(state, expected)
    assert history == whole


def one_of(rank, port, folder):
    place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(place, SIMMIM_DEVICE="cpu")
    torch.set_num_threads(1)
    with joined_processes() as processes:
        for sharded in (False, True):
            found = [
                train(folder / f"{each} {sharded}", "swin", each, processes, sharded=sharded) for each in ("off", "on")
            ]
            (state, expected), (compiled, history) = found
            assert list(compiled) == list(state)
            assert_close(history, expected)
        assert graphs() == 4  # two of each way
        little = {"_TRIED_ON": "cpu", "_LEAST_STEPS": 1, "_LEAST_SECONDS": 0, "_LEAST_GAIN": 0}
        with mock.patch.multiple(compiling, **little):  # both try, and both do what the first one finds
            _, history = train(folder / "tried", "swin", "auto", processes)
        assert_close(history, expected)
        assert newest(folder / "tried")[1]["parts"][0]["environment"]["compiled"] and graphs() == 4


@pytest.mark.slow
def test_two_processes_train_compiled_with_copies_and_with_shares_of_the_weights(tmp_path, fresh):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [fresh(target=one_of, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(280)
        assert process.exitcode == 0


def test_hooks_on_compiled_blocks_run_as_ever_and_nothing_is_left_behind(eager_graphs):
    model, seen = Masked("vit"), []
    found = list(blocks_of(model))
    before = [dict(vars(block)) for block in found]
    blocks, batch = Blocks(found), Noise().__getitems__([(0, 0)])
    for _ in range(2):
        with blocks.running(), hooked(found, lambda _, number: seen.append(number)):
            model(batch)
    assert seen == [0, 1, 0, 1] and graphs() == 2
    assert [vars(block) for block in found] == before
    model(batch)
    assert graphs() == 2


def test_sizes_that_change_again_and_again_end_in_blocks_that_run_as_they_are(eager_graphs):
    model = Masked("checkpointed vit")
    blocks = Blocks(list(blocks_of(model)))
    for count in range(1, 13):
        with blocks.running():
            model(Noise().__getitems__([(0, index) for index in range(count)])).backward()
    assert graphs() == 2 * 4  # of two blocks, four sizes each


@pytest.fixture
def eager_graphs(monkeypatch):
    """Graphs are captured, and run as they are."""
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda one, dynamic, options: compile(one, dynamic=dynamic, backend="eager"))


def test_the_training_goes_on_with_what_the_trial_has_compiled(tmp_path, eager_graphs, on_cpu, monkeypatch, capsys):
    monkeypatch.setattr(compiling, "_LEAST_GAIN", 0)
    train(tmp_path, "swin", "auto")
    assert ": on" in capsys.readouterr().out and graphs() == 2


class Noting(Regression):
    """Has blocks, a buffer, a list and a count that every forward pass changes, and takes a whole batch."""

    whole_batch = True

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(dropout=0.3)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))])
        self.noted, self.passes = [7], 0

    def forward(self, batch):
        self.passes += 1
        self.noted.append(self.passes)
        self.formats = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        return super().forward({"x": self.blocks[0](batch["x"])}) + 1e-3 * sum(self.noted)


@pytest.fixture
def on_cpu(monkeypatch):
    """A trial is made here, too, and for as little as there is to do."""
    monkeypatch.setattr(compiling, "_TRIED_ON", "cpu")
    monkeypatch.setattr(compiling, "_LEAST_STEPS", 1)
    monkeypatch.setattr(compiling, "_LEAST_SECONDS", 0)


@pytest.fixture
def compiled_as(monkeypatch, on_cpu):
    """Has compiled blocks take so many seconds, where the others take 3, and do something to what comes out."""

    def compiled(seconds, change=lambda x: x):
        clock = {"now": 0.0, "in": False, "pass": 3.0}

        def now(device):
            clock["now"] += clock["pass"] if clock["in"] else 1.0
            clock["in"] = not clock["in"]
            return clock["now"]

        def compile(method, dynamic, options):
            def changed(*inputs, **named):
                clock["pass"] = seconds
                return change(method(*inputs, **named))

            return changed

        monkeypatch.setattr(compiling, "_now", now)
        monkeypatch.setattr(torch, "compile", compile)

    return compiled


def noting(folder, **changes):
    """The log of a training of `Noting`, its task, and what its last checkpoint says of its parts."""
    task, history = timed(folder, Noting(), **changes)
    return task, without_times(history), newest(folder)[1]["parts"]


@pytest.mark.parametrize(("switch", "more"), [("0", {}), ("1", {"deterministic": True})])
def test_draws_stay_pytorch_s_own_and_nothing_is_timed_where_bits_repeat(monkeypatch, switch, more):
    """On a CPU the compiler leaves draws alone in any case."""
    asked = []
    monkeypatch.setattr(torch, "compile", lambda one, dynamic, options: asked.append(options))
    monkeypatch.setenv("SIMMIM_DETERMINISTIC", switch)
    Blocks([nn.Linear(1, 1)])
    assert asked == [{"fallback_random": True} | more]


def raising(x):
    raise RuntimeError("no such thing\non this device")


SAME = r"loss differs by 0e.00, gradients by 0e.00"


@pytest.mark.parametrize(
    ("seconds", "change", "decision", "words"),
    [
        (1.5, lambda x: x, True, f"2.00x, {SAME}: on"),
        (2.95, lambda x: x, False, f"1.02x, {SAME}: off"),
        (1.5, lambda x: x * 1.1, False, r"2.00x, loss differs by \de-0\d, gradients by \de-0\d: off"),
        (
            1.5,
            lambda x: x.detach() + 0.9 * (x - x.detach()),
            False,
            "2.00x, loss differs by 0e.00, gradients by .*: off",
        ),
        (1.5, lambda x: x * float("nan"), False, "2.00x, loss differs by nan, gradients by nan: off"),
        (1.5, raising, False, "off, RuntimeError: no such thing"),
    ],
)
def test_the_trial_decides_by_time_loss_and_gradients(tmp_path, compiled_as, capsys, seconds, change, decision, words):
    compiled_as(seconds, change)
    _, _, parts = noting(tmp_path)
    assert [part["environment"]["compiled"] for part in parts] == [decision]
    assert re.search(f"^test: compiled blocks: {words}$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("dtype", "loss", "second_norm", "is_on"),
    [
        (None, 1.00009, 2.0, True),
        (None, 1.00011, 2.0, False),
        (None, 1.0, 2.0002, True),
        (None, 1.0, 2.0003, False),
        (torch.bfloat16, 1.029, 2.0, True),
        (torch.bfloat16, 1.031, 2.0, False),
        (torch.bfloat16, 1.0, 2.06, True),
        (torch.bfloat16, 1.0, 2.07, False),
    ],
)
def test_loss_and_gradients_count_each_by_what_the_number_format_allows(monkeypatch, dtype, loss, second_norm, is_on):
    task, plain = Regression(), compiling._Measured(2.0, torch.tensor(1.0), torch.tensor([1.0, 2.0]))
    task.autocast_dtype = dtype
    compiled = compiling._Measured(1.0, torch.tensor(loss), torch.tensor([1.0, second_norm]))
    monkeypatch.setattr(compiling, "_measured", lambda *_: compiled)
    assert compiling._compared(task, None, plain, Blocks(), torch.device("cpu")).is_worth_it == is_on


@pytest.mark.parametrize("change", [lambda x: x, raising])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_trial_leaves_no_trace(tmp_path, compiled_as, change, precision):
    """Weights, moments, buffers, what modules note, the batches and what is drawn for them are those without one."""
    plain, expected, _ = noting(tmp_path / "plain", compile="off", precision=precision, micro_batch=4)
    compiled_as(9, change)
    tried, history, parts = noting(tmp_path / "tried", precision=precision, micro_batch=4)
    assert_equal(tried.state_dict(), plain.state_dict())
    assert_equal(*(load_file(newest(tmp_path / name)[0] / "optimizer.safetensors") for name in ("tried", "plain")))
    assert history == expected and (tried.noted, tried.passes) == (plain.noted, plain.passes)
    assert not parts[-1]["environment"]["compiled"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("stripes"))


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("name", names("methods"))
def test_a_trial_leaves_no_trace_in_any_method(tmp_path, images, compiled_as, name):
    if name != "simmim":
        pytest.importorskip("lightly")
    compiled_as(9)
    tried = []
    for setting in ("off", "auto"):
        with mock.patch.object(compiling, "_compared", wraps=compiling._compared) as trial:
            config = pretrain_config(name, encoder=VIT, train={"compile": setting, "epochs": 1})
            pretrain(config, 0, images, tmp_path / setting, ALONE)
        tried.append(trial.call_count)
    one, other = (load_file(tmp_path / setting / "encoder.safetensors") for setting in ("off", "auto"))
    assert_equal(one, other)
    logs = [
        records.read([tmp_path / setting / "train.parquet"]).query("metric == 'loss'") for setting in ("off", "auto")
    ]
    assert logs[0]["value"].tolist() == logs[1]["value"].tolist() and tried == [0, 1]


def test_a_part_keeps_what_the_part_before_has_decided_unless_the_machine_is_another(tmp_path, compiled_as, capsys):
    compiled_as(1.5)
    noting(tmp_path, epochs=1)
    compiled_as(9)
    capsys.readouterr()
    _, _, parts = noting(tmp_path, epochs=2)
    assert [part["environment"]["compiled"] for part in parts] == [True]
    assert "compiled" not in capsys.readouterr().out
    compiled_as(9)
    _, _, parts = noting(tmp_path, epochs=3, micro_batch=4)
    assert [part["environment"]["compiled"] for part in parts] == [True, False]
    assert "compiled blocks: 0.33x" in capsys.readouterr().out


GOOD, BAD = compiling._Trial(True, "good"), compiling._Trial(False, "bad")
FAILED = compiling._Trial(False, "failed", failed=True)


@pytest.mark.parametrize(
    ("every", "decision"), [([GOOD, BAD], True), ([BAD, GOOD], False), ([GOOD, FAILED], False), ([GOOD, GOOD], True)]
)
def test_the_main_process_decides_for_all_unless_one_cannot_compile(
    tmp_path, compiled_as, monkeypatch, every, decision
):
    compiled_as(1.5)
    monkeypatch.setattr(compiling, "of_all_processes", lambda value: every if isinstance(value, tuple) else [value])
    assert [part["environment"]["compiled"] for part in noting(tmp_path)[-1]] == [decision]


@pytest.mark.parametrize(
    "why", ["a CPU", "few steps", "little time", "sizes that vary", "shared weights", "bits that repeat", "off"]
)
def test_where_there_is_no_trial_nothing_is_compiled(tmp_path, on_cpu, monkeypatch, capsys, why):
    monkeypatch.setattr(torch, "compile", None)
    monkeypatch.setattr(compiling, "_measured", None)
    if why == "a CPU":
        monkeypatch.setattr(compiling, "_TRIED_ON", "cuda")
    elif why == "few steps":
        monkeypatch.setattr(compiling, "_LEAST_STEPS", 16)
    elif why == "little time":
        monkeypatch.setattr(compiling, "_measured", lambda *_: compiling._Measured(3.0, None, None))
        monkeypatch.setattr(compiling, "_LEAST_SECONDS", 3 * 15 + 1)
    elif why == "sizes that vary":
        monkeypatch.setattr(Noting, "varying_shapes", True)
    elif why == "shared weights":
        monkeypatch.setattr(compiling, "is_sharded", lambda task: True)
    elif why == "bits that repeat":
        monkeypatch.setenv("SIMMIM_DETERMINISTIC", "1")
    _, _, parts = noting(tmp_path, compile="off" if why == "off" else "auto")
    assert [part["environment"]["compiled"] for part in parts] == [False]
    assert "compiled" not in capsys.readouterr().out


def test_a_network_without_blocks_trains_as_it_is_and_says_so(tmp_path, capsys):
    timed(tmp_path, compile="on", epochs=1)
    assert "test: train.compile=on: no list called `blocks`" in capsys.readouterr().out
    assert not newest(tmp_path)[1]["parts"][0]["environment"]["compiled"]


def test_without_a_compiler_auto_trains_and_on_says_what_to_do(tmp_path, on_cpu, monkeypatch, capsys):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(ValueError, match=r"blocks cannot be compiled here .*no-such-compiler.*train.compile=off"):
        noting(tmp_path / "on", compile="on")
    _, history, _ = noting(tmp_path / "auto")
    assert len(history) == 8 and "test: compiled blocks: off, blocks cannot be" in capsys.readouterr().out
