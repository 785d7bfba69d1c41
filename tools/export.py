"""Export a training of `tools.train` as the ONNX model that ships: `python -m tools.export --help`.

Writes NAME.onnx with its contract, NAME.head.npz with the head, NAME.golden.npz with the golden patches,
NAME.int8.json with the INT8 scales, and the model card NAME.md with its plots.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.model.contract import (
    FORMAT_VERSION,
    METADATA_KEY,
    SIGN,
    SIGN_OF_SINGLE,
    CondenserTerms,
    Contract,
    HeadTerms,
    Kind,
)
from parfocal.engines.model.golden import Patches, batch_of, save_golden
from parfocal.engines.model.head import load_head, save_head
from parfocal.engines.predictor import Predictor
from tools.arrays import FloatArray
from tools.engines.int8 import measure
from tools.learning import fit
from tools.learning.data.examples import GREY_OFFSET, Examples
from tools.learning.judged import tables
from tools.learning.judged.card import Measured, card
from tools.learning.judged.physics import direction_with_shots_swapped, wrong_direction
from tools.learning.judged.pictures import draw_learning, draw_scatter
from tools.learning.judged.prediction import predict
from tools.learning.recipe import Recipe
from tools.networks.focus import HIDDEN, FocusNet, Head, Whole
from tools.rendering.objectives import OBJECTIVES

OPSET = 17  # the highest that TensorRT 8.6 parses
MAX_DEVIATION_UM = 1e-3
INPUT_NAMES = {"difference": "difference", "pair": "pair", "single": "shot"}
# Number of golden patches, by side of a patch, and of patches to calibrate on. Camera noise makes them large files, so
# only the middle of large patches is stored; `parfocal.engines.model.golden` extends it by its mirror image.
N_GOLDEN = {224: 24, 672: 12}
# Of a model without convolutions: nothing of it is rounded to INT8, so there is little to check, nothing to calibrate.
N_GOLDEN_OF_SPECTRA, N_CALIBRATION_OF_SPECTRA = 8, 2
MAX_GOLDEN_PX = 336
MISREAD_SHARE = 0.1  # of the range of the model, by which it errs on a patch that it misreads
CALIBRATION_STACKS = 100
ALL_PATCHES = 1000  # per plane


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        recipe: its settings.
        graph: network that becomes the ONNX file; it computes features, or distances if there is no head.
        head: head that reads the features.
        condensers: condensers that the head takes.
    """

    recipe: Recipe
    graph: nn.Module
    head: Head | None = None
    condensers: CondenserTerms | None = None

    def distances(self) -> nn.Module:
        """Return the network from patches to distances in um, (n,), for the default condenser."""
        if self.head is None or not isinstance(self.graph, FocusNet):
            return self.graph
        return Whole(
            self.graph, self.head, None if self.condensers is None else self.condensers.default
        ).eval()


def trained_in(folder: Path) -> Trained:
    """Return what the training in a folder gave."""
    if not (folder / fit.MODEL_FILE).exists():
        return _average_of_checkpoint(folder)
    state = torch.load(folder / fit.MODEL_FILE, weights_only=True, map_location="cpu")
    recipe = Recipe(**state["recipe"])
    net = recipe.with_spectra(recipe.network() if recipe.has_body else None)
    net.load_state_dict(state["net"])
    condensers = None if state["condensers"] is None else CondenserTerms(*state["condensers"])
    members = len(state["head"]["first.bias"]) // HIDDEN
    head = Head(net.n_features, condensers is not None, members=members)
    head.load_state_dict(state["head"])
    return Trained(recipe, net.eval(), head.eval(), condensers)


def _average_of_checkpoint(folder: Path) -> Trained:
    state = torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")
    recipe = Recipe(**state["recipe"])
    net = recipe.network()
    prefix = "module."
    net.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state["average"].items() if k.startswith(prefix)}
    )
    return Trained(recipe, net.eval())


