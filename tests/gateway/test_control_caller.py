"""Who asks a gateway over HTTP waits for it, but not for ever where a person waits."""

from pathlib import Path

import pytest

from gateway.config import Config, Http, Influx, Mqtt
from gateway.control import token as tokens
from gateway.control.caller import Caller, ControlError
from tests.gateway.hooked import Hook


def test_a_full_journal_does_not_hold_a_person_for_ever(tmp_path: Path) -> None:
    """It holds one of the few threads of all who act."""
    tokens.issue(tmp_path)
    with Hook() as hook:
        hook.answer = (503, {"Retry-After": "0", "Content-Length": "0"})
        listen = hook.url.removeprefix("http://").partition("/")[0]
        config = Config(("riverside",), str(tmp_path), mqtt=Mqtt(), influx=Influx(), http=Http(listen))
        with pytest.raises(ControlError, match="cannot keep it"):
            Caller(config, lambda words: None, 0.1, 0.1).post("/api/v1/incidents/a/acknowledge", b"{}")
        assert len(hook.posted) >= 2
