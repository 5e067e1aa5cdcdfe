# The converters of `machine`, of the first ESP32. What is on a pin is in `world.adc`, in microvolts.

import sys

from machine import Pin
from world import world

_ADC1 = (32, 33, 34, 35, 36, 37, 38, 39)
_ADC2 = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27)
_ETIMEDOUT = 116  # newlib's

# By attenuation: (least, most) that it reads, in mV (MicroPython's quick reference for the ESP32, "ADC").
_RANGES = ((100, 950), (100, 1250), (150, 1750), (150, 2450))


class ADC:
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3

    def __init__(self, pin, *, atten=ATTN_0DB):
        self._pin = Pin(pin).number
        if self._pin not in _ADC1 + _ADC2:
            raise ValueError("invalid pin")
        self.atten(atten)

    def init(self, *, atten=ATTN_0DB):
        self.atten(atten)

    def atten(self, atten):
        if not 0 <= atten < len(_RANGES):
            raise ValueError("invalid atten")
        self._range = _RANGES[atten]

    def read_uv(self):
        network = sys.modules.get("network")
        if self._pin in _ADC2 and network and network.WLAN(network.STA_IF).active():
            raise OSError(_ETIMEDOUT, "ESP_ERR_TIMEOUT")  # the radio has it
        # Calibrated readings come in steps of a millivolt.
        return min(max(world.adc.get(self._pin, 0) // 1000, self._range[0]), self._range[1]) * 1000

    def read_u16(self):
        return self.read_uv() * 65_535 // (self._range[1] * 1000)

    def read(self):
        return self.read_u16() >> 4
