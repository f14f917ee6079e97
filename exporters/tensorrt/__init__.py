"""The `tensorrt` target, and the gate that says whether an ONNX file is ready for it."""
