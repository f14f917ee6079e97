"""The language reference, written from the registry and the schema: `docs/reference/`, one page per family and kind.

words.py       values, types and defaults in words
usage.py       which shipped spec writes which key, and whose network holds which component
examples.py    an example of every key
catalogue.py   the pages as data: sections of keys
top.py         the page of the keys that every spec has
pages.py       the pages as Markdown

`python -m netspec.reference` writes the committed pages again.
"""
