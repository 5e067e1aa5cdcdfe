"""Benchmarks and soaks: what they print is one JSON object a line."""
