"""The project's networks with the weights of the reference cases, held against the reference numbers on any device."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from official import case, encoder_section, masked_loss, our_name, our_state, simmim_model, tensors
from torch import Tensor
from torch.nn.functional import cross_entropy

from simmim import plugin
from simmim.evaluate.finetune.classifier import Classifier
from simmim.methods.simmim import SimMIM
from simmim.plugin import Component
from simmim.targets.normalised_pixels import NormalisedPixels
from simmim.train.parameter_groups import parameter_groups
from simmim.train.schedule import learning_rate

MASKED = "mim_swin_a", "mim_swinv2_a", "mim_vit_a_norm", "mim_vit_a_meanpool"
FINETUNED = "ft_swin_a", "ft_swinv2_a", "ft_vit_a"
TRAJECTORIES = "traj_swin_a", "traj_swin_a_accum2_clip"
CPU = torch.device("cpu")

# Cosine attention multiplies rounding errors: what float32 is allowed with SwinV2, as a factor.
_LOOSER_V2 = {"output": 10, "loss": 5, "element": 30, "norm": 10}


class Masked(NamedTuple):
    """A pre-training case: its numbers, and the model, images and mask on a device."""

    name: str
    record: dict[str, Any]
    data: dict[str, Tensor]
    model: SimMIM
    images: Tensor
    hidden: Tensor

    def loss(self) -> Tensor:
        """The loss of the case's images."""
        return masked_loss(self.model, self.images, self.hidden)

    def allowed(self, what: str, tolerance: float) -> float:
        """A tolerance, for SwinV2 in float32 a wider one."""
        looser = "swinv2" in self.name and self.images.dtype == torch.float32
        return tolerance * _LOOSER_V2[what] if looser else tolerance


def masked_case(name: str, dtype: torch.dtype, device: torch.device = CPU) -> Masked:
    """A case of `MASKED` in a number format."""
    record, data = case(name), tensors(name)
    model = simmim_model(record["settings"])
    model.load_state_dict(our_state(tensors(name, "weights")), strict=True)
    images, hidden = data["input.image"].to(device, dtype), data["input.mask"].bool().to(device)
    return Masked(name, record, data, model.to(device, dtype), images, hidden)


def check_output(run: Masked, tolerance: float) -> None:
    """Features, and the prediction where the case holds one, as losses and head gradients stand for it in the ViTs'."""
    allowed = run.allowed("output", tolerance)
    features = run.model.encoder(run.images, run.hidden)
    torch.testing.assert_close(features.double().cpu(), run.data["f64.encoder_out"], rtol=0, atol=allowed)
    if "f64.reconstruction" in run.data:
        prediction = run.model.predict(run.images, run.hidden).double().cpu()
        torch.testing.assert_close(prediction, run.data["f64.reconstruction"], rtol=0, atol=allowed)


def check_loss(run: Masked, tolerance: float) -> None:
    """The loss, and how many tokens are hidden."""
    loss, expected = run.loss(), run.record["expected"]
    assert loss.dtype == run.images.dtype
    assert loss.item() == pytest.approx(expected["loss_fp64"], abs=run.allowed("loss", tolerance))
    assert run.hidden.flatten(1).sum(1).tolist() == expected["masked_tokens_per_sample"]


def check_gradients(run: Masked, element: float, norm: float) -> None:
    """Norms of all gradients, and the gradients that the case holds.

    Args:
        element: allowed difference of an element as a share of the norm of all gradients.
        norm: relative difference allowed between the norms of a parameter's gradient.
    """
    element, norm = run.allowed("element", element), run.allowed("norm", norm)
    run.loss().backward()
    gradients = {key: parameter.grad for key, parameter in run.model.named_parameters()}
    total = run.record["expected"]["grad_total_l2_norm_fp64"]
    for official, expected in run.record["grad_l2_norm_fp64"].items():
        if expected is None:
            assert "fc_norm" in official
            continue
        got = gradients.pop(our_name(official)).norm().item()
        assert got == pytest.approx(expected, rel=norm, abs=element * total), official
    assert not gradients, "these parameters have no reference"
    for key, expected in run.data.items():
        if key.startswith("f64.grad."):
            got = run.model.get_parameter(our_name(key.removeprefix("f64.grad."))).grad.double().cpu()
            assert (got - expected).abs().max() <= element * total, key


