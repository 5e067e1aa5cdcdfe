"""Everything that is kept of one meter, wherever it is: looked for, given out, deleted. Blocking; for commands.

What is not ours to reach is said in words: nothing is passed over in silence.
"""

import asyncio
import csv
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiomqtt
import msgspec
from msgspec import Struct

from gateway.audit.asker import at_shell
from gateway.config import Config
from gateway.control.caller import Caller
from gateway.control.ways import alone
from gateway.detect.detectors import Detectors
from gateway.detect.detectors import Settings as DetectSettings
from gateway.detect.plan import planned
from gateway.detect.runner import alias
from gateway.errors import ConfigError, GanglionError
from gateway.journal.forget import About
from gateway.journal.store import Journal
from gateway.notify import erase as messages
from gateway.privacy import api, broker
from gateway.privacy.database import Database
from gateway.times import utc

ELSEWHERE: Final = (
    "backups of data_dir and of the database, and files that people have exported, are theirs to delete",
    "reports name no home, and the gateway keeps none",
    "the audit log and the inventory of identities keep the node's name: they say who did what, not what was measured",
    "messages that were delivered are with who was told",
    "the node's own memory: `ganglion flash` writes it anew",
)
"""What no command of ours reaches."""


class Found(Struct, frozen=True):
    """How much there is in one place, or why that cannot be told."""

    where: str
    what: str
    number: int
    trouble: str = ""


class PrivacyError(GanglionError):
    """Nothing can be given out or deleted now; the message says why."""


def look(config: Config, site: str, node: str) -> list[Found]:
    """In the journal, the outbox, each database and at the broker. Raises ConfigError where there is no journal."""
    folder = Path(config.data_dir)
    journal = Journal.open(folder, config.journal.max_bytes, read_only=True)
    try:
        there = journal.about(site, node)
        state, _, _ = journal.detector_state()
    finally:
        journal.close()
    found = [
        Found("journal", "packs on their way", max(there.waiting, 0), "" if there.waiting >= 0 else TOO_MUCH),
        Found("journal", "registry of nodes", int(there.known)),
        Found("journal", "dead letters", len(there.letters)),
        Found("journal", "incidents of it", len(there.own)),
        Found("journal", "incidents that name it", len(there.others)),
        Found("detectors", "what they have learnt", _learnt(state, site, node)),
        Found("outbox", "messages", sum(map(len, messages.about(folder, site, node).values()))),
    ]
    for name, settings in config.databases.items():
        try:
            counted = Database(settings, site, node).count()
        except GanglionError as error:
            found.append(Found(name, "points", 0, str(error)))
        else:
            found += [Found(name, f"points of {table}", number) for table, number in counted.items()]
    try:
        topics = asyncio.run(broker.kept(config, site, node))
    except (aiomqtt.MqttError, OSError) as error:
        found.append(Found("broker", "retained messages", 0, f"{config.mqtt.host} does not answer: {error}"))
    else:
        found += [Found("broker", f"retained {topic}", 1) for topic in topics]
    return found


TOO_MUCH: Final = "more packs than can be looked through are on their way"


def _learnt(state: bytes | None, site: str, node: str) -> int:
    if state is None:
        return 0
    saved = msgspec.msgpack.decode(state)
    return int(node in saved["sites"].get(site, {}).get("nodes", ()))


def still_there(config: Config, site: str, node: str, now: float) -> str:
    """What to say of a node that was heard of within a day; nothing of another."""
    journal = Journal.open(Path(config.data_dir), config.journal.max_bytes, read_only=True)
    try:
        view = next((each for each in journal.nodes() if (each.site, each.node) == (site, node)), None)
    finally:
        journal.close()
    if view is None or now - view.received > 86_400:
        return ""
    return (
        f"{site}/{node} was heard {round(max(0.0, now - view.received))} s ago: what it sends from now on is kept "
        f"again. End that first: `ganglion pki revoke {site}/{node} --config ...`, or give the board another name"
    )


