"""The language reference, written from the registry and the schema: `docs/reference/`, one page per family and kind.

words.py       values, types and defaults in words
usage.py       which shipped spec writes which key, and whose network holds which component
examples.py    an example of every key
catalogue.py   the pages as data: sections of keys
top.py         the page of the keys that every spec has
pages.py       the pages as Markdown
shelf.py       the shipped specs with their counts: `docs/specs.md`
findings.py    the diagnostics: `docs/diagnostics.md`
beside.py      those two as files

`python -m netspec.reference` writes the committed pages again.
"""