def contract_of(name: str, recipe: Recipe, objective: str, head: HeadTerms | None = None) -> Contract:
    """Return the contract of a model with this recipe. `head` is None if its graph predicts distances."""
    return Contract(
        name=name,
        input_name=INPUT_NAMES[recipe.kind],
        output_name="distance_um" if head is None else "features",
        kind=recipe.kind,
        channels_order="RGB",
        patch_px=recipe.patch_px,
        normalisation="channel-standardised",
        delta_um=0.0 if recipe.kind == "single" else recipe.delta_um,
        um_per_px=OBJECTIVES[objective].optics.um_per_px,
        objective=objective,
        range_um=OBJECTIVES[objective].range_um,
        sign=SIGN_OF_SINGLE if recipe.kind == "single" else SIGN,
        format_version=FORMAT_VERSION,
        head=head,
    )


def written_head(path: Path, trained: Trained) -> HeadTerms | None:
    """Write the head beside the model at `path`, and return what its contract says about it; None without a head."""
    if trained.head is None:
        return None
    arrays = trained.head.arrays()
    return HeadTerms(
        sha256=save_head(path, arrays), features=len(trained.head.feature_mean), condenser=trained.condensers
    )


def write_onnx(trained: Trained, contract: Contract, path: Path) -> None:
    """Write the graph with its contract, then compare its predictions, after the head, with those of the network.

    Raises:
        SystemExit: the predictions differ.
    """
    example = torch.randn(2, contract.channels, contract.patch_px, contract.patch_px)
    torch.onnx.export(
        trained.graph,
        (example,),
        str(path),
        opset_version=OPSET,
        input_names=[contract.input_name],
        output_names=[contract.output_name],
        dynamic_axes={contract.input_name: {0: "n"}, contract.output_name: {0: "n"}},
        dynamo=False,
    )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: msgspec.json.encode(contract).decode()})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    with torch.no_grad():
        expected = trained.distances()(example).numpy()
    deviation_um = float(np.abs(reference(path).predict(example.numpy()).distance_um - expected).max())
    if deviation_um > MAX_DEVIATION_UM:
        raise SystemExit(
            f"export to {path} failed: its predictions differ from the network by {deviation_um:.4f} um, "
            f"limit {MAX_DEVIATION_UM:g} um. Do not use the file."
        )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, within {deviation_um:.1e} um of the network")


def reference(path: Path) -> Predictor:
    """Return the model on ONNX Runtime."""
    runner = OnnxRuntimeRunner(path, n_threads=1)
    return Predictor(runner, load_head(path, runner.contract))


def write_golden(
    path: Path,
    contract: Contract,
    held_out: Examples,
    predicted_um: FloatArray,
    training: Examples,
    counts: tuple[int, int],
) -> None:
    """Write golden patches, spread over the held-out groups, and training patches for the calibration: so many of each.

    `predicted_um`: of the held-out patches. One that the model misreads tells how a rounding falls, not whether an
    engine computes as it should.
    """
    predictor, (n_golden, n_calibration) = reference(path), counts
    error_um = np.abs(predicted_um - np.array(held_out.distance_um, np.float32))
    is_read = error_um <= MISREAD_SHARE * contract.range_um
    chosen = _spread_over_groups(held_out, tables.usable(held_out, contract.range_um) & is_read, n_golden)
    golden = _as_stored(held_out, chosen, contract.kind)
    usable = tables.usable(training, contract.range_um)
    others = _as_stored(training, _spread_over_groups(training, usable, n_calibration), contract.kind)
    written = save_golden(
        path,
        golden,
        np.array([held_out.distance_um[k] for k in chosen], np.float32),
        np.concatenate(
            [predictor.predict(batch_of(golden[k : k + 1], contract)).distance_um for k in range(len(golden))]
        ),
        others,
    )
    print(f"{written}: {len(chosen)} golden patches, {written.stat().st_size / 1e6:.1f} MB")


def _as_stored(examples: Examples, chosen: list[int], kind: Kind) -> Patches:
    """Return patches as `parfocal.engines.model.golden` stores them: single shots as they come from the camera."""
    margin_px = max(0, examples.patches[0].shape[1] - MAX_GOLDEN_PX) // 2
    middle = slice(margin_px, examples.patches[0].shape[1] - margin_px)
    patches = np.stack([examples.patches[k][:, middle, middle] for k in chosen])
    return (patches.astype(np.int16) + int(GREY_OFFSET)).astype(np.uint8) if kind == "single" else patches


