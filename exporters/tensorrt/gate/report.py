"""What the gate found: findings, and the verdict that they make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from netspec.errors import Diagnostic

Level = Literal["error", "warning"]
SHOWN = 3  # places that the text names where one reason has many


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a file is not ready, or may disappoint, at one place.

    where: the node, input or tensor; "" for the file. op: the node's operator. path, source: the place in the spec
    that the node was made for, where the file says so: `unet.levels[1]`, `sd.yaml:21`.
    """

    code: str
    where: str
    reason: str
    remedy: str
    level: Level = "error"
    op: str = ""
    path: str = ""
    source: str = ""

    def diagnostic(self) -> Diagnostic:
        """As netspec's other findings are told."""
        place = f"{self.op} `{self.where}`: " if self.op else f"`{self.where}`: " if self.where else ""
        notes = (f"made for {self.path} ({self.source})",) if self.source else ()
        return Diagnostic(
            self.code, f"{place}{self.reason}", notes=notes, help=(self.remedy,), path=self.path, level=self.level
        )


@dataclass(frozen=True)
class Gate:
    """The verdict on one file for one version.

    facts: nodes by operator, float types, opset, largest value and memory at the profile's largest sizes, what is
    unknown: plain data, the same for the same file on every machine.
    """

    file: str
    version: str
    findings: tuple[Finding, ...]
    facts: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """No finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The errors, for an exporter that refuses what it wrote."""
        return tuple(finding.diagnostic() for finding in self.findings if finding.level == "error")

    def data(self) -> dict[str, Any]:
        """Plain data, what `gate.json` holds."""
        return {
            "file": self.file,
            "target": f"tensorrt-{self.version}",
            "passed": self.passed,
            "findings": [{key: value for key, value in asdict(each).items() if value} for each in self.findings],
            "facts": dict(self.facts),
        }

    def json(self) -> str:
        """`data()` as text, the same bytes for the same file."""
        return json.dumps(self.data(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def text(self) -> str:
        """For people: the verdict, then every reason once with the places that it holds for."""
        verdict = "PASS" if self.passed else "FAIL"
        return "\n".join(
            [f"{verdict}  {self.file} for TensorRT {self.version}", *self._reasons(), *self._summary(), ""]
        )

    def _reasons(self) -> Iterator[str]:
        groups: dict[tuple[str, str, str, str], list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault((finding.level, finding.code, finding.reason, finding.remedy), []).append(finding)
        for (level, code, reason, remedy), found in sorted(groups.items(), key=lambda item: item[0][0] != "error"):
            yield f"{level}[{code}]: {reason}"
            yield from (f"  at {_place(finding)}" for finding in found[:SHOWN] if finding.where)
            if len(found) > SHOWN:
                yield f"  and {len(found) - SHOWN} more"
            yield f"  help: {remedy}"

    def _summary(self) -> Iterator[str]:
        facts = self.facts
        if "nodes" not in facts:
            return
        floats = ", ".join(f"{count} {name}" for name, count in facts["types"].items())
        yield f"{sum(facts['nodes'].values())} nodes, opset {facts['opset']}; values: {floats}"
        if at := facts.get("at_max"):
            largest, memory = at["largest"], at["memory"]
            yield (
                f"at max: largest value `{largest['name']}`, {largest['elements']:,} elements; "
                f"activations {memory['activations'] / 1e9:.2f} GB, weights {memory['weights'] / 1e9:.2f} GB"
            )


def _place(finding: Finding) -> str:
    name = f"{finding.op} `{finding.where}`" if finding.op else f"`{finding.where}`"
    spec = " ".join(part for part in (finding.path, f"({finding.source})" if finding.source else "") if part)
    return f"{name}, {spec}" if spec else name
