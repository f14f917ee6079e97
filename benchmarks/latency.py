"""ONNX Runtime on the CPU: our file, torch.onnx's export of the diffusers twin, and PyTorch, interleaved"""

from __future__ import annotations

from benchmarks import deployment


def main() -> None:
    deployment.main("ddpm", "sd15", "ort-cpu")


if __name__ == "__main__":
    main()
