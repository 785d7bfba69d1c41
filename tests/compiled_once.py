"""OpenVINO compiles each model once in a test process: that takes as long as a run on a small picture."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from parfocal.engines.cpu import openvino

_compile_anew = openvino._compiled
_compiled: dict[object, Any] = {}  # by content of the model, and settings


def share_compiled_models(patch: pytest.MonkeyPatch) -> None:
    """Let everything that opens or builds an engine in this process share what OpenVINO compiled."""

    def compiled(source: Path | bytes, *settings: Any) -> Any:  # noqa: ANN401
        content = source if isinstance(source, bytes) else source.read_bytes()
        key = (hashlib.sha256(content).digest(), *settings)
        if key not in _compiled:
            _compiled[key] = _compile_anew(source, *settings)
        return _compiled[key]

    patch.setattr(openvino, "_compiled", compiled)