def classifier(name: str) -> tuple[dict[str, Any], dict[str, Tensor], Classifier]:
    """Built as the product does: pre-trained state -> adapt -> encoder at the new size, fresh head from the case."""
    record, data = case(name), tensors(name)
    settings = record["settings"]
    section = encoder_section(settings)
    section |= {"shared_bias": False, "final_norm": False} if settings["model"] == "vit" else {}
    encoder = plugin.build("encoders", Component.model_validate(section), image_px=(settings["img_size"],) * 2)
    weights = our_state(tensors(record["source_case"], "weights"))
    pretrained = {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}
    encoder.load_state_dict(encoder.adapt(pretrained, (settings["pretrain_img_size"],) * 2), strict=True)
    model = Classifier(encoder, settings["num_classes"])
    fresh = {key.removeprefix("fresh."): value for key, value in data.items() if key.startswith("fresh.")}
    assert set(fresh) == {key for key in model.state_dict() if not key.startswith("encoder.")}
    model.load_state_dict(fresh, strict=False)
    return record, data, model


def check_classifier(name: str, dtype: torch.dtype, tolerance: float, device: torch.device = CPU) -> None:
    """Features, logits and losses of a case of `FINETUNED`."""
    record, data, model = classifier(name)
    model.to(device, dtype)
    tolerance *= 10 if name == "ft_swinv2_a" and dtype == torch.float32 else 1
    images = data["input.image"].to(device, dtype)
    torch.testing.assert_close(model.features(images).double().cpu(), data["f64.features"], rtol=0, atol=tolerance)
    logits = model(images)
    torch.testing.assert_close(logits.double().cpu(), data["f64.logits"], rtol=0, atol=tolerance)
    losses = {"loss_soft_target_fp64": cross_entropy(logits, data["input.soft_target"].to(device, dtype))}
    if "input.label" in data:
        labels = data["input.label"].to(device)
        losses["loss_cross_entropy_fp64"] = cross_entropy(logits, labels)
        losses["loss_label_smoothing_0p1_fp64"] = cross_entropy(logits, labels, label_smoothing=0.1)
    for key, loss in losses.items():
        assert loss.item() == pytest.approx(record["expected"][key], abs=tolerance), key


def check_classifier_gradients(name: str, device: torch.device = CPU) -> None:
    """Norms of all gradients in float64; the SwinV2 case has none."""
    record, data, model = classifier(name)
    model.to(device, torch.float64)
    images, target = (data[f"input.{key}"].to(device, torch.float64) for key in ("image", "soft_target"))
    cross_entropy(model(images), target).backward()
    expected = record["grad_l2_norm_of_soft_target_loss_fp64"]
    ours = {key.removeprefix("encoder."): value.grad for key, value in model.named_parameters() if value.requires_grad}
    assert {our_name(key) for key in expected} == set(ours)
    for key, norm in expected.items():
        assert ours[our_name(key)].norm().item() == pytest.approx(norm, rel=1e-8, abs=1e-12), key


def target_rows() -> list[dict[str, Any]]:
    """The cases of locally normalised targets."""
    return [row for row in case("norm_targets_a")["rows"] if "k" in row]


