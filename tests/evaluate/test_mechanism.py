"""The mechanism sees the attention that encoders compute, where its tokens stand, and what of it is recorded."""

import numpy as np
import pytest
import torch
from drawn_sets import HEADER
from encoders.small import SMALL as SMALL_ENCODERS
from evaluation_tasks import task_of
from evaluations import made_sets

from simmim import plugin
from simmim.data.classification import scoring_images
from simmim.data.shards import Shards
from simmim.evaluate.mechanism.layout import layouts_of
from simmim.evaluate.mechanism.measures import among_tokens, attention_distance
from simmim.evaluate.mechanism.observer import Observer
from simmim.evaluate.mechanism.settings import MechanismSettings
from simmim.layers.attention_maps import AttentionMaps
from simmim.layers.normaliser import ImageNormaliser
from simmim.layers.swin_blocks import PadFirst

WINDOWED = ("swin", "swin_v2")
WITH_ATTENTION = (*WINDOWED, "vit")


def encoder_of(name, image_px=(64, 64), **settings):
    """An encoder far from its start values, where attention is nearly uniform."""
    torch.manual_seed(0)
    section = plugin.Component(name=name, **SMALL_ENCODERS[name] | settings)
    encoder = plugin.build("encoders", section, image_px=image_px, in_channels=3).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return encoder


def values_of(module, x):
    """Values of every head and token, [b, heads, n, d / heads], by the module's own weights."""
    bias = module.qkv.bias
    if bias is None:
        bias = torch.cat((module.q_bias, torch.zeros_like(module.q_bias), module.v_bias))
    qkv = torch.nn.functional.linear(x, module.qkv.weight, bias)
    return qkv.unflatten(2, (3, module.num_heads, -1)).permute(2, 0, 3, 1, 4)[2]


@torch.inference_mode()
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", WITH_ATTENTION)
def test_the_attention_seen_times_values_is_what_the_block_puts_out(name, fused):
    encoder, weights, given, put_out = encoder_of(name), [], [], []
    modules = [module for module in encoder.modules() if hasattr(module, "qkv")]
    for module in modules:
        if fused and not hasattr(module, "fused_attn"):
            pytest.skip("it has no fused kernel")
        module.fused_attn = fused
        module.register_forward_hook(lambda _, inputs, x: given.append(inputs[0]) or put_out.append(x))
    images = torch.randn(2, 3, 64, 64)
    with AttentionMaps(lambda each, number: weights.append((number, each))):
        seen = list(encoder.block_maps(images))
    assert [number for number, _ in weights] == list(range(encoder.depth)) and len(modules) == encoder.depth
    for module, (_, each), x, out in zip(modules, weights, given, put_out):
        torch.testing.assert_close(each.sum(dim=-1), torch.ones(each.shape[:-1]))
        mixed = module.proj((each @ values_of(module, x)).transpose(1, 2).flatten(2))
        torch.testing.assert_close(mixed, out, atol=1e-5, rtol=1e-4)
    for one, other in zip(seen, encoder.block_maps(images)):
        assert torch.equal(one, other), "looking changes nothing"


@torch.inference_mode()
@pytest.mark.parametrize("clamp_window", [True, False])
@pytest.mark.parametrize("image_px", [(64, 64), (72, 48), (40, 56)])
@pytest.mark.parametrize("name", WINDOWED)
def test_the_layout_says_where_the_tokens_of_every_window_stand(name, image_px, clamp_window):
    """What a token mixes of its keys is what the block puts out at its place on the map."""
    encoder = encoder_of(name, image_px, clamp_window=clamp_window)
    blocks = [module for module in encoder.modules() if isinstance(module, PadFirst)]
    grids = [x.shape[2:] for x in encoder.block_maps(torch.zeros(1, 3, *image_px))]
    layouts = layouts_of(encoder, 3)
    strides = [4 * 2**stage for stage, count in enumerate(SMALL_ENCODERS[name]["depths"]) for _ in range(count)]
    for block, layout, (height, width), stride in zip(blocks, layouts, grids, strides, strict=True):
        x, weights, windows = torch.randn(2, height, width, block.dim), [], []
        handle = block.attn.register_forward_pre_hook(lambda _, inputs, windows=windows: windows.append(inputs[0]))
        with AttentionMaps(lambda each, _, weights=weights: weights.append(each)):
            expected = block._attn(x)
        handle.remove()
        is_token = layout.pairs.any(dim=-1)
        rows, columns = (layout.places[is_token] / stride).long().unbind(dim=-1)
        assert len({*zip(rows.tolist(), columns.tolist())}) == len(rows) == height * width, "each once"
        heads = weights[0] @ values_of(block.attn, windows[0])
        mixed = block.attn.proj(heads.transpose(1, 2).flatten(2)).unflatten(0, (2, -1))  # [b, w, n, d]
        found = torch.zeros_like(expected)
        found[:, rows, columns] = mixed[:, is_token]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        pairs = layout.pairs[:, None].expand(-1, weights[0].shape[1], -1, -1)
        for attention in weights[0].unflatten(0, (2, -1)):  # of each image [w, heads, n, n]
            assert (attention[pairs] > 1e-30).all(), "what only the shift made neighbours is no pair"
            assert not is_token.all() or attention[~pairs].sum() < 1e-6, "no attention is lost but to padding"


