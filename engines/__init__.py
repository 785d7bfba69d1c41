"""ONNX to engine to runner: the only folder that knows an inference runtime."""
