"""cold start of the commands that need no torch"""

from __future__ import annotations

from statistics import median

from benchmarks.process import netspec

SPEC = "specs/unet/sd15.yaml"


def main(rounds: int = 9) -> None:
    for command in (("check", SPEC), ("show", SPEC), ("resolve", SPEC), ("list",), ("schema",)):
        runs = [netspec(*command) for _ in range(rounds)]
        seconds = sorted(run.seconds for run in runs)
        print(
            f"netspec {' '.join(command):<30} median {median(seconds):.3f} s  "
            f"({seconds[0]:.3f} to {seconds[-1]:.3f})  {runs[0].megabytes:.0f} MB"
        )
