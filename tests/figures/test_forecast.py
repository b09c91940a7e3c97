import numpy as np
import pytest

from segfield.figures.canvas import Box, Canvas, Scale
from segfield.figures.forecast import forecast_strip

LATITUDE, LONGITUDE = 38 + np.arange(30) / 50, 3 + np.arange(40) / 50
SEA = np.ones((30, 40), dtype=np.bool_)
SEA[:, :10] = False
Recorded = list[tuple[Box, Scale, np.ndarray]]


def maps(number: int) -> np.ndarray:
    """A density that moves to the east, a cell a map, in a thin haze."""
    found = np.full((number, 30, 40), 1e-5)
    for time in range(number):
        found[time, 14:17, 12 + time : 15 + time] = 0.1
    return found


def drawn(densities: np.ndarray) -> np.ndarray:
    titles = [f"+{6 * number} h" for number in range(len(densities))]
    axes = {"latitude": LATITUDE, "longitude": LONGITUDE}
    return forecast_strip(densities, titles, valid=SEA, point=(38.3, 3.26), title="title", **axes)


def test_the_first_and_the_last_of_many_maps_are_drawn_on_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Recorded = []
    real = Canvas.map

    def record(self: Canvas, box: Box, values: np.ndarray, *others: object) -> object:
        found.append((box, others[1], values))  # type: ignore[arg-type]
        return real(self, box, values, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Canvas, "map", record)
    densities = maps(13)
    drawn(densities)
    assert len(found) == 7
    assert {scale for _, scale, _ in found} == {Scale("viridis", 0.0, 10.0)}
    for (_, _, values), time in zip(found, range(0, 13, 2), strict=True):
        np.testing.assert_allclose(values[SEA], 100 * densities[time][SEA])
        assert np.isnan(values[~SEA]).all()
    assert len({box.top for box, _, _ in found}) == 2


def test_one_map_is_a_picture_and_the_same_input_gives_the_same_bits() -> None:
    one = drawn(maps(1))
    assert (one == drawn(maps(1))).all()
    assert one.shape[1] < drawn(maps(3)).shape[1]
    assert (one == 166).all(2).any()  # land


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"needs densities \[T, H, W\], .* got densities \[2, 3, 4\], 2 titles, valid \[30"
    ):
        drawn(np.zeros((2, 3, 4)))
