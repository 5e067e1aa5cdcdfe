"""The whole system on this machine: broker, InfluxDB, gateway and fleet, below one folder."""
