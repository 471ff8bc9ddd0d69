"""Read-outs by well and by condition, with their standard errors."""

import numpy as np
import pytest

from acquisition.errors import BadConfig
from acquisition.records import Event
from calibration.read_outs import (
    TrackTable,
    grouped,
    label_groups,
    read_outs,
    well_rows,
    wells_of_tracks,
)
from configs.schema import Chip

CHIP = Chip(first_yx_um=(100.0, 100.0), rows=2, columns=3)


def table_of(places_um):
    """Give still cells at these places, seen in ten frames of a minute each."""
    place = np.tile(np.array(places_um, float)[:, None], (1, 10, 1))
    no = np.zeros(place.shape[:2], bool)
    ones = np.ones(place.shape[:2])
    ids = np.arange(1, len(place) + 1)
    return TrackTable(60.0, 0.0, ids, place, no, ones, ones, no, 0.1)


def test_cells_are_told_by_well_and_a_well_by_what_its_cells_did():
    """Two meet and one dies ten minutes later in the first well; one is alone."""
    table = table_of([(100, 100), (105, 110), (170, 240), (400, 400)])
    events = [
        Event(1, "contact", 120.0, 2, "dish", (1, 2), (0.0, 0.0), 1.0, 0.5, "slim"),
        Event(2, "death", 720.0, 9, "dish", (2,), (0.0, 0.0), 1.0, 0.9, "slim"),
    ]

    wells = wells_of_tracks(table, CHIP)
    rows = well_rows(read_outs(table, events, wells), events)

    assert wells == ["r1c1", "r1c1", "r2c3", None]
    assert [row["well"] for row in rows] == ["r1c1", "r2c3"]
    first, second = rows
    assert (first["cells"], first["contacts"], first["deaths"]) == (2, 1, 1)
    assert first["contact_to_death_min"] == 10.0
    assert (second["contacts"], second["contact_to_death_min"]) == (0, None)


def test_groups_are_patterns_of_positions_and_wells():
    """The first that fits counts; without groups every position is one."""
    cells = [
        {"position": p, "well": w, "group": None}
        for p, w in (("a", "r1c1"), ("a", "r2c1"), ("b", None))
    ]

    label_groups(cells, [], {"drug": ("r1*",), "control": ("a", "b")})
    by_condition = [row["group"] for row in cells]
    label_groups(cells, [], {})

    assert by_condition == ["drug", "control", "control"]
    assert [row["group"] for row in cells] == ["a", "a", "b"]
    with pytest.raises(BadConfig, match="no position or well fits r9c9"):
        label_groups(cells, [], {"lost": ("r9c9",)})
    with pytest.raises(BadConfig, match="wells with cells are: r1c1, r2c1"):
        label_groups(cells, [], {"lost": ("r9c9",)})
    with pytest.raises(BadConfig, match=r"drug: all that fits r1\* is already of all"):
        label_groups(cells, [], {"all": ("a", "b"), "drug": ("r1*",)})


def test_a_tenth_more_area_is_found_between_two_groups():
    """Of 100 cells each that differ by 20 %, in eight of ten assays at least."""
    found = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        rows = [
            {"group": group, "area_last_over_first": float(rng.normal(mean, 0.2))}
            for group, mean in (("control", 1.0), ("drug", 1.1))
            for _ in range(100)
        ]
        control, drug = grouped(rows, "group")
        name = "area_last_over_first"
        error = np.hypot(control[f"{name}_se"], drug[f"{name}_se"])
        found.append(drug[name] - control[name] > 1.96 * error)

    assert np.mean(found) >= 0.8
    assert control["count"] == 100
