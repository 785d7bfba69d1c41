"""Measure the INT8 scales of a model, NAME.int8.json: `make golden`.

A developer's machine does this once per model. A device makes the INT8 and FP16 forms from the model and its scales
when it builds an engine. Needs the golden patches that `tools.export` writes beside the model, to calibrate INT8 and to
compare all forms with the model.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from parfocal.calib.quantise.forms import made_form
from parfocal.calib.quantise.int8 import activation_ranges
from parfocal.calib.quantise.placement import placement_faults
from parfocal.engines.backends import BATCHES
from parfocal.engines.gate import deviation_of, refusal
from parfocal.engines.model.contract import Contract, contract_from_onnx
from parfocal.engines.model.forms import MADE_FORMS, save_int8
from parfocal.engines.model.golden import Golden, load_golden
from parfocal.engines.model.head import load_head
from parfocal.engines.model.shipped import list_models
from parfocal.engines.predictor import Predictor
from parfocal.engines.runner import checked_output
from tools.arrays import FloatArray

MAX_OPSET = {"int8_qdq": 17, "fp16": 17, "int8_qdq_fp16": 19}


def evaluate(model: onnx.ModelProto, batch: FloatArray) -> dict[str, FloatArray]:
    """Return all outputs of a graph, by name, for one batch, from ONNX Runtime without graph optimisation.

    Optimisation would merge Q/DQ nodes and the Conv between them into one integer kernel, whose sums saturate on a CPU
    without VNNI: predictions would depend on the machine. Without it, all arithmetic except the rounding is in float.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # no warnings that FP16 constants are not folded
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: batch}), strict=True))


def measure(model_path: Path) -> None:
    """Measure the INT8 scales of a model, write them, and print how far each form deviates.

    Raises:
        SystemExit: a form breaks a rule for the placement of Q/DQ nodes.
    """
    golden = load_golden(model_path)
    batch = BATCHES[contract_from_onnx(model_path).kind][0]
    n_batches = max(len(golden.calibration) // batch, 1)
    batches = np.array_split(golden.calibration, n_batches)
    ranges = activation_ranges(onnx.load(model_path), batches, evaluate)
    for name in MADE_FORMS:
        form = onnx.load_from_string(made_form(model_path.read_bytes(), name, ranges))
        faults = placement_faults(form, MAX_OPSET[name])
        if faults:
            raise SystemExit(f"{model_path.stem} {name}: {'; '.join(faults)}")
        far = deviation_of(golden_um(model_path, form, golden), golden.reference_um, golden.distance_um)
        print(
            f"{model_path.stem} {name}: mean deviation {far.mean_um:.3f} um, largest near the focus "
            f"{far.max_um:.3f} um, error {far.error_growth_um:+.3f} um{', ' * bool(refusal(far))}{refusal(far)}"
        )
    save(model_path, ranges)


def save(model_path: Path, ranges: Mapping[str, float]) -> None:
    """Write the scales of a model, with the predictions of its INT8 graph for the golden patches."""
    form = onnx.load_from_string(made_form(model_path.read_bytes(), "int8_qdq", ranges))
    save_int8(model_path, ranges, golden_um(model_path, form, load_golden(model_path)))


@dataclass(frozen=True)
class _Graph:
    """A `Runner` of a graph without optimisation, see `evaluate`."""

    graph: onnx.ModelProto
    contract: Contract

    def infer(self, batch: FloatArray) -> FloatArray:
        """Compute the outputs for a batch, float32 (n, outputs)."""
        (outputs,) = evaluate(self.graph, batch).values()
        return checked_output(self.contract, outputs, len(batch))


def golden_um(model_path: Path, form: onnx.ModelProto, golden: Golden) -> FloatArray:
    """Return the predictions of a form for the golden patches, float32 (n,)."""
    contract = contract_from_onnx(model_path)
    predictor = Predictor(_Graph(form, contract), load_head(model_path, contract))
    return predictor.predict(golden.batch).distance_um


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="*", help="NAME.onnx; default: all that ship")
    args = parser.parse_args()
    for path in args.models or [model.path for model in list_models()]:
        measure(path)


if __name__ == "__main__":
    main()
