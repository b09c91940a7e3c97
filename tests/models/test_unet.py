from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segfield.models.unet import UNet

PAPER = {"padding": "valid", "up": "transposed", "norm": "none"}


def make(in_channels: int = 1, out_channels: int = 1, width: int = 2, **arguments: Any) -> UNet:
    torch.manual_seed(0)
    return UNet(in_channels, out_channels, width, **arguments).eval()


@pytest.mark.parametrize(
    ("channels", "arguments", "expected"),
    [
        ((1, 2), PAPER, 31_030_658),
        ((3, 1), {}, 17_262_977),  # milesial
        ((3, 2), {}, 17_263_042),
        ((3, 1), {"up": "transposed"}, 31_037_633),
        ((3, 2), {"up": "transposed"}, 31_037_698),
        ((3, 1), {"conv_bias": True}, 17_267_393),  # ML-Drop
        ((3, 1), {"width": 32, "up": "transposed"}, 7_763_041),  # mateuszbuda
    ],
)
def test_parameters_are_as_many_as_in_the_published_network(
    channels: tuple[int, int], arguments: dict[str, Any], expected: int
) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in UNet(*channels, **arguments).parameters()) == expected


def test_original_network_has_exactly_23_convolutions() -> None:
    with torch.device("meta"):
        modules = list(UNet(1, 2, **PAPER).modules())
    kernels = [(type(m).__name__, *m.kernel_size) for m in modules if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(kernels) == 23
    assert kernels.count(("Conv2d", 3, 3)) == 18
    assert kernels.count(("ConvTranspose2d", 2, 2)) == 4
    assert kernels.count(("Conv2d", 1, 1)) == 1


def test_bilinear_upsampling_aligns_corners() -> None:
    upsamplings = [module for module in make().modules() if isinstance(module, nn.Upsample)]
    assert [module.align_corners for module in upsamplings] == [True] * 4


def test_sides_through_the_original_network_are_those_of_the_papers_figure() -> None:
    net = make(border="none", **PAPER)
    sides: list[list[int]] = []

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if not sides or sides[-1][-1] != inputs[0].shape[-1]:
            sides.append([inputs[0].shape[-1]])
        sides[-1].append(output.shape[-1])

    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.register_forward_hook(note)
    with torch.no_grad():
        logits = net(torch.zeros(1, 1, 572, 572))
    figure = "572 570 568|284 282 280|140 138 136|68 66 64|32 30 28|56 54 52|104 102 100|200 198 196|392 390 388"
    assert sides == [[int(side) for side in level.split()] for level in figure.split("|")]
    assert logits.shape == (1, 1, 388, 388)


def test_valid_padding_shrinks_each_side_by_92_pixels() -> None:
    net = make(border="none", **PAPER)
    with torch.no_grad():
        assert net(torch.zeros(1, 1, 188, 220)).shape == (1, 1, 188 - 2 * 92, 220 - 2 * 92)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_same_padding_returns_the_size_of_any_image(depth: int) -> None:
    net = make(depth=depth, out_channels=3)
    with torch.no_grad():
        for side in range(1, 41):
            assert net(torch.rand(2, 1, side, 41 - side)).shape == (2, 3, side, 41 - side)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (188, 188), (97, 64)])
@pytest.mark.parametrize("up", ["transposed", "bilinear"])
def test_mirror_border_returns_the_size_of_any_image(size: tuple[int, int], up: str) -> None:
    net = make(padding="valid", up=up)
    with torch.no_grad():
        assert net(torch.rand(1, 1, *size)).shape == (1, 1, *size)


