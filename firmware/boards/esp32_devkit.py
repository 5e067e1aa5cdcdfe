# ESP32 DevKit (WROOM-32): which pin goes where. Wiring for people is in docs/.

CHIP = "esp32"
COUNTERS = 8  # pulse counters in hardware (PCNT)

# (first loop, second loop) of each lane: inputs of the loop detectors' open collectors. 34 to 39 have no pull-up of
# their own.
LOOPS = ((32, 33), (25, 26), (34, 35), (36, 39))
RADAR = {"id": 1, "tx": 19, "rx": 18}
REED = 27
REED_B = 14  # the second reed of a meter that tells the direction
ONEWIRE = 4
TAMPER = 13  # closed to ground while the housing is shut
POWER_FAIL = 23  # pulled down by the supply's supervisor while there is still charge for a second or so
PARTICLES = {"id": 2, "tx": 17, "rx": 16}  # PMS5003 or SPS30
I2C = {"id": 0, "scl": 22, "sda": 21}
LED = 2
