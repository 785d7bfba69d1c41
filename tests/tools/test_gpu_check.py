"""The GPU check: that it can print what its tests measure. They run on a device only."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "gpu_check.sh"

MEASURING = """
def test_that_measures(record_property):
    record_property("fp16 none", "0.9 ms")
"""


def test_figures_of_a_check_get_into_its_report(tmp_path: Path) -> None:
    (tmp_path / "test_measuring.py").write_text(MEASURING)
    report = tmp_path / "report.xml"
    found = re.search(r"-m pytest tests/gpu (.*?) --junitxml=", SCRIPT.read_text())
    assert found is not None
    options = ["-c", str(ROOT / "pyproject.toml"), *found[1].split(), f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", str(tmp_path), *options]
    end = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert end.returncode == 0, end.stdout
    assert '<property name="fp16 none" value="0.9 ms"' in report.read_text()
