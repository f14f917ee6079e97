"""Everything that knows a deployment target. netspec never imports this package; it finds targets by entry point.

lowering/     fx → ONNX, shared by every target that speaks ONNX
onnx/ …       one folder per target: a class with requires / export / ensures
"""
