"""The store: what was written comes back, what is wrong is refused by name, and nothing is lost on the way."""

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.calib.errors import CalibError, CalibMissing, CalibRefused
from parfocal.calib.store import Calibration, Owner, Store, default_folder
from parfocal.calib.value import Measured

OWNER = Owner(4711, "20x/0.75")
PLAY = Measured(
    value=19.87,
    uncertainty=0.21,
    measured_at=datetime(2026, 11, 26, 22, 40, tzinfo=timezone.utc),
    method="focus curves",
    program_version="0.1.0",
    raw="board-4711-z.json",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "calibration", OWNER)


def test_a_value_comes_back_as_it_was_kept_and_the_others_stay(store: Store) -> None:
    store.keep("z_play_um", PLAY)
    x = msgspec.structs.replace(PLAY, value=61.5, method='say "hi" \\ to \x7f and \n')
    store.keep("x_play_um", x)
    assert store.load().values() == {"x_play_um": x, "z_play_um": PLAY}
    assert store.load().owner == OWNER


def test_the_name_of_a_calibration_follows_its_values_and_nothing_else(store: Store) -> None:
    empty = Calibration(1, OWNER.board_serial, OWNER.objective)
    assert empty.used is None
    first = store.keep("z_play_um", PLAY).used
    assert first is not None
    assert (len(first.id), first.measured_at) == (12, PLAY.measured_at)
    store.path.write_text("# looked at by hand\n" + store.path.read_text())
    assert store.load().used == first
    later = msgspec.structs.replace(PLAY, measured_at=PLAY.measured_at + timedelta(days=1))
    second = store.keep("x_play_um", later).used
    assert second is not None
    assert (second.id != first.id, second.measured_at) == (True, later.measured_at)
    assert store.keep("x_play_um", msgspec.structs.replace(later, value=19.88)).used != second


@settings(max_examples=40)  # each is flushed to the disk
@given(
    value=st.floats(0.0, 1e4),
    uncertainty=st.floats(0.0, 1e3),
    method=TEXT,
    measured_at=st.datetimes(timezones=st.just(timezone(timedelta(hours=5, minutes=30)))),
)
def test_every_value_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    value: float,
    uncertainty: float,
    method: str,
    measured_at: datetime,
) -> None:
    store = Store(tmp_path_factory.getbasetemp() / "any", OWNER)
    given_value = Measured(value, uncertainty, measured_at, method, "1", "raw.json")
    store.keep("z_play_um", given_value)
    assert store.load().z_play_um == given_value


def test_a_microscope_without_a_calibration_is_told_the_command(store: Store) -> None:
    with pytest.raises(CalibMissing, match=r"board 4711 with objective 20x/0\.75.*`parfocal calibrate all`"):
        store.load()


