"""validate(): a document against the published schema, and what a schema cannot relate.

validator.py     the steps in order
verdict.py       a fast yes or no, compiled from the same schema
findings.py      jsonschema's errors → diagnostics
wording.py       what they say
relations.py     names and sizes that one part of a spec takes from another
suggestions.py   did you mean
synonyms.py      other tools' words
locating.py      spans
reading.py       a tolerant look at a faulty document
"""

from netspec.validation.validator import validate, violations

__all__ = ["validate", "violations"]
