"""Entry points of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from netspec import plugins, target
from netspec.errors import RegistrationError


def test_exporters_are_found_in_the_order_of_their_names() -> None:
    names = list(plugins.installed(target.GROUP))
    assert names == sorted(names)
    assert {"onnx", "tensorrt"} <= set(names)


@pytest.mark.parametrize(("second", "clash"), [("other:Exporter", True), ("ours:Exporter", False)])
def test_two_owners_of_a_name_are_both_named(second: str, clash: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One package that is found twice, as in an editable installation, is no clash."""
    given = [EntryPoint("edge", value, "some.group") for value in ("ours:Exporter", second)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: given)
    if not clash:
        assert list(plugins.installed.__wrapped__("some.group")) == ["edge"]
        return
    with pytest.raises(RegistrationError, match="NS903") as raised:
        plugins.installed.__wrapped__("some.group")
    notes = "\n".join(raised.value.diagnostics[0].notes)
    assert "ours:Exporter" in notes and second in notes
