import numpy as np
import pytest

from segfield.data.demo_car import Car, photograph
from segfield.data.demo_studio import studio

SIZE = (120, 180)
BACKGROUND = studio(SIZE, np.random.default_rng(0))


def car(number: int, *, like_studio: bool = False) -> Car:
    return Car.draw(np.random.default_rng(number), like_studio=like_studio)


@pytest.mark.parametrize("turn", np.linspace(0, 2 * np.pi, 8, endpoint=False))
def test_outside_the_mask_a_photograph_is_the_studio_or_its_shadow(turn: float) -> None:
    picture, mask = photograph(car(0), turn, BACKGROUND)
    change = np.asarray(picture).astype(int) - np.asarray(BACKGROUND)
    lit = (change > 12).any(axis=2)
    inside = np.asarray(mask, dtype=bool)
    grown = inside | np.roll(inside, 1, 0) | np.roll(inside, -1, 0) | np.roll(inside, 1, 1) | np.roll(inside, -1, 1)
    assert not (lit & ~grown).any()


def test_a_car_seen_from_the_side_is_wider_than_from_the_front() -> None:
    front, side = (np.flatnonzero(photograph(car(1), turn, BACKGROUND)[1].any(0)) for turn in (0, np.pi / 2))
    assert np.ptp(side) > 1.5 * np.ptp(front)


def test_left_and_right_views_mirror_each_other() -> None:
    left, right = (photograph(car(2), turn, BACKGROUND)[1] for turn in (np.pi / 2, -np.pi / 2))
    assert np.mean(left != right[:, ::-1]) < 0.01


def test_every_drawn_car_stays_in_the_picture() -> None:
    for number in range(12):
        for turn in (0.0, 0.8, np.pi / 2, 2.5):
            mask = photograph(car(number), turn, BACKGROUND)[1]
            assert mask[1:-1, 1:-1].sum() == mask.sum()


def test_a_car_like_the_studio_has_less_contrast_than_a_black_one() -> None:
    def contrast(which: Car) -> float:
        picture, mask = photograph(which, np.pi / 2, BACKGROUND)
        grey = np.asarray(picture.convert("L")).astype(int)
        return float(abs(np.median(grey[mask > 0]) - np.median(grey[mask == 0])))

    hidden = car(3, like_studio=True)
    assert contrast(hidden) < 60
    black = next(one for one in map(car, range(40)) if max(one.paint) < 40)
    assert contrast(black) > 2 * contrast(hidden)


def test_the_background_is_left_as_it_is() -> None:
    before = BACKGROUND.tobytes()
    photograph(car(4), 1.0, BACKGROUND)
    assert BACKGROUND.tobytes() == before
