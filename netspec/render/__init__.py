"""Diagnostics → text, concise, json, github or sarif. The only place that formats them.

text.py      render(), and the form that people read
snippet.py   one source line, harmless, aligned and cut to the width
reports.py   the forms that programs read
"""

from netspec.render.text import Format, render, summary

__all__ = ["Format", "render", "summary"]
