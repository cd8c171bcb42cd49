"""Twenty micro-steps of pre-training follow the released loop: model, groups, schedule and AdamW together."""

import pytest
import torch
from official import case, masked_loss, our_name, our_state, simmim_model, tensors

from simmim.train.parameter_groups import parameter_groups
from simmim.train.schedule import learning_rate

CASES = "traj_swin_a", "traj_swin_a_accum2_clip"


def _train(record, dtype):
    """The released loop; its oddities (rates one step late, clipping at every micro-step) live here, not in ours."""
    settings, batches = record["settings"], tensors("traj_swin_a")
    model = simmim_model(settings["model_settings"])
    model.load_state_dict(our_state(tensors("mim_swin_a", "weights")), strict=True)
    model.to(dtype)
    skip = model.encoder.no_weight_decay(pretraining=True)
    groups = parameter_groups(model, "encoder.", settings["weight_decay"], 1.0, skip)
    optimizer = torch.optim.AdamW(groups, betas=settings["betas"], eps=settings["eps"])
    per_epoch, every = settings["iterations_per_epoch"], max(1, settings["accumulation_steps"])
    losses, norms, rates, lagging = [], [], [], 0
    for step in range(settings["epochs"] * per_epoch):
        images = batches["input.images"][step % per_epoch].to(dtype)
        loss = masked_loss(model, images, batches["input.masks"][step % per_epoch].bool())
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
    return model, losses, norms, rates


@pytest.mark.parametrize("name", CASES)
def test_float64_repeats_the_released_run(name):
    record = case(name)
    model, losses, norms, rates = _train(record, torch.float64)
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
            torch.testing.assert_close(parameter.data, value, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_close_to_it(name):
    record = case(name)
    _, losses, norms, _ = _train(record, torch.float32)
    expected = record["expected"]
    assert losses == pytest.approx(expected["loss_per_micro_step_fp64"], rel=1e-3)
    assert norms == pytest.approx(expected["grad_norm_before_clip_per_micro_step_fp64"], rel=5e-2)
