"""The package itself: what is installed, and what the lock file pins."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("board", "calib", "edge", "engines")
MAX_LINES = 400


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())
    return found


def test_every_folder_with_code_is_a_package_linked_into_parfocal() -> None:
    for name in FOLDERS:
        assert (ROOT / "parfocal" / name).resolve() == ROOT / name
        for folder in {code.parent for code in (ROOT / name).rglob("*.py")}:
            # A wheel contains packages only: without this file the folder would be missing.
            assert (folder / "__init__.py").is_file(), folder


def test_no_file_of_the_product_is_over_400_lines() -> None:
    lengths = {
        code: len(code.read_text().splitlines()) for name in FOLDERS for code in (ROOT / name).rglob("*.py")
    }
    assert {code: n for code, n in lengths.items() if n > MAX_LINES} == {}


def test_the_lock_pins_every_requirement_and_names_no_host(pyproject: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {line.split("==")[0] for line in lock.splitlines() if "==" in line}
    extras = pyproject["project"]["optional-dependencies"]
    required = [*pyproject["project"]["dependencies"], *extras["demo"], *extras["test"]]
    assert {line.split(">=")[0] for line in required if not line.startswith("parfocal[")} <= pinned
    assert "://" not in lock


def test_readme_names_the_pythons_that_the_package_claims(pyproject: dict[str, Any]) -> None:
    claimed = [
        line.split(" :: ")[-1] for line in pyproject["project"]["classifiers"] if ":: Python ::" in line
    ]
    assert claimed == sorted(claimed, key=lambda version: int(version.split(".")[1]))
    assert pyproject["project"]["requires-python"] == f">={claimed[0]}"
    assert f"Python {claimed[0]} to {claimed[-1]}" in (ROOT / "README.md").read_text()
