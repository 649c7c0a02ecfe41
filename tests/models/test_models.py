"""Every registered network, our own, and weights on disk."""

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
from saywhere.models.saywhere import Saywhere, SplitConv1x1
from saywhere.training.initialise import expand

CLICK = Prompt((Click(10, 12),))


class TestEveryNetwork(NetworkContract):
    """Every network by registration."""


OURS: dict[str, Any] = {"widths": (8, 8, 16, 16), "key": 8}


class TestOurs:
    def test_parts_can_be_left_out(self) -> None:
        model = Saywhere(key=0, widths=(8, 8, 16, 16)).eval()
        assert model.keys is None
        assert model(torch.rand(1, 3, 64, 64), [CLICK]).shape == (1, 1, 64, 64)

    def test_maps_meet_as_if_they_lay_side_by_side(self) -> None:
        layer = SplitConv1x1((3, 2, 0, 1), 4)
        layer.bias = torch.nn.Parameter(torch.rand(4))  # as where a batch norm was folded
        first, *others = torch.rand(1, 3, 5, 6), *(torch.rand(1, channels, 10, 12) for channels in (2, 0, 1))
        enlarged = F.interpolate(first, scale_factor=2, mode="bilinear", align_corners=False)
        together = F.conv2d(torch.cat([enlarged, *others], 1), layer.weight, layer.bias)
        enlarged = F.interpolate(layer.project(first), scale_factor=2, mode="bilinear", align_corners=False)
        assert torch.allclose(together, layer((enlarged, *others)), atol=1e-6)

    def test_a_neck_at_first_changes_nothing_and_then_relates_far_places(self) -> None:
        torch.manual_seed(0)
        plain, necked = Saywhere(**OURS).eval(), Saywhere(**OURS, neck=2).eval()
        necked.load_state_dict(expand(plain.state_dict(), necked.state_dict(), ("neck.",)))
        image = torch.rand(1, 3, 96, 160)
        assert necked.neck is not None
        with torch.no_grad():
            assert torch.equal(plain(image, [CLICK]), necked(image, [CLICK]))
            for layer in necked.neck.leave:
                torch.nn.init.normal_(layer.weight)
            levels = [torch.rand(1, c, 96 // s, 160 // s) for c, s in ((32, 8), (96, 16), (320, 32))]
            changed = [level.clone() for level in levels]
            changed[1][..., 0, 0] += 1.0
            one, other = necked.neck(*levels), necked.neck(*changed)
            for before, a, b in zip(levels, one, other, strict=True):
                assert a.shape == before.shape
                assert not torch.allclose(a[..., -1, -1], b[..., -1, -1], atol=1e-7)

    def test_all_of_a_neck_learns(self) -> None:
        model = Saywhere(**OURS, neck=1).train()
        assert model.neck is not None
        for layer in model.neck.leave:
            torch.nn.init.normal_(layer.weight)
        model(torch.rand(2, 3, 64, 64), [CLICK, CLICK]).square().mean().backward()
        assert [n for n, p in model.neck.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []

    def test_a_neck_without_blocks_is_refused(self) -> None:
        with pytest.raises(SaywhereError, match="neck of -1 blocks"):
            Saywhere(**OURS, neck=-1)

    def test_a_pixel_is_most_like_the_click_on_it(self) -> None:
        model = Saywhere().eval()
        with torch.inference_mode():
            features = model.encode(torch.rand(1, 3, 128, 128))
            clicks = ClickTensors.of([Prompt((Click(3.5, 59.5),))], torch.device("cpu"))
            positive, negative = similarity(features.levels["keys"][0], clicks.points, clicks.labels, 8)[0]
        # Stride 8: the click lies at the centre of cell (7, 0).
        assert positive[7, 0] == pytest.approx(1.0, abs=1e-5)
        assert positive.max() <= 1.0 + 1e-5
        assert (negative == 0.0).all()

    def test_likeness_is_to_the_most_alike_click_of_each_sign(self) -> None:
        level = F.normalize(torch.rand(2, 5, 4, 6) - 0.5, dim=1)
        clicks = Click(3.5, 3.5), Click(43.5, 19.5), Click(19.5, 27.5, False)  # stride 8: cells (0, 0), (2, 5), (3, 2)
        batch = ClickTensors.of([Prompt(clicks), Prompt(clicks[:1])], level.device)
        found = similarity(level, batch.points, batch.labels, 8)
        first, second, off = (
            torch.einsum("bchw,bc->bhw", level, level[:, :, y, x]) for y, x in ((0, 0), (2, 5), (3, 2))
        )
        assert torch.allclose(found[0, 0], torch.maximum(first, second)[0], atol=1e-5)
        assert torch.allclose(found[0, 1], off[0], atol=1e-5)
        assert torch.allclose(found[1, 0], first[1], atol=1e-5)
        assert (found[1, 1] == 0.0).all()

    def test_the_backbone_keeps_its_statistics_in_training(self) -> None:
        model = Saywhere().train()
        before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
        model(torch.rand(2, 3, 64, 64), [CLICK, CLICK])
        assert all(torch.equal(before[k], v) for k, v in model.encoder.state_dict().items())

    def test_an_unknown_backbone_is_named(self) -> None:
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

    def test_a_failed_write_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
