"""Times as machines write them."""

from datetime import UTC, datetime


def utc(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the second: `2026-11-24T07:31:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
