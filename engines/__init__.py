"""From ONNX file to engine to runner. No other folder imports an inference runtime."""