def numpy_reflect(image: Tensor, size: tuple[int, int]) -> Tensor:
    before = [(outer - inner) // 2 for inner, outer in zip(image.shape[-2:], size, strict=True)]
    border = [(b, outer - inner - b) for b, inner, outer in zip(before, image.shape[-2:], size, strict=True)]
    return torch.from_numpy(np.pad(image.numpy(), [(0, 0), (0, 0), *border], mode="reflect"))


def test_mirror_border_equals_the_bare_network_on_the_image_reflected_by_numpy() -> None:
    mirror, bare = make(**PAPER).double(), make(border="none", **PAPER).double()
    image = torch.rand(1, 1, 31, 60, dtype=torch.float64)
    with torch.no_grad():
        logits = bare(numpy_reflect(image, (220, 252)))  # logits: 36x68
        torch.testing.assert_close(mirror(image), logits[..., 2:33, 4:64], rtol=0, atol=1e-12)


def test_same_padding_equals_the_network_on_the_image_reflected_by_numpy() -> None:
    net = make().double()
    image = torch.rand(1, 1, 3, 45, dtype=torch.float64)
    with torch.no_grad():
        logits = net(numpy_reflect(image, (16, 48)))
        torch.testing.assert_close(net(image), logits[..., 6:9, 1:46], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("depth", "size", "shrink"), [(4, (204, 220), 92), (2, (48, 60), 20)])
def test_mirror_border_agrees_with_none_where_none_has_logits(depth: int, size: tuple[int, int], shrink: int) -> None:
    mirror, bare = make(depth=depth, **PAPER).double(), make(depth=depth, border="none", **PAPER).double()
    image = torch.rand(2, 1, *size, dtype=torch.float64)
    with torch.no_grad():
        centre = mirror(image)[..., shrink:-shrink, shrink:-shrink]
        torch.testing.assert_close(centre, bare(image), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("border", "padding", "size"),
    [("none", "valid", (188, 204)), ("mirror", "valid", (30, 44)), ("mirror", "same", (30, 44))],
)
def test_skips_and_logits_are_centred_on_the_image(border: str, padding: str, size: tuple[int, int]) -> None:
    net, flipped = (make(padding=padding, border=border, up="transposed", norm="none").double() for _ in range(2))
    for module in flipped.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.data = module.weight.data.flip(-1, -2)
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(flipped(image.flip(-1, -2)).flip(-1, -2), net(image), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("depth", "size", "message"),
    [
        (
            4,
            (500, 500),
            'UNet(padding="valid") needs H and W of the form 16k + 12 (>= 188); got 500x500. '
            "Use 492x492 or 508x508 (data.size=[508,508]), model.border=mirror or model=unet.",
        ),
        (
            4,
            (572, 100),
            'UNet(padding="valid") needs H and W of the form 16k + 12 (>= 188); got 572x100. '
            "Use 572x188 (data.size=[572,188]), model.border=mirror or model=unet.",
        ),
        (
            2,
            (50, 48),
            'UNet(padding="valid") needs H and W of the form 4k (>= 44); got 50x48. '
            "Use 48x48 or 52x48 (data.size=[52,48]), model.border=mirror or model=unet.",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_answered_with_the_nearest_that_do(
    depth: int, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match="needs H and W") as error:
        make(depth=depth, border="none", **PAPER)(torch.zeros(1, 1, *size))
    assert str(error.value) == message


def test_wrong_channels_are_named_with_the_key_to_set() -> None:
    with pytest.raises(
        ValueError, match=r"UNet expects images \[N, 3, H, W\]; got \[2, 1, 16, 16\].*data.in_channels=1"
    ):
        make(in_channels=3)(torch.zeros(2, 1, 16, 16))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding": "reflect"}, r"UNet\(padding='reflect'\): expected one of same, valid\."),
        ({"border": "zero"}, r"UNet\(border='zero'\): expected one of mirror, none\."),
        ({"up": "nearest"}, r"UNet\(up='nearest'\): expected one of bilinear, transposed\."),
        ({"norm": "layer"}, r"UNet\(norm='layer'\): expected one of batch, group, none\."),
        ({"norm": None}, r"UNet\(norm=None\): expected one of batch, group, none\."),
        ({"dropout": 1.0}, r"UNet\(dropout=1\.0\): expected a probability, 0 <= dropout < 1"),
        ({"width": 0}, r"UNet\(width=0\): expected 1 or more"),
        ({"depth": 0}, r"UNet\(depth=0\): expected 1 or more"),
        ({"out_channels": 0}, r"UNet\(out_channels=0\): expected 1 or more"),
        ({"in_channels": 0}, r"UNet\(in_channels=0\): expected 1 or more"),
    ],
)
def test_bad_arguments_are_answered_with_the_choices(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("up", ["bilinear", "transposed"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_gradient_reaches_every_parameter(padding: str, up: str, norm: str) -> None:
    net = make(width=8, depth=2, padding=padding, up=up, norm=norm).train()
    net(torch.randn(2, 1, 20, 12)).square().sum().backward()
    without = [
        n for n, p in net.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()
    ]
    assert without == []


def test_convolutions_have_a_bias_only_where_no_norm_follows() -> None:
    def biased(norm: str) -> set[bool]:
        modules = make(norm=norm).modules()
        return {m.bias is not None for m in modules if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)}

    assert biased("none") == {True}
    assert biased("batch") == biased("group") == {False}


def test_activations_keep_their_scale_through_the_network_without_norm() -> None:
    net = make(width=16, padding="valid", up="transposed", norm="none")
    with torch.no_grad():
        scale = net(torch.randn(1, 1, 64, 64)).std().item()
    assert 0.1 < scale < 10


def test_dropout_acts_on_the_two_deepest_levels_of_the_contracting_path() -> None:
    net = make(width=4, dropout=0.5).train()
    channels: list[int] = []
    net.dropout.register_forward_hook(lambda module, inputs, output: channels.append(output.shape[1]))
    image = torch.rand(2, 1, 32, 32)
    assert not torch.equal(net(image), net(image))
    assert channels == [32, 32] * 2  # width 4, bilinear: 4 8 16 [32 32]
    net.eval()
    assert torch.equal(net(image), net(image))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_network_compiles_as_one_graph(padding: str) -> None:
    net = make(depth=2, padding=padding)
    image = torch.rand(1, 1, 30, 21)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(image), net(image))


def test_network_runs_under_autocast_in_bfloat16() -> None:
    net = make(padding="valid", depth=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(torch.rand(1, 1, 30, 21))
    assert logits.dtype == torch.bfloat16
    assert logits.isfinite().all()