def delete(config: Config, site: str, node: str, caller: Caller | None) -> list[str]:
    """Delete it all; troubles in words. By the gateway where it runs, else in its place. Raises PrivacyError, with
    nothing changed, while packs of it are on their way, AuditError where nobody can write it down, and
    GanglionError."""
    if caller is not None:
        body = msgspec.json.encode(api.Whose(site, node))
        there = msgspec.json.decode(caller.post(api.PATH, body), type=About)
    else:
        with alone(config, make=False) as journal:
            there = _by_hand(config, journal, site, node)
    if there.waiting:
        words = TOO_MUCH if there.waiting < 0 else f"{there.waiting} packs of it are on their way"
        cure = (
            "start the gateway, which delivers them"
            if caller is None
            else "end what it sends, and come again in a moment"
        )
        raise PrivacyError(f"{site}/{node}: nothing is deleted: {words} to databases and detectors; {cure}")
    messages.erase(Path(config.data_dir), site, node)
    troubles = []
    for name, settings in config.databases.items():
        try:
            Database(settings, site, node).delete()
        except GanglionError as error:
            troubles.append(f"{name}: {error}")
    try:
        asyncio.run(broker.kept(config, site, node, clear=True))
    except (aiomqtt.MqttError, OSError) as error:
        troubles.append(f"broker: {config.mqtt.host} does not answer: {error}")
    return troubles


def _by_hand(config: Config, journal: Journal, site: str, node: str) -> About:
    """Where no gateway runs."""
    journal.checkpoint()
    there = journal.about(site, node)
    if there.waiting:
        return there
    at_shell(Path(config.data_dir)).asks(api.ACT, f"{site}/{node}", messages=api.TAKEN_BACK)
    state, place, _ = journal.detector_state()
    if state is not None:
        try:
            detectors = Detectors.load(state, DetectSettings(planned(config), config.detect.budget))
        except ConfigError:
            journal.forget_detectors()  # nobody can use it
        else:
            detectors.forget(site, node, alias())
            journal.detected(place, detectors.save())
    return journal.erase(site, node)


def export(config: Config, site: str, node: str, output: Path) -> dict[str, Any]:
    """Write a ZIP of all that is kept, and what `manifest.json` in it says. Raises GanglionError, and OSError where the
    file cannot be written; it must not be there yet."""
    files: list[dict[str, Any]] = []
    missing: list[str] = []
    with output.open("xb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, source: str, things: list[Any]) -> None:
            if not things:
                missing.append(source)
                return
            archive.writestr(name, msgspec.json.format(msgspec.json.encode(things), indent=2))
            files.append({"file": name, "from": source, "rows": len(things)})

        _put_journal(config, site, node, put)
        database = Database(config.influx, site, node)
        for table in database.tables():
            source = f"influx {table.name}"
            if rows := _put_csv(archive, f"influx/{table.name}.csv", database.rows(table)):
                files.append({"file": f"influx/{table.name}.csv", "from": source, "rows": rows})
            else:
                missing.append(source)
        manifest = {
            "node": f"{site}/{node}",
            "made": utc(time.time()),
            "files": files,
            "not_found": missing,
            "not_asked": [*(f"{each.consumer}: it holds what influx holds" for each in config.mirror), *ELSEWHERE],
        }
        archive.writestr("manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    return manifest


def _put_journal(config: Config, site: str, node: str, put: Any) -> None:
    folder = Path(config.data_dir)
    journal = Journal.open(folder, config.journal.max_bytes, read_only=True)
    try:
        there = journal.about(site, node)
        put("node.json", "journal: registry of nodes", [v for v in journal.nodes() if (v.site, v.node) == (site, node)])
        put("incidents.json", "journal: incidents", [journal.incident(each) for each in (*there.own, *there.others)])
        letters = [msgspec.structs.asdict(each) for each in journal.letters_with(there.letters)]
        readable = [each | {"payload": each["payload"].decode("utf-8", "backslashreplace")} for each in letters]
        put("dead-letters.json", "journal: dead letters", readable)
    finally:
        journal.close()
    waiting = messages.about(folder, site, node)
    put("messages.json", "outbox", [msgspec.Raw(each) for rows in waiting.values() for each in rows])


def _put_csv(archive: zipfile.ZipFile, name: str, rows: Iterator[dict[str, Any]]) -> int:
    """How many rows. A file is begun with the first, in the columns that it and all others have."""
    every = list(rows)
    if not every:
        return 0
    columns = list(dict.fromkeys(column for row in every for column in row))
    with archive.open(name, "w") as raw, io.TextIOWrapper(raw, "utf-8", newline="") as text:
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(every)
    return len(every)
