"""What a plan says before anything is built."""

from netspec.analysis.summary import Row, Summary, summarise

__all__ = ["Row", "Summary", "summarise"]
