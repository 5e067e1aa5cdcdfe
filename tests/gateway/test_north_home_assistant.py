"""What Home Assistant is told, at a real broker, and what its templates make of real packs.

Home Assistant itself cannot be installed beside us: it pins every library that it uses. Its form of an announcement is
checked against `ha-mqtt-device`, which others wrote to be understood by it, and its templates run in the Jinja2 that
it runs them in.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from ha_mqtt_device import BinarySensor, Device, DeviceInfo, Sensor
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.config import Config, Mqtt, North, load
from gateway.detect.plan import Plan, Zone
from gateway.errors import ConfigError
from gateway.journal.access import JournalAccess
from gateway.north import discovery
from gateway.north.home_assistant import MEMORY, HomeAssistant
from gateway.quantities import QUANTITIES
from gateway.records import Incident
from gateway.steer.link import connect, retained
from sim_hardware.servers import Mosquitto
from tests.gateway.conftest import NOW, merged, payload_of
from tests.gateway.receiving import until

AIR = discovery.Node("riverside", "air-0007", "air", [("air", "", "pm2_5"), ("health", "", "rssi")], "0.1.0", "esp32")
LANES = discovery.Node("riverside", "traffic-1", "traffic", [("traffic", "lane1", "volume")])


def announced(node: discovery.Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(discovery.announcement(node, "riverside"))
    return found


def render(template: str, payload: bytes) -> str:
    """As Home Assistant does: in a sandbox, with `value_json` where the payload is JSON. Stricter: what is not there
    may be asked for, but not used."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    with contextlib.suppress(json.JSONDecodeError):
        return environment.from_string(template).render(value_json=json.loads(payload))
    return environment.from_string(template).render()


def part(node: discovery.Node, key: str) -> str:
    template: str = announced(node)["cmps"][key]["val_tpl"]
    return template


def test_every_quantity_has_its_place() -> None:
    """A value is a sensor, a state a binary sensor; the version of a calibration is neither."""
    values = {(each.measurement, each.name) for each in QUANTITIES if not each.flag and each.name != "calibration"}
    assert values == set(discovery.SENSORS)
    assert {each.name for each in QUANTITIES if each.flag} == set(discovery.STATES)


class _Nowhere:
    async def publish(self, topic: str, message: str | bytes, *, retain: bool) -> None:
        self.said = json.loads(message)


async def test_the_form_is_that_of_others_who_announce_devices() -> None:
    """All but where values come from: there they publish what we have already."""
    theirs = _Nowhere()
    entities = [
        Sensor(
            "ganglion_riverside_air-0007_pm2_5",
            "PM2.5",
            device_class="pm25",
            unit_of_measurement="µg/m³",
            state_class="measurement",
        ),
        BinarySensor("ganglion_riverside_air-0007_tamper", "tamper", device_class="tamper"),
    ]
    info = DeviceInfo(
        "ganglion_riverside_air-0007",
        "riverside air-0007",
        manufacturer="Ganglion",
        model="air station",
        sw_version="0.1.0",
        hw_version="esp32",
        via_device="ganglion_riverside",
        origin_name="Ganglion riverside",
        origin_sw=discovery.origin("riverside")["sw"],
    )
    await Device(theirs, info, entities).configure()  # type: ignore[arg-type]
    ours = announced(AIR)
    assert info.discovery_topic() == discovery.topic("homeassistant", "riverside", "air-0007")
    assert (ours["dev"], ours["o"]) == (theirs.said["dev"], theirs.said["o"])
    for entity, key in zip(entities, ("pm2_5", "tamper"), strict=True):
        their = {name: value for name, value in theirs.said["cmps"][entity.unique_id].items() if name != "json_attr_t"}
        assert {**ours["cmps"][key], "stat_t": their["stat_t"]} == {**their, "val_tpl": ours["cmps"][key]["val_tpl"]}


def test_templates_pick_the_newest_value_of_their_name() -> None:
    assert render(part(AIR, "pm2_5"), payload_of(0)) == "12.5"
    newer = json.loads(payload_of(1))
    newer[2]["v"] = 0
    assert render(part(AIR, "pm2_5"), merged(payload_of(0), json.dumps(newer).encode())) == "0"
    lanes = b'[{"bn":"riverside/traffic-1/","bt":1,"n":"boot","v":1},{"n":"seq","v":0},{"n":"lane2/volume","v":7},'
    assert render(part(LANES, "lane1_volume"), lanes + b'{"n":"lane1/volume","v":3}]') == "3"


def test_a_pack_without_the_name_leaves_the_state() -> None:
    """An empty answer does, for sensors and binary sensors."""
    for key in ("health_rssi", "tamper"):
        assert render(part(AIR, key), payload_of(0)) == ""
    event = b'[{"bn":"riverside/air-0007/","bt":1,"n":"boot","v":1},{"n":"seq","v":0},{"n":"tamper","vb":%s}]'
    assert [render(part(AIR, "tamper"), event % state) for state in (b"true", b"false")] == ["ON", "OFF"]


