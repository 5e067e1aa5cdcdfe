# ESP32 DevKit (WROOM-32): which pin goes where. Wiring for people is in docs/.

# (first loop, second loop) of each lane: inputs of the loop detectors' open collectors
LOOPS = ((32, 33), (25, 26))
REED = 27
PMS5003 = {"id": 2, "tx": 17, "rx": 16}
I2C = {"id": 0, "scl": 22, "sda": 21}
