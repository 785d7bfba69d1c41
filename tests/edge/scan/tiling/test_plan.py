"""The plan of a scan: it covers the area, stays on the stage, and says what it will take."""

import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.scan.tiling.plan import (
    SHARED_PX,
    UNMEASURED_OVERLAP,
    TilePlan,
    check_disk,
    field_of,
    foretell,
    overlap_for,
    plan_tiles,
)
from parfocal.edge.tissue.area import Area, Polygon, rectangle

CONFIG = Config()
FIELD_UM = field_of(CONFIG.camera, 0.345)
SIDE_UM = st.floats(1.0, 3000.0)


def planned(area: Area, overlap: float = 0.1) -> TilePlan:
    return plan_tiles(area, CONFIG, FIELD_UM, overlap)


@given(SIDE_UM, SIDE_UM, st.floats(0.0, 0.4))
def test_tiles_cover_the_region_and_share_the_overlap(
    width_um: float, height_um: float, overlap: float
) -> None:
    region = (20_000.0, 8000.0, 20_000.0 + width_um, 8000.0 + height_um)
    plan = planned(rectangle(*region), overlap)
    xs, ys = (np.array([getattr(t, f"{name}_um") for t in plan.tiles]) for name in ("x", "y"))
    assert xs.min() - FIELD_UM[0] / 2 <= region[0] + 0.1
    assert xs.max() + FIELD_UM[0] / 2 >= region[2] - 0.1
    assert ys.min() - FIELD_UM[1] / 2 <= region[1] + 0.1
    assert ys.max() + FIELD_UM[1] / 2 >= region[3] - 0.1
    assert plan.n_left_out == 0
    assert len(set(plan.places)) == len(plan.tiles)
    for a, b in itertools.pairwise(plan.tiles):
        assert sorted((abs(a.row - b.row), abs(a.column - b.column))) == [0, 1]
        assert abs(a.x_um - b.x_um) == pytest.approx(plan.pitch_um[0] * abs(a.column - b.column), abs=0.11)
    assert plan.pitch_um[0] + plan.overlap_um[0] == pytest.approx(FIELD_UM[0])


def test_tiles_without_a_part_of_the_polygon_are_left_out_and_rows_begin_at_the_nearer_end() -> None:
    # A ring: its hole holds whole tiles.
    outer = np.array([[20_000.0, 8000.0], [24_000.0, 8000.0], [24_000.0, 11_000.0], [20_000.0, 11_000.0]])
    hole = np.array([[20_900.0, 8800.0], [23_100.0, 8800.0], [23_100.0, 10_200.0], [20_900.0, 10_200.0]])
    plan = planned(Area((Polygon((outer, hole)),)))
    assert plan.n_left_out >= 4
    middle = (22_000.0, 9500.0)
    for tile in plan.tiles:
        assert abs(tile.x_um - middle[0]) > 900.0 or abs(tile.y_um - middle[1]) > 500.0
    for a, b in itertools.pairwise(plan.tiles):
        if a.row != b.row:
            assert abs(a.column - b.column) <= 1


def test_a_speck_smaller_than_the_samples_still_gets_its_tile() -> None:
    speck = rectangle(20_001.0, 8001.0, 20_002.0, 8002.0)
    wide = rectangle(22_000.0, 9000.0, 22_600.0, 9600.0)
    plan = planned(Area((*speck.polygons, *wide.polygons)))
    assert any(
        abs(t.x_um - 20_001.0) < FIELD_UM[0] / 2 and abs(t.y_um - 8001.0) < FIELD_UM[1] / 2
        for t in plan.tiles
    )