def test_litres_an_hour_become_litres_a_minute() -> None:
    meter = discovery.Node("riverside", "water-1", "water", [("water", "", "flow")])
    pack = b'[{"bn":"riverside/water-1/","bt":1,"n":"boot","v":1},{"n":"flow","u":"l/h","v":90}]'
    assert announced(meter)["cmps"]["flow"]["unit_of_meas"] == "L/min"
    assert render(part(meter, "flow"), pack) == "1.5"


def test_a_node_is_available_while_its_status_says_so() -> None:
    template = announced(AIR)["avty_tpl"]
    said = [render(template, payload) for payload in (b'{"online":true,"kind":"air"}', b'{"online":false}')]
    assert said == ["online", "offline"]


def test_the_event_of_a_site_tells_what_an_incident_is_now() -> None:
    told = json.loads(discovery.site_announcement("riverside", "riverside"))["cmps"]["incident"]
    jam = Incident("jam-1", "jam", "riverside", "traffic-1", "", "warning", NOW, None, 'slow: "5 km/h"', drill=True)
    for change, state in (({}, "opened"), ({"confirmed": NOW}, "confirmed"), ({"closed": NOW}, "closed")):
        payload = msgspec.json.encode(msgspec.structs.replace(jam, **change))
        said = json.loads(render(told["val_tpl"], payload))
        assert said.pop("event_type") == state
        assert said == {key: getattr(jam, key) for key in ("kind", "severity", "node", "channel", "summary", "drill")}
    assert set(told["evt_typ"]) == {"opened", "confirmed", "closed"}
    assert render(told["val_tpl"], b"") == ""  # what takes back a retained incident
    leak = msgspec.json.encode(msgspec.structs.replace(jam, kind="leak"))
    assert render(told["val_tpl"], leak) == ""
    homes = json.loads(discovery.site_announcement("riverside", "riverside", homes=True))["cmps"]["incident"]
    assert json.loads(render(homes["val_tpl"], leak))["kind"] == "leak"


def test_an_announcement_can_be_read_again() -> None:
    assert discovery.heard(discovery.announcement(AIR, "hill"))[1:] == ("air", set(AIR.places))
    assert discovery.heard(discovery.announcement(LANES, "hill"))[1:] == ("traffic", set(LANES.places))
    assert discovery.heard(b'{"name":"of another"}') == ({}, "", set())


def test_a_prefix_that_is_no_topic_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ganglion.toml"
    file.write_text('sites = ["riverside"]\ndata_dir = "data"\n[north]\nhome_assistant_prefix = "home/+"\n')
    with pytest.raises(ConfigError, match=r"north\.home_assistant_prefix: is no topic"):
        load(file)


NO_PLAN = Plan()


