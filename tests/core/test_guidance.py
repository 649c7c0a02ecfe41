import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saywhere import Click, Prompt, SaywhereError
from saywhere.core import guidance
from saywhere.models.layers.clicks import ClickTensors
from saywhere.models.layers.guidance import gaussian_maps

clicks = st.lists(
    st.builds(Click, x=st.integers(0, 19), y=st.integers(0, 14), radius=st.none() | st.floats(1, 30)), max_size=4
)


def test_euclidean_is_the_distance_to_the_nearest_click() -> None:
    drawn = guidance.euclidean([Click(1, 1), Click(9, 1)], (5, 12))
    assert drawn[1, 1] == 0.0
    assert drawn[1, 4] == 3.0
    assert drawn[1, 8] == 1.0
    assert drawn[4, 5] == pytest.approx(5.0)  # 3 rows and 4 columns from either


def test_euclidean_is_truncated_and_at_its_limit_without_clicks() -> None:
    assert guidance.euclidean([Click(0, 0)], (1, 400), limit=255.0)[0, 399] == 255.0
    assert (guidance.euclidean([], (2, 3)) == 255.0).all()


def test_gaussian_by_hand() -> None:
    drawn = guidance.gaussian([Click(0, 0)], (1, 31), sigma=10.0)
    assert drawn[0, 0] == 1.0
    assert drawn[0, 10] == pytest.approx(math.exp(-0.5))
    assert drawn[0, 20] == pytest.approx(math.exp(-2.0))


def test_disk_is_one_inside_and_zero_outside() -> None:
    drawn = guidance.disk([Click(10, 0)], (1, 21), radius=5.0)
    assert drawn[0, 6] == drawn[0, 14] == 1.0
    assert drawn[0, 4] == drawn[0, 16] == 0.0


def test_dynamic_uses_each_clicks_radius() -> None:
    # DCT-Net equation 2: at its own radius each Gaussian is exp(-2), at half of it exp(-1/2).
    drawn = guidance.dynamic([Click(0, 0, True, 4.0), Click(40, 0, True, 10.0)], (1, 60))
    assert drawn[0, 4] == pytest.approx(math.exp(-2.0))
    assert drawn[0, 2] == pytest.approx(math.exp(-0.5))
    assert drawn[0, 50] == pytest.approx(math.exp(-2.0))
    assert drawn[0, 45] == pytest.approx(math.exp(-0.5))


def test_dynamic_draws_only_drags() -> None:
    assert (guidance.dynamic([Click(3, 3)], (8, 8)) == 0.0).all()


def test_a_map_with_a_stride_has_the_values_at_the_cell_centres() -> None:
    # With stride 4 the centre of cell 0 lies on the edge between pixels 1 and 2.
    coarse = guidance.euclidean([Click(1.5, 1.5)], (2, 2), stride=4)
    assert coarse[0, 0] == 0.0
    assert coarse[0, 1] == 4.0
    assert coarse[1, 1] == pytest.approx(math.sqrt(32.0))


def test_maps_has_a_channel_for_each_sign() -> None:
    drawn = guidance.maps(Prompt((Click(2, 2), Click(7, 2, False))), (5, 10), "gaussian", sigma=1.0)
    assert drawn.shape == (2, 5, 10)
    assert drawn[0].argmax() == 2 * 10 + 2
    assert drawn[1].argmax() == 2 * 10 + 7


def test_an_unknown_map_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(SaywhereError, match=r"squares.*euclidean, gaussian, disk, dynamic"):
        guidance.maps(Prompt(), (2, 2), "squares")


@pytest.mark.parametrize("kind", sorted(guidance.GUIDANCE))
@given(drawn_clicks=clicks)
def test_every_map_is_finite_and_does_not_depend_on_the_order(kind: str, drawn_clicks: list[Click]) -> None:
    draw = guidance.GUIDANCE[kind]
    drawn = draw(drawn_clicks, (15, 20))
    assert drawn.dtype == np.float32
    assert drawn.shape == (15, 20)
    assert np.isfinite(drawn).all()
    assert np.array_equal(drawn, draw(drawn_clicks[::-1], (15, 20)))
    if kind != "euclidean":
        assert drawn.min() >= 0.0
        assert drawn.max() <= 1.0


@pytest.mark.parametrize("stride", [1, 4])
def test_a_batch_on_the_device_equals_the_maps_of_each_prompt(stride: int) -> None:
    drags = Click(3, 4, True, 9.0), Click(20, 11, False, 3.0), Click(14, 2, True, 2.0)
    prompts = [Prompt(drags), Prompt(), Prompt((Click(7, 7), Click(1, 12, False))), Prompt(drags[:1], "dog")]
    shape = 16 // stride, 24 // stride
    for kind, sigma in (("gaussian", 5.0), ("dynamic", None)):
        batch = ClickTensors.from_prompts(prompts, torch.device("cpu"))
        sigmas = 0.5 * batch.radii if sigma is None else torch.full_like(batch.radii, sigma)
        maps = gaussian_maps(batch.points, batch.labels, sigmas, shape, stride).numpy()
        parameters = {} if sigma is None else {"sigma": sigma}
        single = np.stack([guidance.maps(prompt, shape, kind, stride, **parameters) for prompt in prompts])
        assert np.allclose(maps, single, atol=1e-6)
        assert maps.max() > 0.5
