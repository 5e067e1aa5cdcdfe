"""A gateway that is told to speak to Home Assistant, and not to any more, while it runs."""

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from sim_hardware.servers import Mosquitto, wait_until
from tests.gateway.conftest import payload_of
from tests.system.gateway_process import GatewayProcess

SITE = "homeassistant/device/ganglion_riverside/config"
AIR = "homeassistant/device/ganglion_riverside_air-0007/config"


def test_a_changed_file_switches_it_on_and_off(gateway: GatewayProcess, broker: Mosquitto) -> None:
    kept: dict[str, bytes] = {}

    def hear(client: Client, _: object, message: MQTTMessage) -> None:
        kept[message.topic] = message.payload

    watcher = Client(CallbackAPIVersion.VERSION2)
    watcher.on_message = hear
    watcher.connect("127.0.0.1", broker.port)
    watcher.subscribe("homeassistant/#", qos=1)
    watcher.loop_start()
    try:
        text = gateway.config.read_text()
        gateway.write_config(f"{text}[north]\nhome_assistant = true\n")
        wait_until(lambda: bool(kept.get(SITE)), 30, "the announcement of the site")

        def announced() -> bool:
            watcher.publish("ganglion/v1/riverside/air-0007/telemetry", payload_of(0), qos=1)
            return bool(kept.get(AIR))

        wait_until(announced, 30, "the announcement of the node")
        gateway.write_config(text)
        wait_until(lambda: kept == {SITE: b"", AIR: b""}, 30, "that all is taken back")
        assert gateway.stop() == 0, gateway.log
    finally:
        watcher.loop_stop()
        watcher.disconnect()
