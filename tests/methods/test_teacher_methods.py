"""DINO and MoCo v3: they learn, resume to the same bits, and their teachers follow as published."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from encoders.small import SMALL
from safetensors.torch import load_file

from simmim.config.sheets import Sheets
from simmim.data.shards import Shards
from simmim.encoders._encoder import Encoder
from simmim.pretraining.method import build_method
from simmim.pretraining.run import pretrain
from simmim.storage import records
from simmim.storage.encoder_file import load_encoder
from simmim.train.parameter_groups import parameter_groups

pytest.importorskip("lightly", reason="needs the extra `methods`: pip install 'simmim[methods]'")

from helpers import pretraining
from helpers.pretraining import ALONE, VIT, packed, pretrain_config

from simmim.methods._branch import Branch, cosine_momentum, follow
from simmim.methods.moco_v3 import contrast

HERE = Path(__file__).parent
BOTH = pytest.mark.parametrize("method", ["dino", "moco_v3"])


def config(method, encoder=(), settings=(), **train):
    images = {"crop_scale": [0.3, 1.0], "mean": [0.5] * 3, "std": [0.25] * 3}
    changes = {"settings": dict(settings), "train": {"base_lr": 1e-3} | train}
    return pretrain_config(method, encoder=VIT | dict(encoder), images=images, **changes)


DINO = config("dino")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("stripes"))


def built(method, **settings):
    return pretraining.built(config(method, **settings))


def batch(task, images=4):
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randint(0, 256, (images, len(views), 3, *views[0].image_px), generator=generator).byte()
        for name, views in task.views.items()
    }


def losses(out):
    rows = records.read([out / "train.parquet"])
    return rows[rows["metric"] == "loss"].sort_values("step")["value"].tolist()


@BOTH
def test_nothing_warns_while_it_is_built(method, recwarn):
    built(method)
    assert [str(each.message) for each in recwarn] == []


@BOTH
def test_the_student_learns(data, method):
    """Twenty updates towards a teacher that stands still, the same images each time."""
    task = built(method)
    images = task.dataset(Shards(data["train"]), seed=0).__getitems__([(0, sample) for sample in range(8)])
    optimizer = torch.optim.AdamW([each for each in task.parameters() if each.requires_grad], lr=3e-3)
    seen = []
    for _ in range(20):
        loss = task(images)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(loss.item())
    assert seen[-1] < 0.6 * seen[0], seen


@BOTH
def test_a_run_leaves_the_files_of_any_run(tmp_path, data, method):
    pretrain(config(method), 0, data, tmp_path, ALONE)
    encoder, header = load_encoder(tmp_path / "encoder.safetensors")
    assert encoder(torch.zeros(1, 3, 32, 48)).shape == (1, 16, 4, 6)
    assert header["run"] == method
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "encoder.safetensors",
        "head.safetensors",
        "state",
        "train.parquet",
    ]
    values = records.read([tmp_path / "train.parquet"]).groupby("metric")["value"].sum()
    assert values["train_seconds"] == pytest.approx(values["device_seconds"])
    assert values["images_per_second"] == pytest.approx(64 / values["train_seconds"])
    assert "validation_loss" not in values


@BOTH
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, data, method, monkeypatch):
    settings = {"encoder": {"drop_path": 0.2}}
    pretrain(config(method, **settings), 0, data, tmp_path / "whole", ALONE)
    with monkeypatch.context() as patch:
        patch.setattr("simmim.train.speed.cost", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config(method, **settings), 0, data, tmp_path / "cut", ALONE)
    assert [path.name for path in (tmp_path / "cut" / "state").glob("step-*")] == [
        "step-00000004",
        "step-00000008",
    ]
    pretrain(config(method, **settings), 0, data, tmp_path / "cut", ALONE)
    whole, cut = (load_file(tmp_path / name / "encoder.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")


def _interrupted(*arguments):
    raise KeyboardInterrupt


def test_a_checkpoint_holds_all_that_a_task_knows():
    """One more step after loading must not differ from one without: centre, teacher and schedules included."""
    task, other = built("dino"), built("dino")
    for step in (1, 2):
        task(batch(task)).backward()
        task.after_update(step, 4)
    other.load_state_dict(task.state_dict(), strict=True)
    assert other.temperature == task.temperature == pytest.approx(0.04 + 0.03 * 0.5 / 0.8)
    assert torch.equal(other(batch(task)), task(batch(task)))


@BOTH
def test_the_teacher_is_the_students_moving_average_and_gets_no_gradient(method):
    task = built(method, settings={"last_layer_frozen": 0.0} if method == "dino" else {})
    task(batch(task)).backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in task.teacher.parameters())
    groups = parameter_groups(task, "student.encoder.", 0.05, 1.0, set())
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    assert not trained & {id(parameter) for parameter in task.teacher.parameters()}
    assert trained == {id(p) for p in task.parameters() if p.grad is not None}  # nothing is left without a gradient
    before = [parameter.clone() for parameter in task.teacher.parameters()]
    for parameter in task.student.parameters():
        parameter.data += torch.randn_like(parameter)
    students = [parameter.clone() for parameter in task.student.parameters()]
    task.after_update(3, 8)  # the third update, counted from 0 the second
    momentum = 1 - (1 - 0.9) * (1 + math.cos(math.pi * 2 / 8)) / 2
    for old, student, new in zip(before, students, task.teacher.parameters(), strict=True):
        torch.testing.assert_close(new, momentum * old + (1 - momentum) * student, rtol=1e-5, atol=1e-6)


@BOTH
def test_student_and_teacher_begin_alike(method):
    task = built(method)
    student, teacher = task.student.state_dict(), task.teacher.state_dict()
    assert all(torch.equal(student[name], value) for name, value in teacher.items())


def test_the_centre_forgets_the_updates_before():
    task = built("dino")
    seen = []
    task.teacher.register_forward_hook(lambda module, inputs, output: seen.append(output))
    centre = torch.zeros(64)
    for step in (1, 2):
        seen.clear()
        task(batch(task, 4 * step))
        task.after_update(step, 10)
        centre = 0.9 * centre + 0.1 * seen[0].mean(0)
    torch.testing.assert_close(task.loss.center[0, 0], centre, rtol=1e-5, atol=1e-6)


def test_momentum_rises_from_its_start_to_one():
    assert [cosine_momentum(0.9, step, 4) for step in (0, 2, 4)] == pytest.approx([0.9, 0.95, 1.0])


def test_a_teacher_that_equals_its_student_stays_it_bit_by_bit():
    student, teacher = torch.nn.Linear(50, 50), torch.nn.Linear(50, 50)
    teacher.load_state_dict(student.state_dict())
    follow(teacher, student, 0.996)
    assert torch.equal(teacher.weight, student.weight)


def test_paths_are_dropped_in_the_student_only():
    task = built("dino", encoder={"drop_path": 0.5}).train()
    images = torch.randn(4, 3, 32, 48)
    assert torch.equal(task.teacher(images), task.teacher(images))
    assert not torch.equal(task.student(images), task.student(images))


@pytest.mark.parametrize("encoder", [{"name": "resnet"} | SMALL["resnet"], {"name": "timm", "model": "test_resnet"}])
def test_the_batch_norms_of_dinos_teacher_do_as_in_training(encoder):
    """As published: the kept encoder would otherwise have the statistics of no image."""
    task = pretraining.built(pretrain_config("dino", encoder=encoder)).train()
    views = batch(task)
    large = task.normalise(views["global"].transpose(0, 1).flatten(0, 1))
    norm, means = next(each for each in task.teacher.modules() if isinstance(each, torch.nn.BatchNorm2d)), []
    norm.register_forward_pre_hook(lambda norm, inputs: means.append(inputs[0].mean((0, 2, 3))))
    task(views)
    torch.testing.assert_close(norm.running_mean, 0.1 * means[0])
    assert not torch.allclose(task.teacher(large)[:2], task.teacher(large[:2]))  # a batch, not images by themselves
    task.eval()
    torch.testing.assert_close(task.teacher(large)[:2], task.teacher(large[:2]))


def test_the_last_layer_keeps_its_start_values_for_a_while():
    task = built("dino", settings={"last_layer_frozen": 0.5})
    layer = task.student.head.last_layer.weight_v
    start = layer.clone()
    for step in range(1, 5):
        layer.data += 0.1
        task(batch(task))
        task.after_update(step, 4)
        assert torch.equal(layer, start) == (step <= 2)


def test_the_centre_moves_once_per_update_to_the_mean_of_its_micro_batches():
    task = built("dino")
    whole = batch(task, 8)
    seen = []
    task.teacher.register_forward_hook(lambda module, inputs, output: seen.append(output))
    for part in (slice(0, 4), slice(4, 8)):
        task({name: views[part] for name, views in whole.items()})
        assert task.loss.center.eq(0).all()
    task.after_update(1, 10)
    torch.testing.assert_close(task.loss.center[0, 0], 0.1 * torch.cat(seen).mean(0), rtol=1e-5, atol=1e-6)


def test_dino_predicts_the_teacher_from_every_other_view():
    """The published loss written out: cross-entropy over all pairs of a teacher's and another view."""
    task = built("dino").eval()
    views = batch(task, 4)
    large, small = (task.normalise(views[name].flatten(0, 1)) for name in ("global", "local"))
    taught = (task.teacher(large) / 0.04).softmax(-1).unflatten(0, (4, 2))  # [b, views, outputs]
    guessed = torch.cat([task.student(x).unflatten(0, (4, -1)) for x in (large, small)], dim=1)
    guessed = (guessed / 0.1).log_softmax(-1)
    pairs = [(t, s) for t in range(2) for s in range(4) if t != s]
    expected = -torch.stack([(taught[:, t] * guessed[:, s]).sum(-1).mean() for t, s in pairs]).mean()
    torch.testing.assert_close(task(views), expected, rtol=1e-5, atol=1e-6)


