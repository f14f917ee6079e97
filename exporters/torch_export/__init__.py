"""The targets `torch_export`, a program of `torch.export`, and `aot_inductor`, the same compiled for one processor."""

from exporters.torch_export.exporter import AotInductorExporter, TorchExporter

__all__ = ["AotInductorExporter", "TorchExporter"]
