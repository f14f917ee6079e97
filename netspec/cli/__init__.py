"""The command line: one short file per command. The only place of netspec that prints or exits."""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import import_module
from keyword import iskeyword

import typer

from netspec import __version__, render
from netspec.cli import completion
from netspec.errors import NetspecError

COMMANDS = (
    "check", "show", "plot", "build", "verify", "bind", "resolve", "import", "export-config", "new", "list", "explain",
    "schema", "bench", "report", "gate", "targets", "diff", "sweep",
)  # fmt: skip
GROUPS = ("weights",)  # commands with verbs of their own

app = typer.Typer(
    name="netspec",
    help="Compile a YAML spec of a diffusion denoiser into a PyTorch graph and verified ONNX.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name in COMMANDS:
    _module = _name.replace("-", "_") + "_" * iskeyword(_name)
    app.command(_name)(import_module(f"netspec.cli.{_module}").command)
for _name in GROUPS:
    app.add_typer(import_module(f"netspec.cli.{_name}").app, name=_name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"netspec {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Compile a YAML spec of a diffusion denoiser into a PyTorch graph and verified ONNX."""


def main() -> None:
    """Run one command. Errors that netspec explains are rendered; anything else is a bug of ours and says so."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Δ shows `?` rather than nothing
    completion.rejoin(os.environ)
    try:
        app()
    except NetspecError as error:
        _show(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError as error:
        sys.stderr.write(f"netspec: out of memory: {error or 'nothing more to give'}\n")
        sys.exit(1)
    except BrokenPipeError:
        _abandon_output()
        sys.exit(141)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _abandon_output()
            sys.stderr.write(f"netspec: cannot write {error.filename or 'what was asked for'}: the disk is full\n")
            sys.exit(1)
        if os.environ.get("NETSPEC_DEBUG"):
            raise
        sys.stderr.write(
            f"netspec: internal error: {type(error).__name__}: {error}\n"
            "This is a bug of netspec, not of your spec. Please report it with the spec and the command;\n"
            "NETSPEC_DEBUG=1 shows the traceback.\n"
        )
        sys.exit(70)


def _abandon_output() -> None:
    """What is still in the buffer goes nowhere: Python would try again on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(error: NetspecError) -> None:
    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    sys.stderr.write(encodable(render.render(error.diagnostics, color=color), sys.stderr.encoding))


def encodable(text: str, encoding: str | None) -> str:
    """The text with characters that a terminal cannot show replaced."""
    return text.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")
