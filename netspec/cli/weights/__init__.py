"""netspec weights: files of weights, without a network. One short file per verb."""

from __future__ import annotations

from importlib import import_module

import typer

VERBS = ("inspect", "convert")

app = typer.Typer(help="Look into files of weights, and turn them into other layouts.", no_args_is_help=True)
for _name in VERBS:
    app.command(_name)(import_module(f"netspec.cli.weights.{_name}").command)
