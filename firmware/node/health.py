# What the node says of itself.

import gc
import os

import esp32


def readings(node):
    """[(name, unit, value)]; a value that is not known is None."""
    gc.collect()
    clock, outbox = node.clock, node.outbox
    return [
        ("heap_free", "B", gc.mem_free()),
        ("heap_largest", "B", max([block[2] for block in esp32.idf_heap_info(esp32.HEAP_DATA)])),
        ("flash_free", "B", _flash_free()),
        ("rssi", "dBm", node.wifi.rssi()),
        ("outbox_packs", "count", len(outbox)),
        ("outbox_dropped", "count", outbox.dropped),
        ("uptime", "s", clock.uptime_ms() // 1000),
        ("clock_error", "s", None if clock.error_ms is None else clock.error_ms / 1000),
        ("clock_drift", "ppm", clock.drift_ppm),
        ("tasks_failing", "count", len(node.supervisor.failing())),
        ("temperature", "Cel", _chip_temperature()),
    ]


def _flash_free():
    block, _, _, free = os.statvfs(".")[:4]
    return block * free


def _chip_temperature():
    # The first ESP32 tells whole degrees Fahrenheit; its successors tell Celsius, by another name.
    if hasattr(esp32, "mcu_temperature"):
        return esp32.mcu_temperature()
    return round((esp32.raw_temperature() - 32) / 1.8, 1)
