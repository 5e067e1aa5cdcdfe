"""What other systems of a city are told: Home Assistant at the broker, NGSI-LD and SensorThings over HTTP.

The water meters of homes are left out of all of it: what they measure is personal data.
"""