def test_dino_without_small_crops_compares_the_large_ones(data):
    task = built("dino", settings={"local_crops": 0}).eval()
    views = task.dataset(Shards(data["train"]), seed=0).__getitems__([(0, sample) for sample in range(4)])
    assert views.keys() == {"global"}
    large = task.normalise(views["global"].transpose(0, 1).flatten(0, 1))
    taught = (task.teacher(large) / 0.04).softmax(-1).chunk(2)
    guessed = (task.student(large) / 0.1).log_softmax(-1).chunk(2)
    expected = -((taught[0] * guessed[1]).sum(-1).mean() + (taught[1] * guessed[0]).sum(-1).mean()) / 2
    torch.testing.assert_close(task(views), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("encoder", "settings", "message"),
    [
        (
            VIT,
            {"local_px": 20},
            r"method.local_px 20: .*vit of 32 x 48 px does not take .*; nearest that fit: 16 and 24",
        ),
        (VIT, {"local_px": 40}, r"method.local_px 40: .*nearest that fit: 24 and 32"),
        (VIT, {"local_px": 0}, r"method.local_px 0: .*nearest that fit: 8 and 16"),
        (VIT | {"shared_bias": False}, {}, r"method.local_px 16: .*nearest that fit: none .*method.local_crops=0"),
        (pretraining.SWIN | {"window": 8}, {}, r"swin of 32 x 48 px does not take .* none \(method.local_crops=0"),
        ({"name": "timm", "model": "test_vit"}, {}, r"timm of 32 x 48 px does not take crops of 16 x 16 px"),
        (VIT, {"local_scale": [5, 25]}, r"method.local_scale = .*: it must be two shares of the image"),
        (VIT, {"local_crops": -1}, r"method.local_crops -1 must be at least 0"),
    ],
)
def test_small_crops_that_an_encoder_does_not_take_are_refused_as_it_is_built(encoder, settings, message):
    with pytest.raises(ValueError, match=message):
        pretraining.built(pretrain_config("dino", pretraining.METHODS["dino"] | settings, encoder=encoder))
    if "local_px" in message:
        pretraining.built(pretrain_config("dino", {"local_crops": 0} | settings, encoder=encoder))


