"""Make the INT8 and FP16 forms of a model, and the manifest with their checksums: `make golden`.

A developer's machine does this once per model; devices use the files as they are. Needs the golden patches that
`tools.export` writes beside the model, to calibrate INT8 and to measure all forms.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from parfocal.calib.quantise.half import in_half
from parfocal.calib.quantise.int8 import quantised
from parfocal.calib.quantise.placement import placement_faults
from parfocal.engines.backends import BATCHES
from parfocal.engines.gate import deviation_of, refusal
from parfocal.engines.model.artifacts import MADE_FORMS, Form, artifact_path, write_manifest
from parfocal.engines.model.contract import Contract, contract_from_onnx
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


def make_forms(model_path: Path) -> dict[Form, onnx.ModelProto]:
    """Write all forms of a model and their manifest, and print the deviation of each.

    Raises:
        SystemExit: a form breaks a rule for the placement of Q/DQ nodes.
    """
    golden = load_golden(model_path)
    batch = BATCHES[contract_from_onnx(model_path).kind][0]
    reference = onnx.load(model_path)
    n_batches = max(len(golden.calibration) // batch, 1)
    int8 = quantised(reference, np.array_split(golden.calibration, n_batches), evaluate)
    forms: dict[Form, onnx.ModelProto] = {
        "int8_qdq": int8,
        "fp16": in_half(reference),
        "int8_qdq_fp16": in_half(int8),
    }
    artifact_path(model_path, "fp16").parent.mkdir(exist_ok=True)
    for form in MADE_FORMS:
        faults = placement_faults(forms[form], MAX_OPSET[form])
        if faults:
            raise SystemExit(f"{model_path.stem} {form}: {'; '.join(faults)}")
        path = artifact_path(model_path, form)
        onnx.save(forms[form], path)
        far = deviation_of(
            golden_um(model_path, forms[form], golden), golden.reference_um, golden.distance_um
        )
        print(
            f"{path}: {path.stat().st_size / 1e6:.1f} MB, mean deviation {far.mean_um:.3f} um, largest near the "
            f"focus {far.max_um:.3f} um, error {far.error_growth_um:+.3f} um{', ' * bool(refusal(far))}{refusal(far)}"
        )
    update_manifest(model_path)
    return forms


def update_manifest(model_path: Path) -> None:
    """Write the manifest for the forms in the folder of a model."""
    int8 = onnx.load(artifact_path(model_path, "int8_qdq"))
    write_manifest(model_path, golden_um(model_path, int8, load_golden(model_path)))


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
        make_forms(path)


if __name__ == "__main__":
    main()
