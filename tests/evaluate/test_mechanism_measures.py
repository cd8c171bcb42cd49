"""What the mechanism measures, of maps whose values are known."""

import math

import pytest
import torch

from simmim.evaluate.mechanism.layout import Layout
from simmim.evaluate.mechanism.measures import (
    among_tokens,
    attention_distance,
    attention_nmi,
    cka,
    diagonal_frequencies,
    fourier_log_amplitude,
)

# A row of three tokens of 8 px and a class token before them, which stands nowhere.
PLACES = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [0.0, 8.0], [0.0, 16.0]]])
SEEN = torch.tensor([False, True, True, True])
ROW = Layout(PLACES, (SEEN[:, None] & SEEN)[None])
# A window of four tokens, of which a shift has brought together two and two.
SHIFTED = Layout(torch.rand(1, 4, 2), torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()[None])


def attention(*rows, layout=ROW):
    """One image and head from rows of weights."""
    return among_tokens(torch.tensor([[rows]]), layout)


def plain(tokens):
    return Layout(torch.rand(1, tokens, 2), torch.ones(1, tokens, tokens, dtype=torch.bool))


class TestAttention:
    def test_class_tokens_are_left_out_and_the_rest_sums_to_one(self):
        found = attention([0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0, 0], [0.2, 0.2, 0.2, 0.4], [0.0, 0, 0, 1])
        expected = torch.tensor([[0.0, 0, 0, 0], [0, 1, 0, 0], [0, 0.25, 0.25, 0.5], [0, 0, 0, 1]])
        torch.testing.assert_close(found[0, 0, 0], expected)

    def test_distance_in_pixels(self):
        """The first looks 16 px away, the second half at itself and half 8 px away, the third at itself."""
        found = attention([1.0, 0, 0, 0], [0, 0, 0, 1.0], [0, 0, 0.5, 0.5], [0, 0, 0, 1.0])
        assert attention_distance(found, ROW).tolist() == [[pytest.approx((16 + 4 + 0) / 3)]]

    def test_distance_is_euclidean(self):
        layout = Layout(torch.tensor([[[0.0, 0.0], [12.0, 16.0]]]), torch.ones(1, 2, 2, dtype=torch.bool))
        assert attention_distance(attention([0.0, 1.0], [0.0, 1.0], layout=layout), layout).item() == 10

    def test_every_window_and_head_counts(self):
        layout = Layout(PLACES[:, 1:].expand(2, 3, 2), torch.ones(2, 3, 3, dtype=torch.bool))
        near, far = torch.eye(3), torch.tensor([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
        weights = torch.stack([torch.stack([near, far]), torch.stack([near, near])])  # two windows of two heads
        assert attention_distance(among_tokens(weights, layout), layout)[0].tolist() == pytest.approx([0, 32 / 6])

    @pytest.mark.parametrize("tokens", [2, 7])
    def test_mutual_information_is_0_where_no_query_matters_and_1_where_each_has_its_key(self, tokens):
        layout = plain(tokens)
        same = torch.rand(tokens, generator=torch.Generator().manual_seed(0)).softmax(0).expand(tokens, tokens)
        one_key = torch.eye(tokens)[[0] * tokens]
        for weights in (torch.full((tokens, tokens), 1 / tokens), same, one_key):
            alike = attention(*weights.tolist(), layout=layout)
            assert attention_nmi(alike, layout).item() == pytest.approx(0, abs=1e-5)
        for order in (torch.arange(tokens), torch.arange(tokens).flip(0)):
            own = attention(*torch.eye(tokens)[order].tolist(), layout=layout)
            assert attention_nmi(own, layout).item() == pytest.approx(1, abs=1e-6)

    def test_mutual_information_by_hand(self):
        """p(q, k) = [[3, 1], [1, 3]] / 8: I = 1 - H(1/4) bits, and both entropies are one bit."""
        layout = plain(2)
        bits = 1 + 0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)
        found = attention_nmi(attention([0.75, 0.25], [0.25, 0.75], layout=layout), layout)
        assert found.item() == pytest.approx(bits, rel=1e-5)

    def test_a_shift_of_windows_tells_nothing_of_a_query(self):
        """Tokens of two halves cannot see each other: that is no information that attention has."""
        uniform = torch.block_diag(torch.full((2, 2), 0.5), torch.full((2, 2), 0.5))
        assert attention_nmi(attention(*uniform.tolist(), layout=SHIFTED), SHIFTED).item() == pytest.approx(0, abs=1e-5)
        own = attention(*torch.eye(4).tolist(), layout=SHIFTED)
        assert attention_nmi(own, SHIFTED).item() == pytest.approx(1, abs=1e-6)

    def test_a_token_that_sees_only_itself_is_not_counted(self):
        layout = Layout(torch.rand(1, 3, 2), torch.block_diag(torch.ones(2, 2), torch.ones(1, 1)).bool()[None])
        found = attention([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], layout=layout)
        assert attention_nmi(found, layout).item() == pytest.approx(1, abs=1e-6)


class TestFrequencies:
    @pytest.mark.parametrize("step", [1, 3, 4])
    def test_a_wave_along_the_diagonal_has_its_own_frequency_only(self, step):
        rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
        wave = 5 + torch.cos(2 * math.pi * step * (rows + columns) / 8)
        found = fourier_log_amplitude(wave[None, None])[0]
        amplitude = 64 if step == 4 else 32  # at the highest frequency both halves of the spectrum meet
        expected = [math.log((amplitude if k == step else 0) + 1e-6) - math.log(5 * 64) for k in (1, 2, 3, 4)]
        high = step - 1
        assert found[high].item() == pytest.approx(expected[high], abs=1e-4)
        assert all(found[k] < -15 for k in range(4) if k != high)

    def test_it_does_not_depend_on_the_scale(self):
        x = torch.randn(2, 3, 12, 12)
        torch.testing.assert_close(fourier_log_amplitude(x), fourier_log_amplitude(100 * x), atol=1e-4, rtol=1e-4)

    def test_noise_has_more_of_high_frequencies_than_what_is_smooth(self):
        noise = 1 + torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        smooth = torch.nn.functional.avg_pool2d(noise, 5, 1, 2)
        assert (fourier_log_amplitude(noise)[:, -1] > fourier_log_amplitude(smooth)[:, -1]).all()

    @pytest.mark.parametrize(
        "size, shares", [((8, 8), [0.25, 0.5, 0.75, 1]), ((4, 8), [0.5, 1]), ((7, 7), [1 / 3, 2 / 3, 1]), ((1, 1), [])]
    )
    def test_frequencies_go_up_to_the_highest_of_the_map(self, size, shares):
        assert diagonal_frequencies(*size) == pytest.approx(shares)
        assert fourier_log_amplitude(torch.randn(2, 3, *size)).shape == (2, len(shares))


class TestCka:
    @pytest.fixture
    def x(self):
        return torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def test_a_block_is_like_itself_rotated_scaled_and_moved(self, x):
        rotation, _ = torch.linalg.qr(x[:6])
        found = cka([x, x @ rotation, 3 * x + 7, torch.cat([x, torch.zeros(20, 5)], dim=1)])
        torch.testing.assert_close(found, torch.ones(4, 4, dtype=torch.float64))

    def test_it_is_no_other_linear_map(self, x):
        stretched = x * torch.tensor([10.0, 1, 1, 1, 1, 1])
        assert 0.1 < cka([x, stretched])[0, 1] < 0.9

    def test_blocks_that_have_nothing_in_common_are_unlike_though_wide(self):
        """Without the correction they would have 0.9: 500 channels tell 40 images apart, whatever they are."""
        generator = torch.Generator().manual_seed(0)
        one, other = torch.randn(2, 40, 500, generator=generator, dtype=torch.float64)
        assert abs(cka([one, other])[0, 1]) < 0.1
        grams = [(each - each.mean(0)) @ (each - each.mean(0)).T for each in (one, other)]
        assert (grams[0] * grams[1]).sum() / (grams[0].norm() * grams[1].norm()) > 0.8

    def test_hsic_is_the_unbiased_estimate(self, x):
        """Song et al.: [tr(K L) + 1'K1 1'L1 / ((n - 1)(n - 2)) - 2 1'KL1 / (n - 2)] / (n (n - 3)), diagonals zero."""
        y, n = x.square(), len(x)
        grams = [(each @ each.T).fill_diagonal_(0) for each in (x, y)]

        def hsic(one, other):
            a, b = grams[one], grams[other]
            return (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 * (a @ b).sum() / (n - 2)

        expected = hsic(0, 1) / (hsic(0, 0) * hsic(1, 1)).sqrt()
        assert cka([x, y])[0, 1].item() == pytest.approx(expected.item())

    def test_three_images_are_too_few(self, x):
        for first in range(10):
            assert cka([x[first : first + 3], x[first : first + 3].square()]).isnan().all()
            assert cka([x[first : first + 4], x[first : first + 4].square()]).isfinite().all()
