"""Timing a network on several backends, fairly: each in a process of its own, in turn, round by round.

engine.py     what a backend is to the clock: load, prepare, run; kernels for a profile
worker.py     the process of one backend; process.py, the other end of its pipe
race.py       turns in random order; figures.py, what the times say
sizes.py      `opt`, `height=64,width=64` → sizes of a network
backends.py   a bundle → who takes part, and who cannot
eager.py      PyTorch, as it is and compiled
measure.py    a bundle → Report; profile.py, time by nodes of the plan
report.py     what was measured, as data; plot.py, as a picture
"""
