"""The page about notifications is held against the code."""

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config import load
from gateway.errors import ConfigError
from gateway.notify.service import Notify
from gateway.notify.settings import Email, Ntfy, Table, Topic, Webhook
from gateway.notify.targets.payload import Payload
from gateway.notify.targets.webhook import sign
from tests.test_docs import DOCS, blocks

PAGE = DOCS / "notifications.md"


def told(section: str) -> dict[str, str]:
    """Key and default of each row of the tables below a heading."""
    text = PAGE.read_text().partition(f"\n{section}\n")[2]
    text = re.split(r"^##+ ", text, maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `([a-z_]+)` \| `?(.*?)`? \|", text, re.MULTILINE))


def keys_of(table: type[Table], without: type[Table] | None) -> dict[str, str]:
    common = {field.encode_name for field in msgspec.structs.fields(without)} if without else set()
    return {
        field.encode_name: "–" if field.required else json.dumps(field.default)
        for field in msgspec.structs.fields(table)
        if field.encode_name not in common
    }


def test_every_key_is_told_with_its_default() -> None:
    assert told("## Of what") | told("## When") == keys_of(Table, None) | {"via": "–"}
    for section, table in (
        ("### A mail", Email),
        ("### A push to telephones", Ntfy),
        ("### A webhook", Webhook),
        ("### A topic of a broker", Topic),
    ):
        assert told(section) == keys_of(table, Table), section


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    """And its targets can be made."""
    example, signing = blocks(PAGE, "toml")
    (tmp_path / "ganglion.toml").write_text(example)
    with pytest.raises(ConfigError, match="MAIL_PASSWORD is not set"):
        load(tmp_path / "ganglion.toml", {})
    (tmp_path / "ganglion.toml").write_text(f"{example}\n{signing}")
    config = load(tmp_path / "ganglion.toml", None)
    assert config.signing is not None
    assert [table.via for table in config.notify] == ["email", "ntfy", "webhook", "mqtt"]
    assert Notify.__doc__


def test_the_payload_of_the_page_is_one() -> None:
    (example,) = blocks(PAGE, "json")
    fields = {field.encode_name for field in msgspec.structs.fields(Payload)}
    data: Any = json.loads(example)
    assert data.keys() == fields
    assert data["data"].keys() == {"exercise", "target", "subject", "text", "link", "incidents"}


@pytest.mark.parametrize("secret", ["any text", "whsec_a2V5IG9mIHNpZ25hdHVyZXM="])
def test_a_receiver_that_does_as_the_page_says_knows_what_is_genuine(secret: str) -> None:
    code, _ = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(code, names)
    body, stamp = b'{"a": "\xc3\xa4"}', str(int(time.time()))
    key = hashlib.sha256(b"x").hexdigest()[:32]
    headers = {"webhook-id": key, "webhook-timestamp": stamp, "webhook-signature": sign(secret, key, stamp, body)}
    genuine = names["is_genuine"]
    assert genuine(secret, headers, body)
    assert not genuine(secret, headers, body + b" ")
    assert not genuine("guess", headers, body)
    assert not genuine(secret, headers | {"webhook-id": "other"}, body)
    old = str(int(stamp) - 400)
    late = headers | {"webhook-timestamp": old, "webhook-signature": sign(secret, key, old, body)}
    assert not genuine(secret, late, body)
