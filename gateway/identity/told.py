"""What is done to identities, told to the audit log and the log."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.audit import record
from gateway.audit.entry import JSON

log = logging.getLogger(__name__)

ITSELF: Final = "gateway"
"""Who does what nobody has asked for."""


def note(data_dir: Path, act: str, of: str = "", detail: Mapping[str, JSON] | None = None) -> None:
    """Of what the gateway did by itself, which is not undone when the log cannot be kept."""
    try:
        record(data_dir, act, who=ITSELF, of=of, detail=detail)
    except OSError as error:
        log.error("the audit log could not take %s of %s: %s", act, of or "the gateway", error)
