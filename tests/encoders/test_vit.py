import math

import pytest
import torch

from simmim.encoders.vit import ViT

SETTINGS = {"patch_px": 8, "embed_dim": 48, "depth": 4, "num_heads": 4}


def _randomised(**settings):
    torch.manual_seed(0)
    encoder = ViT(image_px=(64, 64), **SETTINGS | settings)
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return encoder


def test_one_table_per_block_starts_as_the_shared_one():
    shared = _randomised()
    own = ViT(image_px=(64, 64), shared_bias=False, **SETTINGS)
    own.load_state_dict(own.adapt(shared.state_dict()), strict=True)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(own(images), shared(images))


def test_a_table_per_block_cannot_become_shared():
    own = _randomised(shared_bias=False)
    with pytest.raises(RuntimeError, match="rel_pos_bias"):
        shared = ViT(image_px=(64, 64), **SETTINGS)
        shared.load_state_dict(shared.adapt(own.state_dict()), strict=True)


def test_without_the_final_norm_the_tokens_come_out_as_they_are():
    normed = _randomised()
    plain = ViT(image_px=(64, 64), final_norm=False, **SETTINGS)
    plain.load_state_dict(plain.adapt(normed.state_dict()), strict=True)
    images = torch.randn(2, 3, 64, 64)
    tokens = plain(images)
    expected = normed.norm(tokens.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(normed(images), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(plain.block_features(images)[-1], tokens.mean((2, 3)), rtol=0, atol=1e-5)


def test_the_class_token_takes_part_but_is_not_averaged():
    encoder = _randomised()
    images = torch.randn(2, 3, 64, 64)
    before = encoder.block_features(images)
    encoder.cls_token.data += 1
    assert not torch.equal(before[-1], encoder.block_features(images)[-1])


def test_the_middle_map_is_a_block_output():
    encoder = _randomised()
    images = torch.randn(2, 3, 64, 64)
    maps = encoder.feature_maps(images)
    assert [stride for _, stride in encoder.levels] == [2, 4, 8, 16]
    torch.testing.assert_close(maps[2].mean((2, 3)), encoder.block_features(images)[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("image_px", [(96, 64), (32, 72), (60, 64)])
def test_an_input_that_is_larger_or_no_whole_number_of_tokens_is_refused(image_px):
    assert not _randomised().takes(image_px)
    with pytest.raises(ValueError, match=f"64 x 64 px, the input has {image_px[0]} x {image_px[1]} px"):
        _randomised()(torch.zeros(1, 3, *image_px))


def test_a_smaller_input_is_refused_where_every_block_has_its_own_table():
    assert _randomised().takes((32, 64)) and not _randomised(shared_bias=False).takes((32, 64))
    with pytest.raises(ValueError, match="position tables for 64 x 64 px, the input has 32 x 64 px"):
        _randomised(shared_bias=False)(torch.zeros(1, 3, 32, 64))


@pytest.mark.parametrize("image_px", [(32, 32), (24, 64), (64, 8), (8, 8)])
def test_a_smaller_input_uses_the_rows_of_the_table_that_hold_its_offsets(image_px):
    large = _randomised()
    rows, columns = (side // 8 for side in image_px)
    small = ViT(image_px=image_px, **SETTINGS)
    state = large.state_dict()
    table = state["rel_pos_bias.relative_position_bias_table"]
    offsets = table[:-3].view(15, 15, -1)[8 - rows : 7 + rows, 8 - columns : 7 + columns]
    state["rel_pos_bias.relative_position_bias_table"] = torch.cat([offsets.flatten(0, 1), table[-3:]])
    small.load_state_dict(state, strict=True)
    assert torch.equal(large._bias((rows, columns)), small.rel_pos_bias())
    images = torch.randn(2, 3, *image_px)
    hidden = torch.rand(2, rows, columns) < 0.5
    assert torch.equal(large(images, hidden), small(images, hidden))
    assert all(map(torch.equal, large.feature_maps(images), small.feature_maps(images)))


def test_a_number_of_pixels_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(ValueError, match="multiple of patch_px 8"):
        ViT(image_px=(60, 64), **SETTINGS)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match=r"encoder.num_heads: 5 heads do not divide the 24 channels; .* do: 4 and 6"):
        ViT(image_px=(64, 64), **SETTINGS | {"embed_dim": 24, "num_heads": 5})


def test_start_values():
    torch.manual_seed(0)
    encoder = ViT(image_px=(64, 64), **SETTINGS)
    for weight in (encoder.patch_embed.proj.weight, encoder.blocks[0].mlp.fc1.weight, encoder.cls_token):
        assert weight.abs().max() <= 0.02
    assert encoder.blocks[0].mlp.fc1.weight.abs().max() > 0.019
    for number, block in enumerate(encoder.blocks, start=1):
        for weight in (block.attn.proj.weight, block.mlp.fc2.weight):
            assert weight.abs().max().item() == pytest.approx(0.02 / math.sqrt(2 * number), rel=0.02)
        assert block.gamma_1.eq(0.1).all() and block.gamma_2.eq(0.1).all()
    assert encoder.rel_pos_bias.relative_position_bias_table.eq(0).all()


def test_drop_path_grows_linearly_over_the_blocks():
    encoder = ViT(image_px=(64, 64), drop_path=0.3, **SETTINGS)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in encoder.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])
