"""Augmented currents carry augmented densities to where the density went: augmentation commutes with advection."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from segfield.augment import Augmentation
from segfield.augment.colour import Brightness
from segfield.augment.geometry import Affine, Elastic

ROWS, COLUMNS, SAMPLES = 12, 16, 10
DX, DY, DT = 1500.0, 2000.0, 900.0  # m, m, s: cells of aspect 0.75, which float32 holds exactly
Move = tuple[float, float, float]  # probabilities: left with right, top with bottom, a quarter turn or several
MOVES: list[Move] = [(h, v, turn) for turn, h, v in itertools.product((0.0, 1.0), repeat=3)][1:]


def advect(density: Tensor, u: Tensor, v: Tensor, steps: int = 3) -> Tensor:
    """Carry densities [N, H, W] by currents in m/s, rows to the north: upwind fluxes through the faces of the cells."""
    for _ in range(steps):
        gained = torch.zeros_like(density)  # of both axes from the same density: neither goes first
        for speed, length, dim in ((u, DX, -1), (v, DY, -2)):
            cells = density.shape[dim]
            face = (speed.narrow(dim, 0, cells - 1) + speed.narrow(dim, 1, cells - 1)) / 2 * DT / length
            before, after = density.narrow(dim, 0, cells - 1), density.narrow(dim, 1, cells - 1)
            flux = face.clamp(min=0) * before + face.clamp(max=0) * after
            closed = torch.zeros_like(flux.narrow(dim, 0, 1))
            gained += torch.cat([closed, flux], dim) - torch.cat([flux, closed], dim)
        density = density + gained
    return density


def geostrophic(ssh: Tensor) -> tuple[Tensor, Tensor]:
    """Currents [N, H, W] in m/s along the contours of a sea surface height in m; f is the same everywhere."""
    slope = 9.81 / 9e-5
    (north,), (east,) = torch.gradient(ssh, spacing=DY, dim=-2), torch.gradient(ssh, spacing=DX, dim=-1)
    return -slope * north, slope * east


def sea(size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth sea surface height and currents that have nothing to do with it, per sample; a cloud of density."""
    draw = torch.Generator().manual_seed(1)
    coarse = torch.rand(SAMPLES, 3, 4, 4, generator=draw, dtype=torch.float64) - 0.5
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    density = torch.rand(SAMPLES, *size, generator=draw, dtype=torch.float64)
    return smooth[:, 0] * 0.02 + 0.3, smooth[:, 1:], density


def augmented(move: Move, image: list[Tensor], target: Tensor, rules: tuple[str, ...], aspect: float) -> dict[str, Any]:
    batch = {
        "image": torch.stack(image, 1),
        "target": target[:, None],
        "index": torch.arange(len(target)),
        "rules": rules,
        "aspect": torch.full((len(target),), aspect),
    }
    return Augmentation(move[0], move[1], quarter_turn=move[2])(batch, 0, 0)


def size_for(move: Move) -> tuple[int, int]:
    return (ROWS, COLUMNS) if move[2] == 0 else (ROWS, ROWS)


def carried(move: Move, rules: tuple[str, ...] = ("east", "north", "scalar"), aspect: float = DX / DY) -> float:
    """How far advecting the augmented density is from augmenting the advected one."""
    _, currents, density = sea(size_for(move))
    u, v = currents.unbind(1)
    result = augmented(move, [u, v, density], advect(density, u, v), rules, aspect)
    u, v, density = result["image"].unbind(1)
    return float((advect(density, u, v) - result["target"][:, 0]).abs().max())


@pytest.mark.parametrize("move", MOVES)
def test_augmented_currents_carry_a_density_to_where_it_went(move: Move) -> None:
    assert carried(move) < 1e-12


@pytest.mark.parametrize("move", MOVES)
def test_currents_that_are_moved_like_pictures_do_not(move: Move) -> None:
    assert carried(move, ("scalar", "scalar", "scalar")) > 1e-3


@pytest.mark.parametrize("move", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
def test_currents_with_each_others_rule_do_not(move: Move) -> None:
    assert carried(move, ("north", "east", "scalar")) > 1e-3


def test_quarter_turns_of_cells_that_are_taken_for_square_do_not() -> None:
    assert carried((0.0, 0.0, 1.0), aspect=1.0) > 1e-3


def streamed(move: Move, rule: str) -> float:
    """The same where the currents follow from the augmented sea surface height."""
    ssh, _, density = sea(size_for(move))
    result = augmented(move, [ssh, density], advect(density, *geostrophic(ssh)), (rule, "scalar"), DX / DY)
    moved, density = result["image"].unbind(1)
    return float((advect(density, *geostrophic(moved)) - result["target"][:, 0]).abs().max())


@pytest.mark.parametrize("move", MOVES)
def test_augmented_sea_surface_height_carries_a_density_to_where_it_went(move: Move) -> None:
    assert streamed(move, "stream") < 1e-12


@pytest.mark.parametrize("turn", [0.0, 1.0])
def test_sea_surface_height_that_is_mirrored_like_a_picture_does_not(turn: float) -> None:
    assert streamed((1.0, 0.0, turn), "scalar") > 1e-3


@pytest.mark.parametrize("move", MOVES)
def test_currents_and_the_sea_surface_height_that_they_follow_stay_together(move: Move) -> None:
    ssh, _, density = sea(size_for(move))
    rules = ("stream", "north", "east", "scalar")
    u, v = geostrophic(ssh)
    ssh, v, u, _ = augmented(move, [ssh, v, u, density], density, rules, DX / DY)["image"].unbind(1)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(geostrophic(ssh), (u, v), strict=True))


