"""The aarch64 check: its errors on a machine that cannot run it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "aarch64_check.sh"


def ended(*command: str | Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    """Run the script with `path` as its PATH."""
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True)


def told(line: str) -> tuple[int, str, str]:
    """Return the error line; check the exit code and that standard output is empty."""
    return 1, "", f"aarch64 check: {line}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root is told that first")
@pytest.mark.parametrize("missing", ["debootstrap", "qemu-aarch64-static"])
def test_missing_program_gives_one_line_that_says_what_to_install(missing: str, tmp_path: Path) -> None:
    for program in ("bash", "dirname"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    for program in {"debootstrap", "qemu-aarch64-static"} - {missing}:
        (tmp_path / program).write_text("#!/usr/bin/env bash\nexit 99\n")  # found, but never run
        (tmp_path / program).chmod(0o755)
    end = ended(SCRIPT, path=str(tmp_path))
    assert (end.returncode, end.stdout, end.stderr) == told(
        f"{missing} was not found. Install it: apt-get install debootstrap qemu-user-static util-linux"
    )


def test_error_without_root_says_how_to_run_it() -> None:
    nobody = ("unshare", "--user") if os.geteuid() == 0 else ()
    if nobody and ended(*nobody, "true").returncode:
        pytest.skip("no user namespace can be made here")
    end = ended(*nobody, SCRIPT)
    assert (end.returncode, end.stdout, end.stderr) == told(
        "chroot and mount need root. Run it as root: sudo make aarch64-check"
    )


def test_the_script_sets_each_of_its_settings_once() -> None:
    # A merge had left the old settings behind the new ones, and the check would have run tests that crash under qemu.
    names = re.findall(r"^(\w+)=", SCRIPT.read_text(), re.M)
    assert "tests" in names
    assert len(names) == len(set(names))
