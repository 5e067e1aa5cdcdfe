"""Pages that were asked for and that no browser has taken up."""

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from nicegui.client import Client

from gateway.web.console import shell


@dataclass
class Asked:
    """What NiceGUI looks at of a page."""

    id: str
    created: float
    has_socket_connection: bool
    _delete_tasks: dict[str, Any] = field(default_factory=dict)

    def delete(self) -> None:
        Client.instances[self.id].created = 0.0


@pytest.mark.parametrize(("others", "gone"), [(0, []), (shell.MANY, ["left"])])
def test_beyond_many_they_go_soon(others: int, gone: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And none that somebody looks at, or is just loading."""
    now = time.time()
    pages = [Asked("left", now - 10, False), Asked("looked at", now - 10, True), Asked("loading", now, False)]
    pages += [Asked(f"open {n}", now - 10, True) for n in range(others)]
    monkeypatch.setattr(Client, "instances", {each.id: each for each in pages})
    shell.make_room()
    assert [each.id for each in pages if not each.created] == gone
