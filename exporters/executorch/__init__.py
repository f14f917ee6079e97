"""The target `executorch`: a `.pte` for phones and boards, its layers on XNNPACK."""

from exporters.executorch.exporter import ExecutorchExporter

__all__ = ["ExecutorchExporter"]