SHARE = r"must lie in 0 to 1; it is a share of"


@pytest.mark.parametrize(
    ("method", "setting", "message"),
    [
        ("dino", {"last_layer_frozen": 3}, f"method.last_layer_frozen 3 {SHARE} the training: 50 of 400 epochs is 0.1"),
        ("dino", {"temperature_warmup": 50}, f"method.temperature_warmup 50 {SHARE} the training"),
        ("dino", {"temperature_warmup": -0.1}, f"method.temperature_warmup -0.1 {SHARE} the training"),
        ("dino", {"momentum": 1.5}, f"method.momentum 1.5 {SHARE} the teacher that it keeps at an update"),
        ("moco_v3", {"momentum": 1.01}, f"method.momentum 1.01 {SHARE} the teacher that it keeps at an update"),
        ("dino", {"teacher_temperature": [0.04, 0]}, "method.teacher_temperature 0 must be above 0; logits"),
        ("dino", {"student_temperature": -0.1}, "method.student_temperature -0.1 must be above 0; logits are divided"),
        ("moco_v3", {"temperature": 0.0}, "method.temperature 0 must be above 0; logits are divided by it"),
    ],
)
def test_a_setting_outside_its_range_is_refused_as_a_method_is_built(method, setting, message):
    """DINO's own arguments count epochs."""
    with pytest.raises(ValueError, match=message):
        built(method, settings=setting)