def test_the_layout_of_a_plain_encoder_is_its_grid_without_the_class_token():
    encoder = encoder_of("vit", (32, 48))
    layouts = layouts_of(encoder, 3)
    assert len(layouts) == len(encoder.blocks)
    for layout in layouts:
        assert layout.pairs.shape == (1, 25, 25) and not layout.pairs[0, 0].any() and not layout.pairs[0, :, 0].any()
        assert layout.pairs[0, 1:, 1:].all()
        assert layout.places[0, 1:].tolist() == [[8 * (i // 6), 8 * (i % 6)] for i in range(24)]


@torch.inference_mode()
def test_attention_to_one_s_own_token_has_no_distance():
    """A ViT whose position table says so: all attention to offset 0, then all to the right neighbour, 8 px away."""
    encoder = encoder_of("vit", (16, 16))
    observer, table = Observer(encoder, ImageNormaliser(**HEADER)), encoder.rel_pos_bias.relative_position_bias_table
    table.zero_()
    table[4] = 1000  # of 3 x 3 offsets
    seen = observer.see(torch.randn(2, 3, 16, 16))
    distances = [x for (metric, _), x in zip(seen.measured, seen.values.T) if metric == "attention_distance"]
    assert len(distances) == 4 * 2 and max(map(torch.max, distances)) == 0
    shared = [x for (metric, _), x in zip(seen.measured, seen.values.T) if metric == "attention_nmi"]
    torch.testing.assert_close(torch.stack(shared), torch.ones(8, 2))
    table[4], table[3:6:2] = 0, 1000  # beside each other, there are no more than two
    seen = observer.see(torch.randn(2, 3, 16, 16))
    assert {round(x, 3) for x in seen.values[:, : len(distances)].flatten().tolist()} == {8.0}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return Shards(made_sets(tmp_path_factory.mktemp("images"), sizes=(("val", 9, 50),))["val"])


def scored(name, shards, seed=0, **settings):
    settings = MechanismSettings(image_px=64, score_crop=0.9, **{"score_batch": 4} | settings)
    return task_of("mechanism", settings, encoder_of(name), shards, seed).score(None, "val")


@pytest.mark.parametrize("name", [*WITH_ATTENTION, "resnet"])
def test_rows_of_every_block_head_frequency_and_pair(name, shards, capsys):
    rows = scored(name, shards)
    encoder = encoder_of(name)
    sides = [x.shape[2] for x in encoder.block_maps(torch.zeros(1, 3, 64, 64))]
    heads = [module.num_heads for module in encoder.modules() if hasattr(module, "qkv")]
    parts = {metric: [part for each, part, _ in rows if each == metric] for metric, _, _ in rows}
    by_head = [f"block {block} head {head}" for block, n in enumerate(heads, 1) for head in range(1, n + 1)]
    assert parts.get("attention_distance", []) == parts.get("attention_nmi", []) == by_head
    by_frequency = [
        f"block {block} frequency {step / (side // 2):.3g}"
        for block, side in enumerate(sides, 1)
        for step in range(1, side // 2 + 1)
    ]
    assert parts["fourier_log_amplitude"] == by_frequency
    assert len(parts["cka"]) == len(sides) * (len(sides) - 1) / 2 and "block 1 block 2" in parts["cka"]
    assert np.isfinite([value for *_, value in rows]).all()
    assert all(0 <= value <= 1 for metric, _, value in rows if metric == "attention_nmi")
    said = "ResNet has no attention map in every block: none is measured" in capsys.readouterr().out
    assert said == (name == "resnet")


def test_the_distance_is_the_mean_over_the_images_drawn(shards):
    encoder, normalise = encoder_of("swin"), ImageNormaliser(**HEADER)
    whole = {row[:2]: row[2] for row in scored("swin", shards)}
    found = []
    with AttentionMaps(lambda each, number: number or found.append(each)), torch.inference_mode():
        [*encoder.block_maps(normalise(scoring_images(shards, range(9), 64, 0.9, 3)))]
    layout = layouts_of(encoder, 3)[0]
    distances = attention_distance(among_tokens(found[0], layout), layout).mean(dim=0)
    for head, distance in enumerate(distances.tolist(), 1):
        assert whole["attention_distance", f"block 1 head {head}"] == pytest.approx(distance, rel=1e-5)


def test_the_seed_draws_the_images_and_a_batch_is_of_no_account(shards):
    whole, again = scored("swin", shards), scored("swin", shards, seed=1, score_batch=3)
    assert [row[:2] for row in whole] == [row[:2] for row in again]
    np.testing.assert_allclose([row[2] for row in whole], [row[2] for row in again], rtol=1e-4, atol=1e-5)
    few, others = (scored("swin", shards, seed=seed, images=5) for seed in (0, 1))
    assert few != others and few != whole and few == scored("swin", shards, images=5)
