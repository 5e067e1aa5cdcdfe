"""Asking real databases, for the tests of what is written to them."""

import json
from typing import Any

import urllib3


def select(url: str, database: str, statement: str) -> list[dict[str, Any]]:
    """Rows of an InfluxQL statement as dictionaries, times in Unix seconds, columns without a value left out."""
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", f"{url}/query", fields={"db": database, "q": statement, "epoch": "s"}).json()
    result = answer["results"][0]
    assert "error" not in result, result
    return [
        {column: value for column, value in zip(series["columns"], row, strict=True) if value is not None}
        for series in result.get("series", [])
        for row in series.get("values", [])
    ]


def exported(url: str, name: str) -> list[dict[str, Any]]:
    """Samples of a VictoriaMetrics metric, as {labels..., "values": [...], "timestamps": [ms ...]} for each series."""
    with urllib3.PoolManager() as pool:
        pool.request("GET", f"{url}/internal/force_flush")
        text = pool.request("GET", f"{url}/api/v1/export", fields={"match[]": name}).data.decode()
    return [json.loads(row) for row in text.splitlines()]


def write(url: str, database: str, lines: list[str]) -> None:
    """Points as line protocol, with times in Unix seconds."""
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", f"{url}/write?db={database}&precision=s", body="\n".join(lines).encode())
    assert answer.status == 204, answer.data
