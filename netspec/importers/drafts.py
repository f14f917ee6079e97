"""lowered(): the plan of a draft, or why its settings describe no network."""

from __future__ import annotations

import json

from netspec import api, planner
from netspec.errors import Diagnostic, ForeignError, SpecError
from netspec.importers import Draft
from netspec.plan import Plan


def lowered(draft: Draft, origin: str) -> Plan:
    """The plan of a draft. Raises ForeignError NS643 in the words of what is wrong with it."""
    try:
        return planner.lower(api.loads(json.dumps(draft.data)))
    except SpecError as error:
        first = error.diagnostics[0]
        notes = (first.label, *first.notes) if first.label else first.notes
        message = f"{origin} describes no sound network: {first.message}"
        raise ForeignError(Diagnostic("NS643", message, notes=notes, path=first.path)) from error
