"""A bundle: a folder that is written as a whole, and the manifest that proves it.

folder.py     open_bundle(): the temporary folder beside the destination, and the swap
manifest.py   manifest.json: files, hashes, parity
atomic.py     lock, recovery, exchange of names
"""

from netspec.bundle.folder import open_bundle
from netspec.bundle.manifest import (
    FileEntry,
    Manifest,
    ParityRow,
    Port,
    TargetEntry,
    file_entries,
    file_entry,
    list_files,
)

__all__ = [
    "FileEntry",
    "Manifest",
    "ParityRow",
    "Port",
    "TargetEntry",
    "file_entries",
    "file_entry",
    "list_files",
    "open_bundle",
]
