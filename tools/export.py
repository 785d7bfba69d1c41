"""Turn a checkpoint of ``tools.train`` into the ONNX model that ships: ``python -m tools.export --help``."""

import argparse
import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch

from parfocal.engines.contract import FORMAT_VERSION, METADATA_KEY, SIGN, Contract
from parfocal.engines.golden import save_golden, standardised
from parfocal.engines.onnxruntime_reference import OnnxRuntimeRunner
from tools.card import card
from tools.network import DifferenceNet
from tools.train import Pairs, predict, table

OPSET = 17  # the most that TensorRT 8.6 parses (facts/tensorrt)
MAX_DEVIATION_UM = 1e-3
RANGE_UM = 10.0
MIN_CONTRAST = 4.0
N_GOLDEN, N_CALIBRATION = 32, 32


def averaged_net(checkpoint: Path) -> DifferenceNet:
    """The running average of a training, ready to predict."""
    state = torch.load(checkpoint, weights_only=True)["average"]
    net = DifferenceNet()
    net.load_state_dict({k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")})
    net.eval()
    return net


def contract_of(name: str, delta_um: float, range_um: float) -> Contract:
    """What a difference model for the reference objective promises."""
    return Contract(
        name=name,
        input_name="difference",
        output_name="distance_um",
        kind="difference",
        channels_order="RGB",
        patch_px=224,
        normalisation="channel-standardised",
        delta_um=delta_um,
        um_per_px=0.345,
        objective="20x/0.75",
        range_um=range_um,
        sign=SIGN,
        format_version=FORMAT_VERSION,
    )


def write_onnx(net: DifferenceNet, contract: Contract, path: Path) -> None:
    """Write the graph with its contract, then check it against the network on ONNX Runtime."""
    example = torch.randn(4, 3, contract.patch_px, contract.patch_px)
    torch.onnx.export(
        net,
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
        expected = net(example).numpy()
    deviation_um = float(np.abs(OnnxRuntimeRunner(path, n_threads=1).infer(example.numpy()) - expected).max())
    if deviation_um > MAX_DEVIATION_UM:
        raise SystemExit(f"{path} predicts {deviation_um:.4f} um away from the network it was made of")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, within {deviation_um:.1e} um of the network")


def write_golden(path: Path, held_out: Pairs, training: Pairs) -> None:
    """Write the golden patches beside the model: held-out ones spread over the groups, others to calibrate on."""
    reference = OnnxRuntimeRunner(path, n_threads=1)
    chosen = _spread_over_groups(held_out, N_GOLDEN)
    difference = np.stack([held_out.difference[k] for k in chosen])
    others = np.stack([training.difference[k] for k in _spread_over_groups(training, N_CALIBRATION)])
    written = save_golden(
        path,
        difference,
        np.array([held_out.distance_um[k] for k in chosen], np.float32),
        reference.infer(standardised(difference)),
        others,
    )
    print(f"{written}: {len(chosen)} golden patches, {written.stat().st_size / 1e6:.1f} MB")


def _spread_over_groups(pairs: Pairs, n: int) -> list[int]:
    """Indices of ``n`` usable pairs, taking from each group in turn, within the range of the model."""
    by_group: dict[str, list[int]] = {}
    for k, group in enumerate(pairs.group):
        if abs(pairs.distance_um[k]) <= RANGE_UM and pairs.contrast[k] >= MIN_CONTRAST:
            by_group.setdefault(group, []).append(k)
    # Neighbours in a shard are heights of one object: stride through each group instead.
    share = -(-n // len(by_group))
    chosen = [k for members in by_group.values() for k in members[:: max(1, len(members) // share)][:share]]
    return sorted(chosen)[:n]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the training, with its checkpoint and log"
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="training shards, for the calibration of INT8"
    )
    parser.add_argument("--held-out", type=Path, required=True, help="held-out shards")
    parser.add_argument("--out", type=Path, required=True, help="NAME.onnx")
    parser.add_argument("--delta-um", type=float, default=2.0)
    args = parser.parse_args()
    net = averaged_net(args.run / "checkpoint.pt")
    contract = contract_of(args.out.stem, args.delta_um, RANGE_UM)
    write_onnx(net, contract, args.out)
    held_out, training = Pairs(args.held_out), Pairs(args.data)
    held_out.refresh()
    training.refresh(most_shards=8)
    write_golden(args.out, held_out, training)
    record = json.loads((args.run / "log.json").read_text())
    rows = table(held_out, predict(net, held_out), RANGE_UM)
    args.out.with_suffix(".md").write_text(card(contract, record, rows))


if __name__ == "__main__":
    main()
