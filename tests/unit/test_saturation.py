"""The model of the saturating kernel against the definition of `pmaddubsw`, one sum at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.arithmetic.saturation.kernel import Geometry, accumulate, convolve, excess

sizes = st.integers(1, 4)


def sum_of_pairs(window: np.ndarray, kernel: np.ndarray) -> int:
    """(C, kh, kw) and (C, kh, kw), pair by pair as the instruction does it."""
    total = 0
    for y in range(kernel.shape[1]):
        for x in range(kernel.shape[2]):
            products = [int(a) * int(w) for a, w in zip(window[:, y, x], kernel[:, y, x], strict=True)]
            for pair in range(0, len(products), 2):
                total += max(-32768, min(32767, sum(products[pair : pair + 2])))
    return total


@given(
    st.data(), sizes, st.integers(1, 5), st.integers(1, 3), st.integers(1, 2), st.integers(0, 1), st.integers(0, 255)
)
def test_sums_saturate_pair_by_pair(
    data: st.DataObject, outputs: int, channels: int, kernel: int, stride: int, padding: int, zero_point: int
) -> None:
    activations = data.draw(hnp.arrays(np.int32, (2, channels, 4, 5), elements=st.integers(0, 255)))
    weights = data.draw(hnp.arrays(np.int32, (outputs, channels, kernel, kernel), elements=st.integers(-128, 127)))
    geometry = Geometry((stride, stride), (padding, padding), (padding, padding))
    found = accumulate(activations, weights, geometry, zero_point)
    padded = np.pad(activations, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), constant_values=zero_point)
    for (n, o, y, x), value in np.ndenumerate(found):
        window = padded[n, :, y * stride : y * stride + kernel, x * stride : x * stride + kernel]
        assert value == sum_of_pairs(window, weights[o])


@given(st.data(), st.integers(1, 6), st.integers(1, 3), st.integers(0, 255))
def test_excess_is_what_saturation_adds_to_the_true_sum(
    data: st.DataObject, channels: int, kernel: int, zero_point: int
) -> None:
    activations = data.draw(hnp.arrays(np.int32, (1, channels, 4, 4), elements=st.integers(0, 255)))
    weights = data.draw(hnp.arrays(np.int32, (3, channels, kernel, kernel), elements=st.integers(-128, 127)))
    geometry = Geometry(pads_begin=(1, 1), pads_end=(1, 1))
    true = (
        convolve(activations, weights, geometry, zero_point) + zero_point * weights.sum((1, 2, 3))[None, :, None, None]
    )
    found = excess(activations, weights, geometry, zero_point)
    np.testing.assert_array_equal(accumulate(activations, weights, geometry, zero_point), true + found.sums)
    assert bool(found.channels.sum()) == bool(found.sums.any()) or found.channels.sum() > 1


def test_two_large_products_of_one_sign_lose_what_does_not_fit_16_bits() -> None:
    activations = np.full((1, 2, 1, 1), 255, np.int32)
    weights = np.array([[127, 127], [-128, -128], [127, -128], [64, 64], [-64, -64]], np.int32).reshape(5, 2, 1, 1)
    found = excess(activations, weights, Geometry())
    assert accumulate(activations, weights, Geometry()).ravel().tolist() == [32767, -32768, -255, 32640, -32640]
    assert found.sums.ravel().tolist() == [32767 - 64770, 65280 - 32768, 0, 0, 0]
    assert found.channels.tolist() == [1, 1, 0, 0, 0]
    assert found.pairs == 5


def test_an_odd_last_channel_has_no_partner_to_saturate_with() -> None:
    activations = np.full((1, 3, 1, 1), 255, np.int32)
    weights = np.array([[0, 0, 127], [0, 0, -128]], np.int32).reshape(2, 3, 1, 1)
    assert not excess(activations, weights, Geometry()).sums.any()