def test_contrast_is_the_published_loss():
    guesses, keys = torch.randn(6, 5), torch.randn(6, 5)
    likeness = F.cosine_similarity(guesses[:, None], keys[None], dim=-1) / 0.2
    expected = -2 * 0.2 * likeness.log_softmax(1).diagonal().mean()
    torch.testing.assert_close(contrast(guesses, keys, 0.2), expected)


def test_moco_compares_each_view_with_the_keys_of_the_other_one():
    task = built("moco_v3")
    views = batch(task, 6)
    first, second = (task.normalise(views["views"][:, place]) for place in (0, 1))
    guesses = [task.predictor(task.student(view)) for view in (first, second)]
    keys = [task.teacher(view) for view in (first, second)]
    expected = contrast(guesses[0], keys[1], 0.2) + contrast(guesses[1], keys[0], 0.2)
    torch.testing.assert_close(task(views), expected)


@pytest.mark.parametrize(
    ("encoder", "stem"),
    [
        (VIT, ("patch_embed.",)),
        ({"name": "resnet"} | SMALL["resnet"], ("stem.",)),
        ({"name": "timm", "model": "test_vit"}, ("body.patch_embed.",)),
        ({"name": "timm", "model": "test_convnext2"}, ("body.stem.",)),
        ({"name": "timm", "model": "test_resnet"}, ("body.conv1.", "body.bn1.")),
    ],
)
def test_moco_keeps_the_random_patch_embedding_unless_told_otherwise(encoder, stem):
    for freeze in (True, False):
        task = pretraining.built(pretrain_config("moco_v3", {"freeze_patch_embed": freeze}, encoder=encoder))
        student = task.student.encoder
        fixed = {name for name, parameter in student.named_parameters() if not parameter.requires_grad}
        of_stem = {name for name, _ in student.named_parameters() if name.startswith(stem)}
        assert of_stem and fixed == {"mask_token"} | (of_stem if freeze else set())


def test_an_encoder_that_names_no_patch_embedding_cannot_have_it_frozen(monkeypatch):
    monkeypatch.setattr("simmim.encoders.vit.ViT.stem_parameters", Encoder.stem_parameters)
    with pytest.raises(ValueError, match=r"encoder=vit does not say .* give method\.freeze_patch_embed=false"):
        built("moco_v3")
    assert built(
        "moco_v3", settings={"freeze_patch_embed": False}
    ).student.encoder.patch_embed.proj.weight.requires_grad


