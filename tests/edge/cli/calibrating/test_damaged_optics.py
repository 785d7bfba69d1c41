"""A file of measured optics that is gone or damaged: what refuses it, and what mends it."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.calib.store import OpticsModel, Store
from parfocal.calib.value import Measured
from parfocal.edge.cli.findings import Finding
from parfocal.edge.config import config_from_file
from parfocal.edge.measured.calibration import store_for
from parfocal.edge.measured.optics_file import Taught, optics_bytes
from parfocal.edge.measured.optics_in_use import model_digest
from parfocal.edge.simscope.bench import stub_of
from tests.edge.cli.typed import Run, configured

NOW = datetime(2026, 11, 26, tzinfo=timezone.utc)
FILE = "optics-20261126T000000Z.npz"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configured(tmp_path, "")


@pytest.fixture
def store(config: Path) -> Store:
    """The store of the virtual microscope, with a taught head."""
    settings = config_from_file(config)
    store = store_for(stub_of(settings, 1).unit_serial, settings)
    data = optics_bytes((), Taught(np.zeros((3, 4), np.float32), 0.0))
    of_model, of_file = model_digest("difference-20x") or "", hashlib.sha256(data).hexdigest()
    optics = OpticsModel("head", "difference-20x", of_model, store.keep_file(FILE, data), of_file)
    store.keep_all(
        {
            "optics": optics,
            "optics_error_um": Measured(0.1, 0.01, NOW, "stacks", "1", "none.json"),
        }
    )
    return store


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b"no archive")], ids=["gone", "damaged"]
)
def test_damaged_optics_are_named_by_doctor_refused_by_focus_and_mended_by_what_it_recommends(
    run: Run, tmp_path: Path, config: Path, store: Store, damage: Callable[[Path], object]
) -> None:
    def of_optics() -> Finding:
        run("doctor", "--sim", "--config", config, "--json", "found.json")
        found = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=list[Finding])
        return next(one for one in found if one.subject == "optics")

    at = ("--sim", "--config", config)
    assert of_optics().verdict == "ok"
    assert run("calibrate", "optics", "--export", "o.zip", *at)[0] == 0
    damage(store.path.with_name(f"{store.path.stem}-{FILE}"))
    found = of_optics()
    assert (found.verdict, found.exit_code) == ("wrong", 5)
    assert "Run `parfocal calibrate optics`" in found.told
    for verb in (("focus",), ("calibrate", "focus")):  # both would go by another model than was measured
        code, _, error = run(*verb, *at)
        assert (code, FILE in error) == (5, True)
    code, printed, error = run("calibrate", "optics", "--import", "o.zip", *at)
    assert (code, error) == (0, "")
    assert f"calibration: the measured optics are left out: calibration {store.path} refused: " in printed
    assert of_optics().verdict == "ok"
