"""The play of every axis, measured on stages whose play only the test knows."""

import contextlib
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from parfocal.board.errors import MoveRefused
from parfocal.board.motion.gear import Engagement
from parfocal.calib.errors import CalibPoor, CalibRefused
from parfocal.calib.store import Owner, Store
from parfocal.calib.value import Measured
from parfocal.edge.calibrate.keeper import Stamp
from parfocal.edge.calibrate.motion.backlash import AxisName, AxisPlay, Backlash
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array
from tests.edge.calibrate.plain import CONFIG, FOCUS_Z_UM, SECTION, Plain

STAMP = Stamp(datetime(2026, 11, 26, tzinfo=timezone.utc), "0.1.0")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, Owner(1, "20x/0.75"))


def measure(plain: Plain, store: Store, *axes: AxisName) -> list[AxisPlay]:
    with contextlib.closing(plain.board):
        return [*Backlash(plain.instrument, plain.config, store, STAMP).run(axes, lambda _words: None)]


def test_the_play_of_z_is_found_kept_and_the_stage_left_in_focus(store: Store) -> None:
    play_um = 20.0
    plain = Plain({"z": play_um}, drift_um_per_min=0.5)
    (found,) = measure(plain, store, "z")
    assert abs(found.play_um - play_um) <= min(0.5, found.uncertainty_um)
    kept = store.load().z_play_um
    assert kept is not None
    assert (kept.value, kept.uncertainty, kept.raw) == (found.play_um, found.uncertainty_um, found.raw)
    assert (kept.measured_at, kept.program_version) == (STAMP.measured_at, "0.1.0")
    raw = json.loads((store.path.parent / found.raw).read_text())
    assert [one["direction"] for one in raw["seen"]][-8:] == ["up", "down", "down", "up"] * 2
    assert found.images == plain.frames == sum(len(one["z_um"]) for one in raw["seen"])
    assert plain.board.z.engagement is Engagement.UP
    assert abs(plain.truth().stage_z_um - FOCUS_Z_UM) < 1.5  # the blur of the stand-in has a flat top
    assert plain.bench.lamp_duty(plain.bench.clock.now_s()) == 0.0
    # Whatever the play: a sweep downwards starts from a height that was reached upwards.
    assert plain.highest_um <= FOCUS_Z_UM + 9.0


def test_more_play_than_configured_is_found_too(store: Store) -> None:
    board = msgspec.structs.replace(CONFIG.board, z=msgspec.structs.replace(CONFIG.board.z, play_um=2.0))
    (found,) = measure(Plain({"z": 45.0}, config=msgspec.structs.replace(CONFIG, board=board)), store, "z")
    assert found.play_um == pytest.approx(45.0, abs=0.5)
    assert found.before_um == 2.0


@pytest.mark.parametrize(("axis", "play_um"), [("x", 145.0), ("y", 0.0)])
def test_the_play_of_x_and_y_is_found_whatever_is_configured_and_wherever_the_stage_comes_from(
    axis: AxisName, play_um: float, store: Store
) -> None:
    # Configured without play, the stage arrives at the field from above with the gear loose.
    tight = {name: msgspec.structs.replace(CONFIG.board.axis(name), play_um=0.0) for name in ("x", "y")}
    board = msgspec.structs.replace(CONFIG.board, x=tight["x"], y=tight["y"])
    plain = Plain({axis: play_um}, config=msgspec.structs.replace(CONFIG, board=board))
    plain.board.home()
    plain.board.axes[axis].move_to(20400.0)
    (found,) = measure(plain, store, axis)
    assert abs(found.play_um - play_um) <= min(2.0, found.uncertainty_um)
    assert list(store.load().values()) == [f"{axis}_play_um"]
    moved = plain.board.axes[axis]
    assert moved.engagement is Engagement.UP
    assert moved.position_um == pytest.approx(20000.0 if axis == "x" else 10000.0, abs=1.0)


def white(pixels: UInt8Array) -> UInt8Array:
    return np.full_like(pixels, 255)


