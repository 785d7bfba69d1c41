"""The commands at foreign boards, on a pseudo-terminal."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parfocal.edge.config import config_from_file
from tests.board.foreign.micromanager import DEVICES, file_of
from tests.edge.cli.typed import Run

SANGABOARD = """
[board]
kind = "sangaboard"
[board.x]
speed_um_per_s = 4000.0
accel_um_per_s2 = 100000.0
[board.y]
speed_um_per_s = 4000.0
accel_um_per_s2 = 100000.0
"""


@contextlib.contextmanager
def stub(tmp_path: Path, text: str) -> Iterator[Path]:
    """A stub of the configured kind, 20 times as fast as its host; the path of its configuration."""
    link, config = tmp_path / "board", tmp_path / "instrument.toml"
    config.write_text(text.replace("[board]\n", f'[board]\nport = "{link}"\n'))
    arguments = ["-m", "parfocal", "stub", "--link", str(link), "--config", str(config), "--speed", "20"]
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"stub motor board at {link}\n"
            yield config
        finally:
            process.terminate()
            process.wait(timeout=10.0)


def test_grbl_is_found_homed_and_moved(run: Run, tmp_path: Path) -> None:
    with stub(tmp_path, '[board]\nkind = "grbl"\n') as config:
        _, told, _ = run("doctor", "--config", config)
        assert "Grbl 1.1h.20190830, state Alarm, not homed" in told
        assert run("home", "--config", config)[:2] == (0, "homed: x=0.00 um, y=0.00 um, z=0.00 um\n")
        assert run("move", "z", "100", "--config", config)[:2] == (0, "z=100.00 um\n")
        code, told, _ = run("status", "--config", config)
        assert code == 0
        assert "z: 100.00 um, limits 0.00..4995.19 um" in told
        assert "cannot promise: it has no watchdog" in told
        code, _, error = run("home", "--here", "0,0,100", "--config", config)
        assert code == 3
        assert "finds it by itself" in error


def test_a_sangaboard_is_told_where_it_stands(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "kept"))
    with stub(tmp_path, SANGABOARD) as config:
        _, told, _ = run("doctor", "--config", config)
        assert "Sangaboard Firmware v1.0.1, state resting, not homed" in told
        code, _, error = run("home", "--config", config)
        assert code == 3
        assert "`parfocal home --here X,Y,Z`" in error
        code, told, _ = run("status", "--config", config)
        assert (code, told.count("`parfocal home")) == (0, 1)
        assert "`parfocal home --here X,Y,Z` says where the stage stands" in told
        code, _, error = run("move", "z", "900", "--config", config)
        assert (code, "not homed; nothing moved. Run `parfocal home --here X,Y,Z`." in error) == (3, True)
        for wrong in ("1,2", "1,2,x", "0,0,9000", "nan,0,0"):
            assert run("home", "--here", wrong, "--config", config)[0] == 2
        assert run("home", "--here", "6000,4000,700", "--config", config)[:2] == (
            0,
            "declared: x=6000.0 y=4000.0 z=700.0 um\n",
        )
        assert run("move", "z", "900", "--config", config)[:2] == (0, "z=900.00 um\n")


def test_the_demo_devices_of_micromanager_are_found(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = file_of(tmp_path)
    monkeypatch.setenv("MICROMANAGER_PATH", pytest.importorskip("mm_test_adapters").device_adapter_path())
    config = tmp_path / "parfocal.toml"
    config.write_text(
        f'[board]\nkind = "micromanager"\nmicromanager = "{devices}"\n'
        f'[camera]\nkind = "micromanager"\nmicromanager = "{devices}"\nwidth_px = 512\nheight_px = 512\n'
    )
    _, told, _ = run("doctor", "--config", config)
    assert re.search(r"ok +board port +\S+MMConfig\.cfg exists", told)
    assert re.search(r"ok +motor board +Micro-Manager, MMCore.*XY stage XY, focus Z, state resting", told)
    assert re.search(r"ok +camera +the camera of Micro-Manager gives 512 x 512 px", told)
    code, _, error = run("status", "--config", config, "--port", "/dev/ttyACM0")
    assert code == 2
    assert "--port /dev/ttyACM0 names a serial port" in error
    assert run("status", "--config", config)[0] == 0
    monkeypatch.setitem(sys.modules, "pymmcore", None)
    code, _, error = run("status", "--config", config)
    assert code == 3
    assert "`pip install 'parfocal[mm]'`" in error


def test_init_writes_the_stages_and_the_camera_of_micromanager(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices, out = file_of(tmp_path), tmp_path / "parfocal.toml"
    monkeypatch.setenv("MICROMANAGER_PATH", pytest.importorskip("mm_test_adapters").device_adapter_path())
    run("init", "--yes", "--out", out, "--micromanager", devices)
    written = config_from_file(out)
    assert (written.board.kind, written.board.micromanager) == ("micromanager", devices)
    assert (written.camera.kind, written.camera.width_px, written.camera.height_px) == (
        "micromanager",
        512,
        512,
    )
    out.unlink()
    (tmp_path / "MMConfig.cfg").write_text(DEVICES)  # the direction of its focus drive is unknown
    told = run("init", "--yes", "--out", out, "--micromanager", devices)[1]
    assert "FocusDirection,Z,1" in told
    assert config_from_file(out).board.kind == "parfocal"
    code, _, error = run(
        "init", "--yes", "--out", tmp_path / "c.toml", "--micromanager", tmp_path / "none.cfg"
    )
    assert code == 3
    assert "there is no Micro-Manager configuration" in error
