"""The figures of README.md and docs/, measured. `python -m benchmarks` runs all, `python -m benchmarks NAME` one."""
