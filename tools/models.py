"""The heads of the shipped models anew, from sharp tiles to cards, in one command: `make models TILES=...`.

Each stage is a command. A stage whose command, programs and inputs are those of its last success is skipped, so a
stopped run goes on; within a stage, parts and stacks that exist are kept. Bodies stay those of the shipped models:
`tools.teach` trains new ones on a GPU. Nothing is written into the tree; the last line says how to compare.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from parfocal.engines.model.contract import contract_from_onnx
from parfocal.engines.model.shipped import MODELS_FOLDER, model_path

ROOT = Path(__file__).parent.parent
# Of what a stage depends on besides its inputs. A change of any of these files makes all stages anew.
PROGRAMS = (
    "tools/rendering/cameras.py",
    "tools/learning",
    "tools/networks",
    "tools/rendering",
    "tools/tissue",
)
SHIPPED = (
    "difference-20x",
    "single-20x",
    "difference-40x",
    "spectral-20x",
    "single-10x",
    "single-40x",
    "spectral-10x",
)
WITHOUT_BODY = ("spectral-20x", "single-10x", "single-40x", "spectral-10x")
# The head of `single-20x` keeps its first members, which err least on soft tissue. Those beside them are made anew and
# have seen compressing cameras (docs/models.md).
ADDED = {"keep_members": 4, "add_members": 8, "linear_from_um": 0.3}
# Pairs have spectra and maps. A model of pairs without a body learns from the spectra among the features of another.
SPECTRA_OF = {"spectral-20x": "difference-20x"}


@dataclass(frozen=True)
class Size:
    """How much to make: parts of features, held-out stacks, stacks to calibrate on, fields to scale sigma on.

    Of pairs, `pair_parts` have maps. With spectra alone a part takes a quarter of the time: `spectra_parts`.
    """

    pair_parts: int
    spectra_parts: int
    single_parts: int
    held_out: int
    training: int
    sigma_fields: int


FULL, LIGHT = Size(500, 1200, 1200, 120, 100, 8), Size(2, 2, 2, 8, 6, 1)


@dataclass(frozen=True)
class Stage:
    """One command. `inputs` are what it reads and `output` is what it writes, files or folders."""

    name: str
    arguments: tuple[str, ...]
    inputs: tuple[Path, ...]
    output: Path


def stages(model: str, tiles: Path, out: Path, size: Size) -> list[Stage]:
    """Return what makes one model, in order."""
    contract = contract_from_onnx(model_path(model))
    objective = contract.objective
    data = _folder(out, objective)
    run, made = out / model / "run", out / model / f"{model}.onnx"
    common = {"tiles": tiles, "objective": objective}
    held_out, training = (data / f"{name}-{contract.patch_px}" for name in ("held-out", "training"))
    stacks = {**common, "patch_px": contract.patch_px, "condenser": 0.6}
    features = _features(model, tiles, out, size)
    learned: dict[str, object] = {"features": features.output, "held_out": held_out}
    if contract.kind == "single":
        learned |= {"sigma_tiles": tiles, "sigma_fields": size.sigma_fields, "fit_batch": 1024}
        if model not in WITHOUT_BODY:
            learned |= ADDED
    delta_um = contract.delta_um or 2.0  # a single shot has none
    start = model_path(model)
    how = {"head": "spectra-only"} if model in WITHOUT_BODY else {"start": start}
    return [
        features,
        Stage(
            "held-out stacks",
            (
                *_command("synthesize", **stacks, out=held_out, stacks=size.held_out, seed=9, phase=0.3),
                "--held-out",
            ),
            (tiles,),
            held_out,
        ),
        Stage(
            "stacks to calibrate on",
            _command("synthesize", **stacks, out=training, stacks=size.training),
            (tiles,),
            training,
        ),
        Stage(
            "head",
            _command(
                "train",
                **how,
                kind=contract.kind,
                delta_um=delta_um,
                objective=objective,
                patch_px=contract.patch_px,
                **learned,
                out=run,
            ),
            (features.output, held_out, start, tiles),
            run,
        ),
        Stage(
            "model and card",
            _command("export", run=run, data=training, held_out=held_out, objective=objective, out=made),
            (run, training, held_out),
            made,
        ),
    ]


def _features(model: str, tiles: Path, out: Path, size: Size) -> Stage:
    """Return what makes the features that a model learns from."""
    contract = contract_from_onnx(model_path(model))
    whose = SPECTRA_OF.get(model, model)
    body = None if whose in WITHOUT_BODY else model_path(whose)
    shots, parts = ("single", size.single_parts)
    if contract.kind == "pair":
        shots, parts = ("pair", size.spectra_parts if body is None else size.pair_parts)
    features = _folder(out, contract.objective) / f"features-{shots}"
    how: dict[str, object] = {"shots": shots, "parts": parts}
    if body is not None:
        how["body"] = body
    if body is not None and shots == "single":
        # Maps and spectra of smaller shots scatter more, and a head that learns from them errs more near the focus.
        how["shot_px"] = contract.patch_px
    command = _command("make_features", tiles=tiles, objective=contract.objective, out=features, **how)
    return Stage("features", command, (tiles,) if body is None else (tiles, body), features)


def _folder(out: Path, objective: str) -> Path:
    return out / objective.replace("/", "-")


def _command(program: str, **options: object) -> tuple[str, ...]:
    """Return a program of `tools` with its options."""
    given = (word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value)))
    return (f"tools.{program}", *given)


def digest_of(stage: Stage) -> str:
    """Return a hash of a stage's command, of the programs, and of name, size and time of each file that it reads."""
    digest = hashlib.sha256(repr(stage.arguments).encode())
    program = ROOT / (stage.arguments[0].replace(".", "/") + ".py")
    for path in (program, *(ROOT / name for name in PROGRAMS)):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    for path in stage.inputs:
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            state = file.stat()
            digest.update(f"{file} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def run_stage(stage: Stage, done: Path) -> bool:
    """Run a stage unless it succeeded before as it would now. Returns whether it ran.

    Args:
        stage: what to run.
        done: folder with the digest of each stage that succeeded.

    Raises:
        SystemExit: it failed.
    """
    mark = done / hashlib.sha256(str(stage.output).encode()).hexdigest()[:16]
    digest = digest_of(stage)
    if stage.output.exists() and mark.exists() and mark.read_text() == digest:
        return False
    stage.output.parent.mkdir(parents=True, exist_ok=True)
    # Threads that wait in a loop for each other took 20 times as long for a head, on two cores with another program.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    command = [sys.executable, "-m", *stage.arguments]
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if code:
        raise SystemExit(f"{stage.name} failed: see the error above, then run the same command to go on")
    done.mkdir(parents=True, exist_ok=True)
    mark.write_text(digest)
    return True


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=SHIPPED, help=f"default: {', '.join(SHIPPED)}")
    parser.add_argument("--tiles", type=Path, required=True, help="folder of sharp tiles")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "models")
    parser.add_argument(
        "--light", action="store_true", help="minutes instead of hours: shows that every stage works, no more"
    )
    args = parser.parse_args()
    unknown = sorted(set(args.models) - set(SHIPPED))
    if unknown:
        parser.error(f"no model {', '.join(unknown)} ships: choose from {', '.join(SHIPPED)}")
    size = LIGHT if args.light else FULL
    for model in args.models:
        for stage in stages(model, args.tiles.resolve(), args.out.resolve(), size):
            print(f"{model}: {stage.name}", flush=True)
            if not run_stage(stage, args.out.resolve() / "done"):
                print("  as it was", flush=True)
        made = args.out / model / f"{model}.onnx"
        print(
            f"{made}; compare: python -m tools.rows {made} {MODELS_FOLDER / made.name} --tiles {args.tiles} "
            f"--objective {contract_from_onnx(model_path(model)).objective}"
        )


if __name__ == "__main__":
    main()
