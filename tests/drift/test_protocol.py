import json
from typing import Any

import pytest

from segfield.drift.protocol import Protocol


def test_the_default_is_ml_drops_protocol() -> None:
    protocol = Protocol()
    assert protocol.box == (37.89, 38.89, 2.71, 3.71)
    assert (protocol.particles, protocol.radius_km, protocol.dt, protocol.steps) == (2000, 5, 3 * 3600, 24)
    assert protocol.hours == [6.0 * number for number in range(13)]


def test_a_protocol_comes_back_from_json() -> None:
    protocol = Protocol(points=((38.0, 3.0),), region=(37, 40, 2, 4), days=0.5, dt_hours=0.5, every_hours=1)
    assert Protocol.from_json(json.loads(json.dumps(protocol.to_json()))) == protocol


def test_the_area_is_the_box_and_the_margin_and_ends_at_the_poles() -> None:
    assert Protocol(box=(88.5, 89.5, 10, 20), margin=1).area == (87.5, 90, 9, 21)


def test_a_region_wider_than_the_margin_widens_where_particles_move() -> None:
    assert Protocol(box=(38, 39, 2, 3), margin=1, region=(37.5, 44, -3, 3.5)).area == (37, 44, -3, 4)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ensembles": 0}, "ensembles=0 must be a whole number, 1 or more"),
        ({"seed": 1.5}, "seed=1.5 must be a whole number, 0 or more"),
        ({"block": True}, "block=True must be a whole number"),
        ({"particles": 70_000}, r"particles=70000 must be at most 65535: .* Use particles=65535"),
        (
            {"resolution": 10**20},
            "resolution=1.* must be at most 5000 cells per degree: .* Use for example resolution=48",
        ),
        ({"radius_km": 0}, "radius_km=0 must be a number above 0"),
        ({"margin": -1}, "margin=-1 must be a number above 0 or 0"),
        ({"days": "three"}, "days=three must be a number above 0"),
        ({"dt_hours": 0.0001}, "dt_hours=0.0001 must be whole seconds"),
        ({"dt_hours": 4}, "dt_hours=4 does not divide every_hours=6: .* Use for example dt_hours=3"),
        ({"dt_hours": 12}, "dt_hours=12 does not divide every_hours=6"),
        ({"days": 2.1, "dt_hours": 6}, r"every_hours=6 does not divide days=2.1, which are 50.4 hours"),
        ({"currents": "sst"}, "currents=sst: expected one of auto, uv, ssh"),
        ({"box": [1, 2, 3]}, r"box=\[1, 2, 3\] must be \[south,north,west,east\] .* box=\[37.89,38.89,2.71,3.71\]"),
        ({"box": [38, 37, 2, 3]}, "south below north"),
        ({"box": [37, 38, 175, -175]}, "across 180 E: 175,185"),
        ({"region": [38, 39, 2, 4]}, r"region=\[38.0, 39.0, 2.0, 4.0\] does not hold box=.* or region=null"),
        ({"points": [38, 3]}, r"points=\[38, 3\] must be \[\[latitude,longitude\],...\]"),
        ({"points": [[30, 3], [38, 3]]}, r"points=\[\[30,3\]\] lies outside of box=.* Use box=\[29.9,38.1,2.9,3.1\]"),
        ({"radius": 5}, "unknown key 'radius': expected box, points, ensembles"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_to_type(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Protocol.from_json(values)