@pytest.mark.parametrize(
    "other", [Owner(4712, "20x/0.75"), Owner(4711, "40x/0.95")], ids=["board", "objective"]
)
def test_the_calibration_of_another_microscope_is_another_file_and_a_copy_is_refused(
    store: Store, other: Owner, tmp_path: Path
) -> None:
    store.keep("z_play_um", PLAY)
    of_other = Store(tmp_path / "calibration", other)
    with pytest.raises(CalibMissing):
        of_other.load()
    store.path.rename(of_other.path)
    with pytest.raises(
        CalibRefused, match=r"measured on board 4711 with objective 20x/0\.75, but this is"
    ) as error:
        of_other.load()
    assert str(other) in str(error.value)
    with pytest.raises(CalibRefused):  # and it is not written over
        of_other.keep("z_play_um", PLAY)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("value = 19.87", "value = -3.0"), "z_play_um.value = -3.0"),
        (("value = 19.87", "value = nan"), "value = nan"),
        (("value = 19.87", "value = 1e9"), r"z_play_um\.value"),
        (("value = 19.87", "value = 'much'"), r"z_play_um\.value"),
        (("uncertainty = 0.21", "uncertainty = -0.21"), "uncertainty = -0.21"),
        (("uncertainty = 0.21", "uncertainty = inf"), "uncertainty = inf"),
        (("uncertainty = 0.21", "certainty = 0.21"), "certainty"),
        (("uncertainty = 0.21\n", ""), "uncertainty"),
        (("+00:00", ""), "measured_at"),
        (('"board-4711-z.json"', '"../../etc/passwd"'), "raw = "),
        (("[z_play_um]", "[z_play]"), "z_play"),
        (("version = 1", "version = 2"), "version = 2: this program reads version 1"),
        (("version = 1", "colour = 'red'\nversion = 1"), "colour"),
        (("objective = ", "objective = "), ""),
        (("[z_play_um]", "[[z_play_um"), "line 6|line 7|Invalid|invalid"),
    ],
)
def test_an_edit_by_hand_that_makes_no_sense_is_refused_by_name(
    store: Store, change: tuple[str, str], told: str
) -> None:
    store.keep("z_play_um", PLAY)
    text = store.path.read_text()
    assert change[0] in text
    store.path.write_text(text.replace(*change))
    if not told:
        assert store.load().z_play_um == PLAY
        return
    with pytest.raises(CalibRefused, match=told) as refused:
        store.load()
    assert str(store.path) in str(refused.value)
    assert "`parfocal calibrate all`" in str(refused.value)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a = " + b"[" * 100_000, b"#" * 2_000_000, b""])
def test_a_file_that_is_no_calibration_is_refused(store: Store, data: bytes) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(data)
    with pytest.raises(CalibRefused, match="invalid calibration"):
        store.load()


def test_a_folder_in_the_place_of_the_file_is_refused(store: Store) -> None:
    store.path.mkdir(parents=True)
    with pytest.raises(CalibRefused, match="cannot be read: Is a directory"):
        store.load()


def test_a_write_that_fails_leaves_the_earlier_value_in_force(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.keep("z_play_um", PLAY)
    before = store.path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CalibError, match="No space left on device; the earlier one is unchanged"):
        store.keep("z_play_um", msgspec.structs.replace(PLAY, value=1.0))
    assert store.path.read_bytes() == before
    assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]


def test_a_store_is_replaced_and_never_written_over(store: Store) -> None:
    store.keep("z_play_um", PLAY)
    with store.path.open() as reader:
        store.keep("z_play_um", msgspec.structs.replace(PLAY, value=1.0))
        assert "value = 19.87" in reader.read()  # who reads it meanwhile has the whole earlier one


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value": float("nan")}, "value = nan: it must be a finite number"),
        ({"uncertainty": float("nan")}, "uncertainty = nan"),
        ({"raw": "/etc/passwd"}, "the name of a file beside this one"),
    ],
)
def test_a_measured_value_that_cannot_be_is_not_made(change: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        msgspec.structs.replace(PLAY, **change).__post_init__()


def test_a_value_that_could_not_be_read_again_is_not_written(store: Store) -> None:
    store.keep("z_play_um", PLAY)
    with pytest.raises(ValueError, match="z_play_um"):
        store.keep("z_play_um", msgspec.structs.replace(PLAY, value=-1.0))
    assert store.load().z_play_um == PLAY


def test_raw_data_lies_beside_the_store_as_json(store: Store) -> None:
    name = store.keep_raw("z_play_um-20261126T224000Z", {"curves": [1.0, 2.0]})
    assert name == "board-4711-20x-0.75-z_play_um-20261126T224000Z.json"
    assert json.loads((store.path.parent / name).read_text()) == {"curves": [1.0, 2.0]}


def test_the_store_lies_in_the_data_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "parfocal" / "calibration"
    for not_absolute in ("", "here"):
        monkeypatch.setenv("XDG_DATA_HOME", not_absolute)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_folder() == tmp_path / ".local" / "share" / "parfocal" / "calibration"

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(CalibError, match="Set HOME or XDG_DATA_HOME"):
        default_folder()


def test_the_interval_is_the_value_with_its_uncertainty_on_both_sides() -> None:
    assert PLAY.interval == pytest.approx((19.66, 20.08))


def test_a_calibration_without_values_is_valid() -> None:
    assert Calibration(1, 1, "20x/0.75").values() == {}
