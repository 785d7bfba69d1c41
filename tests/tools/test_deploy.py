"""`install.sh` switches only to a version that works, can go back, and undoes what it did.

The interpreter is a stand-in that makes an environment of three small scripts, so that nothing is installed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "deploy" / "install.sh"
RULE = "60-parfocal.rules"

# What `python3` is asked for by the script: its version, whether it can make environments, TensorRT, and a venv.
PYTHON = """#!/bin/sh
case "$*" in
*tensorrt*) exit ${HAS_NO_TENSORRT:-1} ;;
--version) echo "Python 3.11.2" ;;
*"-m venv"*)
	for folder; do :; done
	mkdir -p "$folder/bin"
	echo "include-system-site-packages = false" >"$folder/pyvenv.cfg"
	cp "$0" "$folder/bin/python"
	;;
*"-m pip install"*)
	echo "$*" >>"$LOG"
	for wheel; do :; done
	[ "$(cat "$wheel")" != broken ] || exit 1
	{ echo '#!/bin/sh'; cat "$wheel"; } >"$(dirname "$0")/parfocal"
	chmod +x "$(dirname "$0")/parfocal"
	;;
esac
"""
WORKS = 'echo "$1" >>"$LOG"\n[ "$1" != --version ] || echo "parfocal {version}"\n'
BREAKS_AT = WORKS + '[ "$1" != {verb} ] || exit 1\n'


class Device:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "log"
        self.log.touch()
        self.python = root / "python3"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        self.versions = root / "versions"
        self.command = root / "bin" / "parfocal"
        self.rules = root / "rules"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", SCRIPT, *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root),
                "PARFOCAL_HOME": str(self.versions),
                "PARFOCAL_BIN": str(self.root / "bin"),
                "PYTHON": str(self.python),
                "RULES": str(self.rules),
                "LOG": str(self.log),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def wheel(self, version: str, text: str = WORKS) -> str:
        wheel = self.root / f"parfocal-{version}-py3-none-any.whl"
        wheel.write_text(text.replace("{version}", version))
        return str(wheel)

    def version(self) -> str:
        said = subprocess.run(
            [self.command, "--version"],
            env={"LOG": str(self.log)},
            capture_output=True,
            text=True,
            check=True,
        )
        return said.stdout.strip()

    def there(self) -> list[str]:
        return sorted(path.name.split("-")[0] for path in self.versions.glob("*-*") if path.is_dir())


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_it_checks_a_version_before_it_switches_and_says_what_it_did(device: Device) -> None:
    done = device.run("--wheel", device.wheel("1.0"))
    assert done.returncode == 0, done.stderr
    assert device.version() == "parfocal 1.0"
    assert device.log.read_text().split("\n")[1:6] == ["--version", "focus", "engine", "--version", "doctor"]
    for said in ("installing 1.0-", "installed: ", "what doctor says:", "undo everything: sh "):
        assert said in done.stdout


def test_an_upgrade_keeps_the_version_before_and_can_go_back_and_forth(device: Device) -> None:
    for version in ("1.0", "1.1", "1.2"):
        assert device.run("--wheel", device.wheel(version), "--no-engines").returncode == 0
    assert (device.version(), device.there()) == ("parfocal 1.2", ["1.1", "1.2"])
    assert "engine" not in device.log.read_text()
    assert "back at 1.1-" in device.run("--back").stdout
    assert device.version() == "parfocal 1.1"
    device.run("--back")
    assert device.version() == "parfocal 1.2"


@pytest.mark.parametrize("fails_at", ["pip", "--version", "focus", "engine"])
def test_a_failed_upgrade_leaves_the_old_version_working(device: Device, fails_at: str) -> None:
    assert device.run("--wheel", device.wheel("1.0")).returncode == 0
    text = "broken" if fails_at == "pip" else BREAKS_AT.replace("{verb}", fails_at)
    failed = device.run("--wheel", device.wheel("1.1", text))
    assert failed.returncode == 1
    assert "is in use as before" in failed.stderr
    assert (device.version(), device.there()) == ("parfocal 1.0", ["1.0"])


def test_a_first_installation_that_fails_leaves_nothing(device: Device) -> None:
    failed = device.run("--wheel", device.wheel("1.0", "broken"))
    assert "not installed; nothing was left behind" in failed.stderr
    assert (device.there(), device.command.exists()) == ([], False)
    assert "no version before this one" in device.run("--back").stderr


def test_the_same_wheel_again_is_installed_beside_itself(device: Device) -> None:
    wheel = device.wheel("1.0")
    for _ in range(2):
        assert device.run("--wheel", wheel, "--no-engines").returncode == 0
    assert device.version() == "parfocal 1.0"


def test_without_a_network_nothing_is_asked_of_an_index(device: Device) -> None:
    device.run("--wheel", device.wheel("1.0"), "--wheels", "carried", "--constraint", "lock", "--no-engines")
    asked = device.log.read_text().splitlines()[0]
    assert "--constraint lock --no-index --find-links carried" in asked


def test_undo_removes_what_was_installed_and_nothing_else(device: Device) -> None:
    device.run("--wheel", device.wheel("1.0"), "--no-engines")
    other = device.rules / "99-other.rules"
    device.rules.mkdir(exist_ok=True)
    other.write_text("mine")
    kept = device.root / "calibration.toml"
    kept.write_text("mine")
    undone = device.run("--undo")
    assert undone.returncode == 0
    assert not device.versions.exists()
    assert not device.command.is_symlink()
    assert sorted(file.name for file in device.rules.iterdir()) == ["99-other.rules"]
    assert kept.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs udev rules")
def test_root_installs_the_udev_rules(device: Device) -> None:
    device.run("--wheel", device.wheel("1.0"), "--no-engines")
    text = (device.rules / RULE).read_text()
    for needed in (
        'ENV{ID_MM_DEVICE_IGNORE}="1"',
        'SYMLINK+="parfocal-$attr{serial}"',
        'GROUP="video"',
        '"1209"',
    ):
        assert needed in text


def test_what_is_wrong_is_said_before_anything_is_made(device: Device) -> None:
    assert "no wheel: give --wheel FILE" in device.run().stderr
    assert "unknown argument --what" in device.run("--what").stderr
    missing = device.run("--wheel", device.wheel("1.0"), PYTHON=str(device.root / "nowhere"))
    assert "Install Python 3.10 or later" in missing.stderr
    assert not device.versions.exists()
