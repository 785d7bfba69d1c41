#!/usr/bin/env bash
# Runs the tests that need a CUDA device. Installs pytest if it is missing, and builds pycuda if there is nvcc; otherwise
# it uses cuda-bindings. TensorRT must be installed already (on a Jetson it comes with JetPack, and `make engine` makes an
# environment that sees it). Run it from anywhere:
#     tools/gpu_check.sh [PYTHON]
# Prints the figures of every engine. Fails without a device, because nothing was checked then.
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
		echo "Installing $* failed. Check that a package index is reachable." >&2
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
	fetch pycuda || true # reported above; cuda-bindings may work
fi
if ! has pycuda.driver; then
	if ! has cuda.bindings.driver; then
		echo "Use of CUDA from Python failed: neither pycuda nor cuda-bindings can be imported. Put nvcc of the CUDA" \
			"toolkit on the PATH to build pycuda, or install cuda-bindings in the CUDA version of the driver." >&2
		exit 1
	fi
	echo "pycuda cannot be imported. Using cuda-bindings." >&2
fi
# Only what tests/gpu needs of the test extra: a Jetson has little disk space.
has "hypothesis, pytest" || fetch hypothesis pytest
"$python" -c 'import tensorrt; print("TensorRT", tensorrt.__version__)' || \
	echo "TensorRT is not installed. Checking only buffers, stream and context." >&2

mkdir -p build/gpu
"$python" -m pytest tests/gpu -p no:cacheprovider -rs --junitxml=build/gpu/report.xml
grep -o '<property [^>]*>' build/gpu/report.xml || true
