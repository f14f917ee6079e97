"""The `onnx` target: one `model.onnx` beside the weights it refers to."""

from exporters.onnx.exporter import OnnxExporter

__all__ = ["OnnxExporter"]
