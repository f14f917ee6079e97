"""What installed packages add to netspec: the entry points of a group, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from netspec.errors import Diagnostic, RegistrationError


@cache  # reading the metadata of every installed package takes some 10 ms
def installed(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of one group, in the order of their names.

    Raises RegistrationError (NS903) where two packages give different things one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        owner = found.setdefault(entry.name, entry)
        if owner.value != entry.value:
            notes = tuple(f"{each.value} (of {each.dist.name if each.dist else 'nobody'})" for each in (owner, entry))
            raise RegistrationError(Diagnostic("NS903", f"{group} `{entry.name}` is registered twice", notes=notes))
    return MappingProxyType(found)