class Stage:
    """A part of the gateway at a broker, and somebody who looks at what the broker keeps."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder = folder
        self.mqtt = Mqtt("127.0.0.1", broker.port)

    @contextlib.asynccontextmanager
    async def running(
        self, sites: Sequence[str] = ("riverside",), plan: Plan = NO_PLAN, **north: Any
    ) -> AsyncIterator[HomeAssistant]:
        settings = North(**{"home_assistant": True, **north})
        config = Config(sites=tuple(sites), data_dir=str(self.folder), mqtt=self.mqtt, north=settings)
        journal = await JournalAccess.open(self.folder, 2**20)
        running = asyncio.create_task((made := HomeAssistant(config, plan, journal)).run())
        try:
            yield made
            assert not running.done(), running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await journal.close()

    async def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        async with connect(self.mqtt) as client:
            await client.publish(topic, payload, qos=1, retain=retain)

    async def kept(self, prefix: str = "homeassistant") -> dict[str, dict[str, Any]]:
        """What is announced, by device."""
        async with connect(self.mqtt) as client:
            found = await retained(client, [f"{prefix}/device/+/config"])
        return {topic.split("/")[-2]: json.loads(payload) for topic, payload in found.items() if payload}

    async def until_kept(self, *devices: str, prefix: str = "homeassistant") -> dict[str, dict[str, Any]]:
        """Wait until these are announced, and no other."""

        kept: dict[str, dict[str, Any]] = {}

        async def as_wanted() -> bool:
            nonlocal kept
            kept = await self.kept(prefix)
            return set(kept) == set(devices)

        await until(as_wanted)
        return kept

    async def birth(self, node: str, kind: str) -> None:
        birth = {"online": True, "kind": kind, "boot": 1, "firmware": "0.1.0", "board": "esp32-c3"}
        await self.say(f"ganglion/v1/riverside/{node}/status", json.dumps(birth).encode(), retain=True)


@pytest.fixture
def stage(tmp_path: Path, broker: Mosquitto) -> Stage:
    return Stage(tmp_path / "data", broker)


def pack(node: str, *names: str) -> bytes:
    records = [{"bn": f"riverside/{node}/", "bt": NOW, "n": "boot", "v": 1}, {"n": "seq", "v": 0}]
    return json.dumps([*records, *({"n": name, "v": 5} for name in names)]).encode()


async def tell(stage: Stage, running: HomeAssistant, node: str, *names: str) -> None:
    """A pack that is heard: once the part has subscribed, which its having announced the site does not tell."""

    async def heard() -> bool:
        await stage.say(f"ganglion/v1/riverside/{node}/telemetry", pack(node, *names))
        known = running._known.get(("riverside", node))
        return known is not None and len(known.places) >= len(names)

    await until(heard)


SITE = "ganglion_riverside"
COUNTER = "ganglion_riverside_traffic-1"


async def test_a_node_is_announced_once_it_has_said_what_it_measures(stage: Stage) -> None:
    await stage.birth("traffic-1", "traffic")
    async with stage.running() as running:
        await stage.until_kept(SITE)
        await tell(stage, running, "traffic-1", "lane1/volume")
        kept = await stage.until_kept(SITE, COUNTER)
        assert kept[COUNTER]["dev"]["hw"] == "esp32-c3"
        assert {"lane1_volume", "tamper", "power_fail"} == set(kept[COUNTER]["cmps"])
        await tell(stage, running, "traffic-1", "lane1/volume", "lane2/volume")

        async def grown() -> bool:
            return "lane2_volume" in (await stage.kept())[COUNTER]["cmps"]

        await until(grown)
    # Another time it is known from the broker, without a pack.
    async with stage.running():
        assert {"lane1_volume", "lane2_volume"} < set((await stage.until_kept(SITE, COUNTER))[COUNTER]["cmps"])


async def test_a_home_assistant_that_starts_is_told_again(stage: Stage) -> None:
    async with stage.running() as running, connect(stage.mqtt) as client:
        await tell(stage, running, "traffic-1", "lane1/volume")
        await stage.until_kept(SITE, COUNTER)
        await client.subscribe("homeassistant/device/+/config")
        heard: list[aiomqtt.Message] = []

        async def again() -> bool:
            await stage.say("homeassistant/status", b"online")
            await asyncio.sleep(0.05)
            while len(client.messages):
                heard.append(await anext(client.messages))
            return {str(each.topic).split("/")[-2] for each in heard if not each.retain} == {SITE, COUNTER}

        await until(again)


async def test_what_is_not_wanted_any_more_is_taken_back(stage: Stage) -> None:
    async with stage.running(["riverside", "hill"]) as running:
        await tell(stage, running, "traffic-1", "lane1/volume")
        await stage.until_kept(SITE, COUNTER, "ganglion_hill")
    await stage.say("homeassistant/device/other/config", b"{}", retain=True)
    async with stage.running(["riverside"]):  # a site is gone
        await stage.until_kept(SITE, COUNTER, "other")
    async with stage.running(["riverside"], home_assistant_prefix="ha"):  # it has another name
        await stage.until_kept("other")
        await stage.until_kept(SITE, COUNTER, prefix="ha")
        await stage.say("ganglion/v1/riverside/traffic-1/status", b"", retain=True)  # out of service
        await stage.until_kept(SITE, prefix="ha")
    async with stage.running(["riverside"], home_assistant=False, home_assistant_prefix="ha"):
        await stage.until_kept(prefix="ha")

        async def forgotten() -> bool:
            return not (stage.folder / MEMORY).exists()

        await until(forgotten)
    await stage.until_kept("other")


async def test_what_is_off_never_connects(stage: Stage) -> None:
    stage.mqtt = Mqtt("127.0.0.1", 1)
    async with stage.running(home_assistant=False) as running:
        await asyncio.sleep(0)
        assert running._trouble is None
        assert not (stage.folder / MEMORY).exists()


async def test_the_meters_of_homes_are_announced_only_when_asked_for(stage: Stage) -> None:
    plan = Plan(zone=(Zone("mill", inlet=("water-main",)),))
    async with stage.running(plan=plan) as running:
        for node in ("water-home", "water-main"):
            await tell(stage, running, node, "volume", "flow")
        await stage.until_kept(SITE, "ganglion_riverside_water-main")
    async with stage.running(plan=plan, home_assistant_meters=True) as running:
        await tell(stage, running, "water-home", "volume", "flow")
        await stage.until_kept(SITE, "ganglion_riverside_water-main", "ganglion_riverside_water-home")
    async with stage.running(plan=plan):
        await stage.until_kept(SITE, "ganglion_riverside_water-main")