def test_several_currents_are_turned_in_pairs_by_their_order() -> None:
    _, currents, density = sea((ROWS, ROWS))
    u, v = currents.unbind(1)
    rules = ("east", "east", "north", "north")
    image = augmented((0.0, 0.0, 1.0), [u, 2 * u, v, 2 * v], density, rules, 0.75)["image"]
    assert torch.equal(image[:, 1::2], 2 * image[:, ::2])


def test_sea_surface_height_is_mirrored_about_its_mean_at_sea_and_what_fills_the_land_stays() -> None:
    ssh = torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.5, 0.0]])
    valid = torch.tensor([[True, True, False], [True, True, False]])
    batch = {"image": ssh[None, None], "valid": valid[None, None], "index": torch.tensor([0]), "rules": ("stream",)}
    image = Augmentation(vertical_flip=1.0)(batch, 0, 0)["image"]
    assert image[0, 0].tolist() == [[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]]
    assert batch["image"] is not image
    assert torch.equal(batch["image"][0, 0], ssh)


def test_coordinates_of_the_cells_move_along_so_that_distances_stay() -> None:
    density = torch.rand(SAMPLES, 2, ROWS, ROWS, dtype=torch.float64)
    north, east = torch.meshgrid(torch.arange(ROWS) * 2.0, torch.arange(ROWS) * 1.5, indexing="ij")
    target = torch.cat([density, torch.stack([east, north]).double().expand(SAMPLES, -1, -1, -1)], 1)
    batch = {"image": density, "target": target, "index": torch.arange(SAMPLES), "rules": ("scalar", "scalar")}
    moved = Augmentation(0.5, 0.5, quarter_turn=0.7)({**batch, "aspect": torch.full((SAMPLES,), 0.75)}, 0, 0)["target"]

    def centres(values: Tensor) -> Tensor:
        """[N, 2 densities, 2 axes] in km."""
        return torch.einsum("nkhw,nchw->nkc", values[:, :2], values[:, 2:]) / values[:, :2].sum((2, 3))[..., None]

    assert not torch.equal(moved, target)
    assert torch.allclose(centres(moved), centres(target), atol=1e-12)


def test_errors_of_the_rules_on_a_sphere_are_as_small_as_stated() -> None:
    south, north = math.radians(37), math.radians(39)
    width, coriolis = math.cos(north) / math.cos(south), math.sin(north) / math.sin(south)
    assert (1 - width, coriolis - 1, width * coriolis - 1) == pytest.approx((0.027, 0.046, 0.0175), abs=5e-4)


OCEAN = ("east", "north", "scalar")


@pytest.mark.parametrize(
    ("how", "rules", "message"),
    [
        (
            {"affine": Affine()},
            OCEAN,
            r"augmentation\.affine has no rule for channel 0, 'east'.*Use augmentation=ocean, or ~augmentation\.affine",
        ),
        (
            {"elastic": Elastic()},
            ("scalar", "stream"),
            r"augmentation\.elastic has no rule for channel 1, 'stream'.*augmentation=ocean, or ~augmentation\.elastic",
        ),
        (
            {"colour": {"it": Brightness()}},
            ("scalar", "scalar"),
            r"augmentation\.colour changes .* fields of the sea.*Use augmentation=ocean, or ~augmentation\.colour",
        ),
        (
            {"horizontal_flip": 0.5},
            ("scalar", "none", "scalar"),
            r"Channel 1, counted .* no rule for .*augmentation=none, or 'data\.inputs\.rules=\{<its name>: scalar\}'",
        ),
        ({"quarter_turn": 0.5}, ("none",), r"Channel 0, .* has no rule for flips and turns"),
        (
            {"quarter_turn": 0.5},
            ("east", "scalar"),
            r"here are 1 channels of the one and 0 of the other\. Give both to .* augmentation\.quarter_turn=0",
        ),
        ({"vertical_flip": 0.5}, ("up",), r"The rule 'up' of a channel is none of scalar, east, north, stream, none"),
        ({"vertical_flip": 0.5}, (), r"The image has 1 channels and 0 rules"),
    ],
)
def test_changes_without_a_rule_are_refused_whatever_is_drawn(
    how: dict[str, Any], rules: tuple[str, ...], message: str
) -> None:
    batch = {"image": torch.zeros(1, max(1, len(rules)), 16, 16), "index": torch.tensor([0]), "rules": rules}
    with pytest.raises(ValueError, match=message):
        Augmentation(**how)(batch, 0, 0)


def test_scalar_fields_may_be_warped() -> None:
    batch = {"image": torch.rand(2, 2, 16, 16), "index": torch.arange(2), "rules": ("scalar", "scalar")}
    assert Augmentation(affine=Affine(1.0, (10, 20)))(batch, 0, 0)["image"].shape == (2, 2, 16, 16)