def black(pixels: UInt8Array) -> UInt8Array:
    return np.full_like(pixels, 2)


BLANK = np.full_like(SECTION, 228)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"section": BLANK}, "it is flat"),
        ({"look": white}, r"it is saturated \(100 % of the picture is white\)"),
        ({"look": black}, "the pictures are black"),
        ({"focus_um": (FOCUS_Z_UM, FOCUS_Z_UM - 12.0)}, "it has a second peak at 2"),
        ({"focus_um": (2479.0,)}, "still high at its lower end"),
        ({"plays_um": {"z": 65.0}}, r"play of 65\.\d um refused. Play of more than 60 um is not measured"),
        ({"plays_um": {"z": 73.0}}, "not found again downwards.*Play of more than 60 um is not measured"),
    ],
    ids=["blank", "white", "black", "two layers", "at the end", "65", "73"],
)
def test_a_poor_measurement_is_refused_and_the_earlier_value_stays(
    made: dict[str, Any], told: str, store: Store
) -> None:
    earlier = store.keep("z_play_um", measured_before())
    with pytest.raises(CalibPoor, match=told) as refused:
        measure(Plain(**{"plays_um": {"z": 8.0}, **made}), store, "z")
    assert store.load() == earlier
    (file,) = store.path.parent.glob("*Z.json")
    assert f"stays in force; what was seen is in {file}." in str(refused.value)
    seen = json.loads(file.read_text())
    assert seen["refused"] in str(refused.value)
    assert len(seen["seen"]) >= 1


def measured_before() -> Measured:
    return Measured(14.0, 0.2, STAMP.measured_at, "before", "0.0.9", "before.json")


def test_an_empty_field_gives_no_play_of_x(store: Store) -> None:
    # Sharp enough to be focused on, and empty where x takes the stage.
    striped = BLANK.copy()
    striped[:, 820:880] = SECTION[:, 820:880]
    with pytest.raises(CalibPoor, match="two pictures in a row do not match|uneven moves"):
        measure(Plain({"x": 20.0}, section=striped), store, "x")


def test_what_was_measured_before_an_interruption_stays(store: Store) -> None:
    plain = Plain({"x": 30.0})

    def interrupt(words: str) -> None:
        if words.startswith("y"):
            raise KeyboardInterrupt

    running = Backlash(plain.instrument, plain.config, store, STAMP).run(("x", "y"), interrupt)
    assert next(running).axis == "x"
    with pytest.raises(KeyboardInterrupt):
        next(running)
    assert list(store.load().values()) == ["x_play_um"]
    assert plain.bench.lamp_duty(plain.bench.clock.now_s()) == 0.0
    plain.board.close()


def test_an_interrupted_measurement_leaves_the_earlier_value_in_force(store: Store) -> None:
    earlier = store.keep("z_play_um", measured_before())
    plain = Plain({"z": 8.0})
    steps = iter(range(9))

    def unplug(_words: str) -> None:
        if next(steps) == 6:
            raise CameraFailed("camera 0 gave no frame")

    with pytest.raises(CameraFailed), contextlib.closing(plain.board):
        next(Backlash(plain.instrument, plain.config, store, STAMP).run(("z",), unplug))
    assert store.load() == earlier


def test_a_store_that_cannot_take_the_result_is_refused_before_anything_moves(store: Store) -> None:
    store.path.write_text("colour = 'red'")
    plain = Plain({})
    with pytest.raises(CalibRefused, match="colour"):
        Backlash(plain.instrument, plain.config, store, STAMP)
    plain.board.close()


def test_a_staircase_that_would_leave_the_limits_is_refused_before_it_begins(store: Store) -> None:
    scan = msgspec.structs.replace(CONFIG.scan, origin_x_um=100.0)
    plain = Plain({}, config=msgspec.structs.replace(CONFIG, scan=scan))
    with pytest.raises(MoveRefused, match=r"play of x not measured.*Change scan\.origin_x_um"):
        measure(plain, store, "x")