@pytest.mark.parametrize(
    ("area", "why"),
    [
        (rectangle(0.0, 1000.0, 4000.0, 2000.0), r"region of x=.* leaves the stage.*nothing moved"),
        (rectangle(9000.0, 1000.0, 9500.0, 90_000.0), r"region of y=.* leaves the stage"),
        (rectangle(0.0, 0.0, 1e6, 1e6), "are too many"),
        (rectangle(0.0, 0.0, 1e12, 1e3), "too many"),
    ],
)
def test_a_scan_that_cannot_be_done_is_refused_before_anything_moves(area: Area, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        planned(area)


def test_the_overlap_follows_the_measured_play_and_is_ten_percent_without() -> None:
    measured = tuple(PlayInUse(name, 60.0, 0.5) for name in ("x", "y"))
    overlap = overlap_for(measured, CONFIG, FIELD_UM)
    error_um = 0.5 + 2.0 + 2.0 + 1.25
    assert overlap * FIELD_UM[1] - 2.0 * error_um == pytest.approx(SHARED_PX * 0.345)
    assert overlap < UNMEASURED_OVERLAP
    assert overlap_for((PlayInUse("x", 60.0, 0.5), PlayInUse("y", 60.0)), CONFIG, FIELD_UM) == 0.1
    looser = tuple(PlayInUse(name, 60.0, 9.0) for name in ("x", "y"))
    assert overlap_for(looser, CONFIG, FIELD_UM) > overlap


def test_time_and_space_are_foretold() -> None:
    plan = planned(rectangle(20_000.0, 8000.0, 24_000.0, 10_000.0))
    foretold = foretell(plan, CONFIG, 0.5)
    n = foretold.n_tiles
    assert foretold.tile_bytes == 1224 * 1024 * 3 // 2
    # 380 um take 0.142 s, settling 0.1 s, a frame 0.025 s on average.
    assert foretold.limit_s / n == pytest.approx(0.142 + 0.1 + 0.025, abs=0.01)
    assert 1.0 < foretold.scan_s / foretold.limit_s < 1.5
    # With the play measured, X and Y need not arrive from below.
    plays = tuple(PlayInUse(name, 60.0, 0.3) for name in ("x", "y"))
    assert foretell(plan, CONFIG, 0.5, plays).scan_s < 0.95 * foretold.scan_s
    slower = msgspec.structs.replace(CONFIG.camera, exposure_s=0.108)
    longer = foretell(plan, msgspec.structs.replace(CONFIG, camera=slower), 0.5)
    assert longer.limit_s - foretold.limit_s == pytest.approx(0.1 * n)


def test_a_full_disk_refuses_the_scan_and_counts_what_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(rectangle(20_000.0, 8000.0, 22_000.0, 9000.0))
    foretold = foretell(plan, CONFIG, 0.5)
    monkeypatch.setattr(
        "parfocal.edge.scan.tiling.plan.free_bytes", lambda _: foretold.needed_bytes - foretold.tile_bytes
    )
    with pytest.raises(ConfigError, match="but .* free; nothing moved"):
        check_disk(foretold, foretold.n_tiles, tmp_path)
    check_disk(foretold, foretold.n_tiles - 1, tmp_path)


@pytest.mark.parametrize(
    ("angle_deg", "field_um"),
    [
        (0.0, (100.0, 80.0)),
        (-0.02, (100.0, 80.0)),  # as it is measured on a straight camera
        (90.3, (80.0, 100.0)),
        (180.0, (100.0, 80.0)),
        (-90.0, (80.0, 100.0)),
        (5.0, (90.49, 72.39)),
    ],
)
def test_tiles_of_a_turned_camera_leave_no_gap(angle_deg: float, field_um: tuple[float, float]) -> None:
    camera = msgspec.structs.replace(CONFIG.camera, width_px=200, height_px=160)
    found = field_of(camera, 0.5, angle_deg)
    assert found == pytest.approx(field_um, abs=0.02)
    # The corners of the part that counts lie in the frame.
    turn = np.radians(angle_deg)
    for x_um, y_um in ((found[0] / 2, found[1] / 2), (found[0] / 2, -found[1] / 2)):
        across = x_um * np.cos(turn) + y_um * np.sin(turn), -x_um * np.sin(turn) + y_um * np.cos(turn)
        slack_um = 1.0 if abs(angle_deg) < 1.0 or abs(abs(angle_deg) - 90.0) < 1.0 else 1e-6
        assert abs(across[0]) <= 50.0 + slack_um
        assert abs(across[1]) <= 40.0 + slack_um
