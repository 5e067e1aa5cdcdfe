"""A push to telephones by a server of ntfy (docs.ntfy.sh, "Publish as JSON")."""

from typing import Any, Final

import msgspec

from gateway.notify.settings import Ntfy
from gateway.notify.targets.post import bearer, post
from gateway.notify.told import Told
from gateway.secret import secret_of

PRIORITY: Final = {"info": 2, "warning": 3, "critical": 5}
"""1 to 5; 3 is its default, 5 goes on ringing."""
TAGS: Final = {"info": "information_source", "warning": "warning", "critical": "rotating_light"}
MOST_BYTES: Final = 3500
"""Of a message; beyond 4096 a server makes a file of it."""


class NtfyTarget:
    def __init__(self, table: Ntfy) -> None:
        """Raises ConfigError for a token that is not set."""
        self._url = table.url
        self._topic = table.topic
        self._token = secret_of(table, "token")

    def deliver(self, told: Told, subject: str, text: str) -> str:
        headers = {"Content-Type": "application/json"} | bearer(self._token)
        return post(self._url, msgspec.json.encode(message(self._topic, told, subject, text)), headers)


def message(topic: str, told: Told, subject: str, text: str) -> dict[str, Any]:
    """What the server is sent. What is over, or somebody's already, rings nobody."""
    calm = told.event in ("closed", "acknowledged") or told.incidents == ()
    tags = ["white_check_mark" if told.event == "closed" else TAGS[told.severity]]
    sent = {
        "topic": topic,
        "title": subject,
        "message": _cut(text),
        "priority": min(PRIORITY[told.severity], 2 if calm else 5),
        "tags": [*tags, *(["exercise"] if told.exercise else [])],
    }
    return sent | ({"click": told.link} if told.link else {})


def _cut(text: str) -> str:
    coded = text.encode()
    return text if len(coded) <= MOST_BYTES else coded[:MOST_BYTES].decode(errors="ignore") + " ..."
