# ESP32-S3 DevKitC-1 (WROOM-1): which pin goes where. Wiring for people is in docs/.
#
# Left alone: 0, 3, 45, 46 (strapping), 19, 20 (USB), 26 to 37 (flash and PSRAM), 43, 44 (console), 38, 48 (the board's
# coloured LED, which is no plain one).

CHIP = "esp32s3"
COUNTERS = 4  # pulse counters in hardware (PCNT)

LOOPS = ((4, 5), (6, 7), (15, 16), (10, 11))
RADAR = {"id": 1, "tx": 17, "rx": 18}
REED = 8
REED_B = 9
ONEWIRE = 12
TAMPER = 13
POWER_FAIL = 14
PARTICLES = {"id": 2, "tx": 1, "rx": 2}
I2C = {"id": 0, "scl": 21, "sda": 47}
LED = 40  # one of your own, with its resistor