def _spread_over_groups(examples: Examples, usable: NDArray[np.bool_], n: int) -> list[int]:
    """Return the indices of `n` usable examples, spread evenly over the groups, with the nearest to focus of each."""
    by_group: dict[str, list[int]] = {}
    for k in np.flatnonzero(usable):
        by_group.setdefault(examples.group[k], []).append(int(k))
    # Neighbours are heights of one object, so take examples at equal steps.
    share = -(-n // len(by_group))
    chosen: list[int] = []
    for members in by_group.values():
        nearest = min(members, key=lambda k: abs(examples.distance_um[k]))
        others = [k for k in members if k != nearest]
        chosen += [nearest, *others[:: max(1, len(others) // max(1, share - 1))]][:share]
    return sorted(chosen)[:n]


def measured(
    net: nn.Module,
    recipe: Recipe,
    range_um: float,
    held_out: Examples,
    symmetric: Path | None,
    images: Path | None,
) -> tuple[Measured, NDArray[np.float32]]:
    """Return the errors on all held-out patches, and on whole images if given, and the predictions (n,)."""
    image_rows: list[dict[str, tables.Row]] = []
    if images is not None:
        patches = Examples(images, recipe.kind, recipe.delta_um, recipe.patch_px, ALL_PATCHES)
        patches.refresh()
        whole = tables.images_of(patches, predict(net, patches, "cpu", np.arange(len(patches))))
        image_rows = [
            tables.by_group(whole, whole.predicted_um, range_um),
            tables.by_distance(whole, whole.predicted_um, range_um),
        ]
    chance = None
    if symmetric is not None:
        examples = Examples(symmetric, recipe.kind, recipe.delta_um, recipe.patch_px)
        examples.refresh()
        chance = wrong_direction(net, examples)
    every = np.arange(len(held_out))
    predicted_um = predict(net, held_out, "cpu", every)
    swapped = None if recipe.kind == "single" else direction_with_shots_swapped(net, held_out, recipe.kind)
    return Measured(
        by_group=tables.by_group(held_out, predicted_um, range_um),
        by_distance=tables.by_distance(held_out, predicted_um, range_um),
        swapped=swapped,
        wrong_without_asymmetry=chance,
        images=image_rows,
    ), predicted_um


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the training, with its checkpoint and log"
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="stacks of the training, or made in the same way, of at least the patch size: to calibrate INT8",
    )
    parser.add_argument("--held-out", type=Path, required=True, help="held-out stacks")
    parser.add_argument(
        "--symmetric",
        type=Path,
        help="held-out stacks without phase and aberrations, to test the direction",
    )
    parser.add_argument(
        "--images",
        type=Path,
        help="held-out stacks with many patches per plane, to measure errors of whole images",
    )
    parser.add_argument("--out", type=Path, required=True, help="NAME.onnx")
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default="20x/0.75")
    parser.add_argument("--notes", type=Path, help="Markdown for the card: what was compared and found")
    args = parser.parse_args()
    trained = trained_in(args.run)
    recipe = trained.recipe
    args.out.parent.mkdir(parents=True, exist_ok=True)
    terms = written_head(args.out, trained)
    contract = contract_of(args.out.stem, recipe, args.objective, terms)
    write_onnx(trained, contract, args.out)
    held_out = Examples(args.held_out, recipe.kind, recipe.delta_um, recipe.patch_px)
    training = Examples(args.data, recipe.kind, recipe.delta_um, recipe.patch_px)
    held_out.refresh()
    training.refresh(most_stacks=CALIBRATION_STACKS)
    found, predicted_um = measured(
        trained.distances(), recipe, contract.range_um, held_out, args.symmetric, args.images
    )
    n_golden = N_GOLDEN.get(recipe.patch_px, 16)
    counts = (n_golden, n_golden) if recipe.has_body else (N_GOLDEN_OF_SPECTRA, N_CALIBRATION_OF_SPECTRA)
    write_golden(args.out, contract, held_out, predicted_um, training, counts)
    measure(args.out)
    record = json.loads((args.run / "log.json").read_text())
    notes = args.notes.read_text() if args.notes else ""
    args.out.with_suffix(".md").write_text(card(contract, record, found, notes))
    draw_learning(record["log"], args.out.with_suffix(".learning.png"))
    draw_scatter(
        held_out,
        predicted_um,
        contract.range_um,
        args.out.with_suffix(".scatter.png"),
        f"{contract.name}: held-out patches",
    )


if __name__ == "__main__":
    main()
