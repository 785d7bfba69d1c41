#!/usr/bin/env bash
# The checks that need a CUDA device. Installs pytest where it is missing, and builds pycuda where there is nvcc;
# without it, cuda-bindings will do. TensorRT must be there already (on a Jetson it comes with JetPack, and
# `make engine` makes an environment that sees it). Run it from anywhere:
#     tools/gpu_check.sh [PYTHON]
# Ends with the figures of every engine, and with a failure where there is no device: nothing was proven then.
set -euo pipefail
python=${1:-}
[[ $python != */* ]] || python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
cd "$(dirname "$0")/.."
python=${python:-.venv/bin/python}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export PATH=$PATH:/usr/local/cuda/bin # where JetPack puts nvcc

has() { "$python" -c "import $1" 2>/dev/null; }

fetch() {
	"$python" -m pip install --quiet --disable-pip-version-check --constraint requirements.lock "$@" || {
		echo "Installing $* failed: is a package index within reach?" >&2
		return 1
	}
}

"$python" - <<'PROBE'
import sys

from parfocal.engines.gpu.cuda_probe import probe
from parfocal.engines.errors import BuildFailed

try:
    print(probe())
except BuildFailed as error:
    sys.exit(str(error))
PROBE

if ! has pycuda.driver && command -v nvcc >/dev/null; then
	fetch pycuda || true # told above; cuda-bindings may do
fi
if ! has pycuda.driver; then
	if ! has cuda.bindings.driver; then
		echo "Use of CUDA from Python failed: neither pycuda nor cuda-bindings can be imported. Put nvcc of the CUDA" \
			"toolkit on the PATH, which builds pycuda, or install cuda-bindings of the driver's CUDA version." >&2
		exit 1
	fi
	echo "pycuda cannot be imported: cuda-bindings are used." >&2
fi
# tests/gpu take no more of the test extra than these; a Jetson has no room to spare.
has "hypothesis, pytest" || fetch hypothesis pytest
"$python" -c 'import tensorrt; print("TensorRT", tensorrt.__version__)' || \
	echo "TensorRT is not installed: only buffers, stream and context are checked." >&2

mkdir -p build/gpu
"$python" -m pytest tests/gpu -p no:cacheprovider -rs --junitxml=build/gpu/report.xml
grep -o '<property [^>]*>' build/gpu/report.xml || true
