"""Detectors over files: reading series, running what the gateway runs, scoring what it says."""
