#!/usr/bin/env bash
# The checks that need a CUDA device. Builds pycuda where it is missing; TensorRT must be there already (on a
# Jetson it comes with JetPack, and `make engine` makes an environment that sees it). Run it from anywhere:
#     tools/gpu_check.sh [PYTHON]
# Ends with the figures of every engine, and with a failure where there is no device: nothing was proven then.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
export PYTHONPATH=$PWD/.typing${PYTHONPATH:+:$PYTHONPATH}

"$python" - <<'PROBE'
import sys

from parfocal.engines.cuda_probe import probe
from parfocal.engines.errors import BuildFailed

try:
    print(probe())
except BuildFailed as error:
    sys.exit(str(error))
PROBE

if ! "$python" -c 'import pycuda.driver' 2>/dev/null; then
	command -v nvcc >/dev/null || { echo "pycuda wants the CUDA toolkit: put nvcc on the PATH." >&2; exit 1; }
	"$python" -m pip install --quiet --disable-pip-version-check --constraint requirements.lock pycuda
fi
"$python" -c 'import tensorrt; print("TensorRT", tensorrt.__version__)' || \
	echo "TensorRT is not installed: only buffers, stream and context are checked." >&2

mkdir -p build/gpu
"$python" -m pytest tests/gpu -p no:cacheprovider -rs --junitxml=build/gpu/report.xml
grep -o '<property [^>]*>' build/gpu/report.xml || true