@BOTH
def test_micro_batches_equal_one_batch(tmp_path, data, method):
    for micro_batch in (8, 2):
        pretrain(config(method, micro_batch=micro_batch), 0, data, tmp_path / str(micro_batch) / method, ALONE)
    assert_same_training(tmp_path / "2" / method, tmp_path / "8" / method)


def test_moco_takes_a_micro_batch_at_a_time_through_its_encoder(tmp_path, data, monkeypatch):
    features, seen = Branch.features, []
    monkeypatch.setattr(Branch, "features", lambda self, images: seen.append(len(images)) or features(self, images))
    pretrain(config("moco_v3", micro_batch=2, epochs=0.5), 0, data, tmp_path, ALONE)
    assert seen == [2] * 24  # one update: four parts of two views, by student and teacher, and again for the gradient


def test_moco_counts_a_micro_batch_once_in_the_statistics_of_its_encoder():
    """The student's activations are computed twice: where it equals its teacher, so do their running statistics."""
    task = pretraining.built(pretrain_config("moco_v3", encoder={"name": "resnet"} | SMALL["resnet"]))
    task.images_at_once = 2
    task(batch(task)).backward()
    student, teacher = (dict(branch.encoder.named_buffers()) for branch in (task.student, task.teacher))
    assert teacher["stem.1.num_batches_tracked"] == 4
    torch.testing.assert_close(student, teacher)


def assert_same_training(folder, other):
    """Equal encoders and losses, rounding apart.

    But for a bias that a batch normalisation follows: its gradient is rounding error, and AdamW moves it all the same.
    """
    mine, theirs = (load_file(each / "encoder.safetensors") for each in (folder, other))
    for name in theirs.keys() - ({"norm.bias"} if "moco_v3" in str(folder) else set()):
        torch.testing.assert_close(mine[name], theirs[name], rtol=1e-4, atol=1e-5)
    assert losses(folder) == pytest.approx(losses(other), rel=1e-5)


def test_two_processes_equal_one(tmp_path, data):
    """Batch normalisation of MoCo v3's heads and its contrast included, with two micro-batches on each process."""
    both = {method: config(method, micro_batch=2) for method in ("dino", "moco_v3")}
    for method, made in both.items():
        (tmp_path / f"{method}.json").write_text(made.model_dump_json())
        pretrain(made, 0, data, tmp_path / "one" / method, ALONE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, HERE / "two_processes.py", data["train"].parent, tmp_path],
        timeout=200,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for method in both:
        assert_same_training(tmp_path / "two" / method, tmp_path / "one" / method)


@pytest.fixture
def without_lightly(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("simmim.methods.", "lightly"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightly", None)


@pytest.mark.usefixtures("without_lightly")
def test_without_lightly_the_message_says_what_to_install():
    with pytest.raises(ValueError, match=r"pip install 'simmim\[methods\]'"):
        built("dino")


@pytest.mark.usefixtures("without_lightly")
def test_a_check_of_a_scale_says_what_is_not_installed_and_goes_on(monkeypatch, capsys):
    from simmim.planning.check import check_scale

    monkeypatch.setattr("simmim.planning.check.build_method", lambda config: build_method(DINO))
    check_scale(Sheets(HERE.parents[1] / "config"), "smoke")
    assert "default: cannot be trained here: simmim.methods.dino needs the package lightly" in capsys.readouterr().out


def test_an_unknown_method_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"'dyno'; did you mean 'dino'.*dino, moco_v3, simmim"):
        config("dino").model_validate(config("dino").as_json() | {"method": {"name": "dyno"}})


@BOTH
@pytest.mark.parametrize(
    "change",
    [{"init": {"encoder": "a"}}, {"init": {"run": "short"}}, {"train": {"sharded": True}}],
    ids=["init", "shorter", "sharded"],
)
def test_what_a_method_with_a_teacher_cannot_do_is_refused(change, method):
    sections = {"encoder": VIT} | change
    with pytest.raises(
        ValueError, match=f"method={method} has a teacher: it takes no init.encoder, .* and no init.run"
    ):
        build_method(pretrain_config(method, **sections))
