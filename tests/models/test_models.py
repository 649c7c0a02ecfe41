"""All registered networks, our own network, and weights files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from network_contract import NetworkContract
from torch.nn import functional as F

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.checkpoint import FORMAT, load_model, read_tensors, write_tensors
from saywhere.models.layers.clicks import ClickTensors, similarity
from saywhere.models.layers.convolutions import SplitConv1x1
from saywhere.models.saywhere import Saywhere
from saywhere.training.initialise import expand

CLICK = Prompt((Click(10, 12),))


class TestEveryNetwork(NetworkContract):
    """The contract for all registered networks."""


OURS: dict[str, Any] = {"widths": (8, 8, 16, 16), "key": 8}


class TestOurs:
    def test_the_comparison_with_clicks_is_optional(self) -> None:
        model = Saywhere(key=0, widths=(8, 8, 16, 16)).eval()
        assert model.keys is None
        assert model(torch.rand(1, 3, 64, 64), [CLICK]).shape == (1, 1, 64, 64)

    def test_a_split_convolution_equals_one_of_the_concatenated_maps(self) -> None:
        layer = SplitConv1x1((3, 2, 0, 1), 4)
        layer.bias = torch.nn.Parameter(torch.rand(4))  # as after a batch norm was fused
        first, *others = torch.rand(1, 3, 5, 6), *(torch.rand(1, channels, 10, 12) for channels in (2, 0, 1))
        enlarged = F.interpolate(first, scale_factor=2, mode="bilinear", align_corners=False)
        expected = F.conv2d(torch.cat([enlarged, *others], 1), layer.weight, layer.bias)
        enlarged = F.interpolate(layer.project(first), scale_factor=2, mode="bilinear", align_corners=False)
        assert torch.allclose(expected, layer((enlarged, *others)), atol=1e-6)

    def test_a_new_neck_changes_nothing_and_a_trained_one_relates_distant_cells(self) -> None:
        torch.manual_seed(0)
        without, with_neck = Saywhere(**OURS).eval(), Saywhere(**OURS, neck=2).eval()
        with_neck.load_state_dict(expand(without.state_dict(), with_neck.state_dict(), ("neck.",)))
        image = torch.rand(1, 3, 96, 160)
        assert with_neck.neck is not None
        with torch.no_grad():
            assert torch.equal(without(image, [CLICK]), with_neck(image, [CLICK]))
            for layer in with_neck.neck.leave:
                torch.nn.init.normal_(layer.weight)
            levels = [torch.rand(1, c, 96 // s, 160 // s) for c, s in ((32, 8), (96, 16), (320, 32))]
            changed = [level.clone() for level in levels]
            changed[1][..., 0, 0] += 1.0
            before, after = with_neck.neck(*levels), with_neck.neck(*changed)
            for level, old, new in zip(levels, before, after, strict=True):
                assert old.shape == level.shape
                assert not torch.allclose(old[..., -1, -1], new[..., -1, -1], atol=1e-7)

    def test_gradient_reaches_all_parameters_of_a_neck(self) -> None:
        model = Saywhere(**OURS, neck=1).train()
        assert model.neck is not None
        for layer in model.neck.leave:
            torch.nn.init.normal_(layer.weight)
        model(torch.rand(2, 3, 64, 64), [CLICK, CLICK]).square().mean().backward()
        assert [n for n, p in model.neck.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []

    def test_a_neck_without_blocks_is_an_error(self) -> None:
        with pytest.raises(SaywhereError, match="neck of -1 blocks"):
            Saywhere(**OURS, neck=-1)

    def test_a_cell_is_most_similar_to_the_click_on_it(self) -> None:
        model = Saywhere().eval()
        with torch.inference_mode():
            features = model.encode(torch.rand(1, 3, 128, 128))
            clicks = ClickTensors.from_prompts([Prompt((Click(3.5, 59.5),))], torch.device("cpu"))
            positive, negative = similarity(features.levels["keys"][0], clicks.points, clicks.labels, 8)[0]
        # Stride 8: the click lies at the centre of cell (7, 0).
        assert positive[7, 0] == pytest.approx(1.0, abs=1e-5)
        assert positive.max() <= 1.0 + 1e-5
        assert (negative == 0.0).all()

    def test_similarity_is_to_the_most_similar_click_of_each_sign(self) -> None:
        level = F.normalize(torch.rand(2, 5, 4, 6) - 0.5, dim=1)
        clicks = Click(3.5, 3.5), Click(43.5, 19.5), Click(19.5, 27.5, False)  # stride 8: cells (0, 0), (2, 5), (3, 2)
        batch = ClickTensors.from_prompts([Prompt(clicks), Prompt(clicks[:1])], level.device)
        computed = similarity(level, batch.points, batch.labels, 8)
        first, second, negative = (
            torch.einsum("bchw,bc->bhw", level, level[:, :, y, x]) for y, x in ((0, 0), (2, 5), (3, 2))
        )
        assert torch.allclose(computed[0, 0], torch.maximum(first, second)[0], atol=1e-5)
        assert torch.allclose(computed[0, 1], negative[0], atol=1e-5)
        assert torch.allclose(computed[1, 0], first[1], atol=1e-5)
        assert (computed[1, 1] == 0.0).all()

    def test_the_backbones_batch_norm_statistics_are_frozen_in_training(self) -> None:
        model = Saywhere().train()
        before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
        model(torch.rand(2, 3, 64, 64), [CLICK, CLICK])
        assert all(torch.equal(before[k], v) for k, v in model.encoder.state_dict().items())

    def test_an_unknown_backbone_is_an_error(self) -> None:
        with pytest.raises(SaywhereError, match="mobilnet"):
            Saywhere(backbone="mobilnet")


class TestFiles:
    def write(self, path: Path, **metadata: object) -> Path:
        write_tensors(path, {"a": torch.zeros(2)}, metadata)
        return path

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="no such file"):
            load_model(tmp_path / "none.safetensors")

    @pytest.mark.parametrize("keep", [0, 5, 60])
    def test_cut_short(self, tmp_path: Path, keep: int) -> None:
        path = self.write(tmp_path / "w.safetensors", format=FORMAT, model="saywhere", options={})
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(SaywhereError, match="cut short"):
            load_model(path)

    def test_a_pickle_is_not_opened(self, tmp_path: Path) -> None:
        path = tmp_path / "w.pt"
        torch.save({"a": torch.zeros(2)}, path)
        with pytest.raises(SaywhereError, match="not a safetensors file"):
            load_model(path)

    def test_another_architecture(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "w.safetensors", format=FORMAT, model="saywhere", options={})
        with pytest.raises(SaywhereError, match=r"another architecture.*lacks.*does not know a"):
            load_model(path)

    def test_another_format_or_model(self, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="not saywhere weights"):
            load_model(self.write(tmp_path / "w.safetensors"))
        with pytest.raises(SaywhereError, match="choose one of"):
            load_model(self.write(tmp_path / "w.safetensors", format=FORMAT, model="other", options={}))
        with pytest.raises(SaywhereError, match="colour"):
            load_model(self.write(tmp_path / "w.safetensors", format=FORMAT, model="saywhere", options={"colour": 1}))

    def test_a_failed_write_does_not_change_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = self.write(tmp_path / "w.safetensors", step=1)
        before = path.read_bytes()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(SaywhereError, match="No space left"):
            self.write(path, step=2)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        assert read_tensors(path)[1]["step"] == 1
