"""What stands between a city and those who warn: CAP 1.2 documents and Atom feeds of incidents. Pure but for `web`."""
