"""Mutation test: break the code on purpose, and check that tests fail: `python -m tools.mutate [ROOM ...]`.

Each file in the folders of `tools/mutations` is a room; any other name lists the rooms.

Mutations are made one at a time, in a copy of the tree. The tests listed with each must fail. A mutation that survives
is a promise without a test; the exit status is then 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.mutations.focusing import belief, controller, depths, focus, following, proof, uneven
from tools.mutations.instrument import board, calibration, camera, firmware, lens, setting_up, way_points
from tools.mutations.mutation import Mutation
from tools.mutations.scanning import going_on, planes, scan, slides, survey, sweep, triggers

ROOT = Path(__file__).parent.parent
COPIED = (
    "board",
    "edge",
    "engines",
    "calib",
    "tests",
    "tools",
    "pyproject.toml",
)
_LONGEST_S = 300.0
ROOMS = {
    "belief": belief.MUTATIONS,
    "calibration": calibration.MUTATIONS,
    "board": board.MUTATIONS,
    "camera": camera.MUTATIONS,
    "going-on": going_on.MUTATIONS,
    "controller": controller.MUTATIONS,
    "depths": depths.MUTATIONS,
    "firmware": firmware.MUTATIONS,
    "focus": focus.MUTATIONS,
    "following": following.MUTATIONS,
    "lens": lens.MUTATIONS,
    "proof": proof.MUTATIONS,
    "setting-up": setting_up.MUTATIONS,
    "uneven": uneven.MUTATIONS,
    "scan": scan.MUTATIONS,
    "slides": slides.MUTATIONS,
    "sweep": sweep.MUTATIONS,
    "planes": planes.MUTATIONS,
    "triggers": triggers.MUTATIONS,
    "survey": survey.MUTATIONS,
    "way-points": way_points.MUTATIONS,
}


def survives(mutation: Mutation, tree: Path) -> bool:
    """Whether the tests of `mutation` pass in `tree` with it applied. Restores the tree."""
    file = tree / mutation.file
    text = file.read_text()
    if mutation.old not in text:
        raise ValueError(f"mutation {mutation.name!r}: {mutation.file} has no {mutation.old!r}. Adapt it.")
    file.write_text(text.replace(mutation.old, mutation.new))
    try:
        return passes(tree, mutation.tests)
    finally:
        file.write_text(text)


def passes(tree: Path, tests: tuple[str, ...]) -> bool:
    """Whether these tests pass in `tree`."""
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'path'}:{tree}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False  # a test that hangs has detected it, too
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest could not run in {tree}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def copy_of_the_tree(tree: Path) -> None:
    """Copy the product and its tests, importable as `parfocal` from `tree`/path. Models are linked."""
    for name in COPIED:
        source = ROOT / name
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            linked = ("models",) if name == "engines" else ()
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", *linked))
        else:
            shutil.copy(source, tree / name)
    (tree / "engines" / "models").symlink_to(ROOT / "engines" / "models")
    (tree / "path" / "parfocal").mkdir(parents=True)
    shutil.copy(ROOT / "parfocal" / "__init__.py", tree / "path" / "parfocal")
    for folder in ("board", "edge", "engines", "calib"):
        (tree / "path" / "parfocal" / folder).symlink_to(tree / folder)


def main() -> int:
    """Run the mutations of the rooms named on the command line, else all. Returns 1 if one survives."""
    names = sys.argv[1:] or list(ROOMS)
    unknown = [name for name in names if name not in ROOMS]
    if unknown:
        print(f"no mutations of {', '.join(unknown)}: name {', '.join(ROOMS)}, or nothing for all.")
        return 2
    mutations = [mutation for name in names for mutation in ROOMS[name]]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_of_the_tree(tree)
        every = tuple(sorted({name for mutation in mutations for name in mutation.tests}))
        if not passes(tree, every):
            print("the tests fail without any mutation. Make them pass first.")
            return 1
        survivors = []
        for mutation in mutations:
            alive = survives(mutation, tree)
            print(f"{'SURVIVES' if alive else 'detected'}: {mutation.name}", flush=True)
            survivors += [mutation.name] if alive else []
    print(
        f"{len(mutations)} mutations, {len(survivors)} survive" + "".join(f"\n  {name}" for name in survivors)
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
