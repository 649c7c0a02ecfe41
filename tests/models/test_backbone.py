"""The backbone factory, ImageNet's normalisation and padding."""

from __future__ import annotations

import pytest
import torch

from saywhere import SaywhereError
from saywhere.models.backbone import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageNetNormalisation,
    create_backbone,
    pad_to_multiple,
)  # fmt: skip
from saywhere.training.pretrained import select


class TestCreateBackbone:
    def test_it_returns_the_chosen_stages(self) -> None:
        backbone, channels = create_backbone("mobilenetv2_050", (4, 8), (1, 2), in_channels=5)
        maps = backbone(torch.rand(1, 5, 64, 96))
        assert [tuple(x.shape) for x in maps] == [(1, channels[0], 16, 24), (1, channels[1], 8, 12)]

    def test_later_stages_keep_the_output_stride(self) -> None:
        backbone, _ = create_backbone("mobilenetv2_050", (8,), (4,), output_stride=8)
        assert backbone(torch.rand(1, 3, 64, 64))[0].shape[-2:] == (8, 8)

    def test_a_vgg_is_dilated_and_takes_timms_weights(self) -> None:
        backbone, channels = create_backbone("vgg11", (8,), (4,), in_channels=4, output_stride=8)
        assert channels == [512]
        assert backbone(torch.rand(1, 4, 64, 96))[0].shape == (1, 512, 8, 12)
        convolutions = [m for m in backbone.modules() if isinstance(m, torch.nn.Conv2d)]
        assert [m.dilation[0] for m in convolutions] == [1, 1, 1, 1, 1, 1, 2, 2]
        names = [name.replace("features_", "features.") for name in backbone.state_dict()]
        state = {
            name: torch.zeros_like(value) for name, value in zip(names, backbone.state_dict().values(), strict=True)
        }
        assert select(state, backbone.state_dict()).keys() == backbone.state_dict().keys()

    def test_an_unknown_name_is_rejected(self) -> None:
        with pytest.raises(SaywhereError, match=r"mobilnet.*timm\.list_models"):
            create_backbone("mobilnet", (4,), (1,))

    def test_other_strides_are_rejected(self) -> None:
        with pytest.raises(SaywhereError, match=r"strides \[4, 8\]: one with 2, 4 is needed"):
            create_backbone("mobilenetv2_050", (2, 4), (1, 2))


class TestInput:
    def test_normalisation_gives_zero_mean_and_unit_deviation(self) -> None:
        layer = ImageNetNormalisation()
        image = torch.tensor([IMAGENET_MEAN, [m + s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]])
        assert torch.allclose(layer(image.T[None, :, :, None]).squeeze(), torch.tensor([[0.0, 1.0]] * 3), atol=1e-6)
        assert layer.state_dict() == {}

    def test_padding_repeats_the_border(self) -> None:
        image = torch.arange(6.0).reshape(1, 1, 2, 3)
        padded = pad_to_multiple(image, 4)
        assert padded.shape == (1, 1, 4, 4)
        assert padded[0, 0, 3].tolist() == [3.0, 4.0, 5.0, 5.0]
        assert pad_to_multiple(padded, 4) is padded
