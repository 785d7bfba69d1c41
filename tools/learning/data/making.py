"""Parts of features, made by processes of their own.

A part depends on its number only, and is written atomically: a stopped run goes on.
"""

import multiprocessing as mp
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from tools.learning.data.features import Features, together
from tools.learning.data.frames import PairMaker
from tools.learning.data.kept_features import load_part, save_part
from tools.learning.data.shots import SHOT_PX, ShotMaker

Shots = Literal["pair", "single"]
# The kinds of patches of pairs, of which the second have no maps, and of single shots: blocks and whole shots.
KINDS: Final[dict[Shots, tuple[str, ...]]] = {"pair": ("pair", "spectral"), "single": ("block", "single")}
# Those that a head learns from. A whole single shot counts three times, as the microscope feeds it.
FOR: Final[dict[str, tuple[str, ...]]] = {
    "pair": ("pair",),
    "single": ("block", "single", "single", "single"),
}


@dataclass(frozen=True)
class Making:
    """What to make.

    Attributes:
        tiles: folder of the sharp images that objects are made from.
        shots: pairs, or single shots.
        body: model whose body computes the maps. Without one, the features are spectra alone.
        objective: name of the objective, of `OBJECTIVES`.
        out: folder for the parts.
        seed: another seed gives other parts.
        shot_px: side of a whole single shot.
    """

    tiles: Path
    shots: Shots
    body: Path | None
    objective: str
    out: Path
    seed: int
    shot_px: int = SHOT_PX


def maker_of(making: Making) -> PairMaker | ShotMaker:
    """Return what makes the parts."""
    if making.shots == "single":
        return ShotMaker(making.tiles, making.objective, making.body, making.shot_px)
    return PairMaker(making.tiles, making.objective, making.body)


def make_parts(making: Making, numbers: Iterable[int]) -> None:
    """Make the parts that do not exist yet. The work of a process of its own."""
    maker: PairMaker | ShotMaker | None = None
    for number in numbers:
        files = {kind: _file(making.out, kind, number) for kind in KINDS[making.shots]}
        if all(file.exists() for file in files.values()):
            continue
        maker = maker or maker_of(making)
        found = maker.part(np.random.default_rng([making.seed, number]))
        for kind, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            if kind in found:
                save_part(found[kind], file, source_of(making))
            else:
                file.touch()


def source_of(making: Making) -> str:
    """Return what the parts of a run are made from."""
    body = "spectra" if making.body is None else making.body.name
    return f"{making.seed} {making.objective} {making.shots} of {making.shot_px} px {body}"


def make(making: Making, parts: int, workers: int) -> None:
    """Make parts 0 .. `parts` - 1 in `workers` processes.

    They are started anew, not forked: the libraries of this process have threads, which a fork does not copy.
    """
    context = mp.get_context("spawn")
    processes = [
        context.Process(target=make_parts, args=(making, range(worker, parts, workers)), daemon=True)
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"making parts in {making.out} failed: see the error above")


def made(folder: Path, kind: str, say: Callable[[str], None]) -> Features:
    """Return the features of one kind in a folder. Raises SystemExit if there are none."""
    parts = [part for _, part in _parts_in(folder, kind)]
    if not parts:
        raise SystemExit(f"{folder} has no parts of kind {kind}: run `python -m tools.make_features` first")
    say(f"{sum(map(len, parts))} patches of kind {kind} in {len(parts)} parts of {folder}")
    return together(parts)


def _parts_in(folder: Path, kind: str) -> Iterator[tuple[Path, Features]]:
    for file in sorted((folder / kind).glob("[0-9]*.npz")):
        part = load_part(file, None)
        if part is not None:
            yield file, part


def _file(out: Path, kind: str, number: int) -> Path:
    return out / kind / f"{number:05d}.npz"
