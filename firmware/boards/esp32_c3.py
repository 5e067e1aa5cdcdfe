# ESP32-C3 DevKitM-1 (MINI-1): which pin goes where. Wiring for people is in docs/.
#
# Left alone: 2, 8, 9 (strapping; the board's LED is on 8), 18, 19 (USB), 20, 21 (console). That leaves eight, so the
# kinds share them: a board is a traffic counter or a water meter or an air station. The chip has no pulse counter
# (PCNT) and one UART beside the console's. It wakes from deep sleep by 0 to 5 alone, so the reeds are there.

CHIP = "esp32c3"
COUNTERS = 0  # pulse counters in hardware (PCNT)

LOOPS = ((4, 5), (6, 7))
RADAR = {"id": 1, "tx": 1, "rx": 0}
REED = 4
REED_B = 5
ONEWIRE = 6
TAMPER = 10
POWER_FAIL = 3
PARTICLES = {"id": 1, "tx": 1, "rx": 0}
I2C = {"id": 0, "scl": 7, "sda": 6}
LED = 8  # on most boards a coloured one, which stays dark