def check_target(row: dict[str, Any], device: torch.device = CPU) -> None:
    """Locally normalised targets in float64 and float32."""
    data = tensors("norm_targets_a")
    images, expected = data[f"{row['key']}.image"].to(device), data[f"{row['key']}.f32"].double()
    target = NormalisedPixels(3, row["k"])
    precise = target(None, images.double()).cpu()
    torch.testing.assert_close(precise, expected, rtol=0, atol=1.01 * row["max_abs_diff_fp32_vs_fp64"])
    assert precise.mean().item() == pytest.approx(row["mean_fp64"], abs=1e-8)
    assert precise.std().item() == pytest.approx(row["std_fp64"], abs=1e-8)
    assert precise.abs().mean().item() == pytest.approx(row["abs_mean_fp64"], abs=1e-8)
    torch.testing.assert_close(target(None, images.float()).double().cpu(), expected, rtol=0, atol=2e-4)


class Trajectory(NamedTuple):
    """What a training of a case has come to."""

    model: SimMIM
    losses: list[float]
    norms: list[float]
    rates: list[float]


def trajectory(
    record: dict[str, Any], dtype: torch.dtype, device: torch.device = CPU, fused: bool = False
) -> Trajectory:
    """The released loop; its oddities (rates one step late, clipping at every micro-step) live here, not in ours."""
    settings, batches = record["settings"], tensors("traj_swin_a")
    model = simmim_model(settings["model_settings"])
    model.load_state_dict(our_state(tensors("mim_swin_a", "weights")), strict=True)
    model.to(device, dtype)
    skip = model.encoder.no_weight_decay(pretraining=True)
    groups = parameter_groups(model, "encoder.", settings["weight_decay"], 1.0, skip)
    optimizer = torch.optim.AdamW(groups, betas=settings["betas"], eps=settings["eps"], fused=fused)
    per_epoch, every = settings["iterations_per_epoch"], max(1, settings["accumulation_steps"])
    losses, norms, rates, lagging = [], [], [], 0
    for step in range(settings["epochs"] * per_epoch):
        images = batches["input.images"][step % per_epoch].to(device, dtype)
        loss = masked_loss(model, images, batches["input.masks"][step % per_epoch].bool().to(device))
        (loss / every).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_grad_norm"]).item())
        losses.append(loss.item())
        if (step + 1) % every:
            continue
        rate = learning_rate(
            lagging,
            peak=settings["base_lr"],
            steps=settings["epochs"] * per_epoch,
            warmup_steps=settings["warmup_epochs"] * per_epoch,
            warmup_lr=settings["warmup_lr"],
            min_lr=settings["min_lr"],
            warmup_offset=False,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        rates.append(rate)
        optimizer.step()
        optimizer.zero_grad()
        lagging = step
    return Trajectory(model, losses, norms, rates)


def check_trajectory(name: str, device: torch.device = CPU, fused: bool = False) -> None:
    """A case of `TRAJECTORIES` in float64: every loss, norm and rate, and the final weights."""
    record = case(name)
    model, losses, norms, rates = trajectory(record, torch.float64, device, fused)
    expected = record["expected"]
    assert losses == pytest.approx(expected["loss_per_micro_step_fp64"], rel=1e-6)
    assert norms == pytest.approx(expected["grad_norm_before_clip_per_micro_step_fp64"], rel=1e-5)
    assert rates == pytest.approx(expected["lr_used_by_update"], rel=1e-12)
    for official, final in record["final_parameters"].items():
        got = model.get_parameter(our_name(official)).norm().item()
        assert got == pytest.approx(final["l2_fp64"], rel=1e-6), official
    for key, value in tensors(name).items():
        if key.startswith("f64.final."):
            parameter = model.get_parameter(our_name(key.removeprefix("f64.final.")))
            torch.testing.assert_close(parameter.data.cpu(), value, rtol=0, atol=1e-8)


def check_trajectory_in_float32(name: str, device: torch.device = CPU, fused: bool = False) -> None:
    """The same in float32: losses and norms stay close."""
    record = case(name)
    run = trajectory(record, torch.float32, device, fused)
    expected = record["expected"]
    assert run.losses == pytest.approx(expected["loss_per_micro_step_fp64"], rel=1e-3)
    assert run.norms == pytest.approx(expected["grad_norm_before_clip_per_micro_step_fp64"], rel=5e-2)
