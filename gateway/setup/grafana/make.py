"""Writes the dashboards beside it: `python gateway/setup/grafana/make.py`. Grafana reads the JSON, nobody edits it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
INFLUX: Final = {"type": "influxdb", "uid": "ganglion-influxdb"}
PROMETHEUS: Final = {"type": "prometheus", "uid": "ganglion-prometheus"}
"""As provisioning/datasources/ganglion.yaml names them."""
COLUMNS: Final = 24
"""Of Grafana's grid."""
SCHEMA: Final = 39
"""Of Grafana 10.4; later ones bring it up to date by themselves."""

FILLED: Final = "100 * ganglion_journal_bytes / ganglion_journal_max_bytes"

Panel = dict[str, Any]

UNITS: Final = {
    "ug/m3": "conμgm3", "ppm": "ppm", "Cel": "celsius", "%RH": "humidity", "%": "percent", "Pa": "pressurepa",
    "km/h": "velocitykmh", "l/h": "litreh", "l": "litre", "dBm": "dBm", "B": "bytes", "s": "s", "count": "short",
    "": "none",
}  # fmt: skip
"""Grafana's names of ours."""


def series(
    title: str, targets: list[Panel], unit: str, *, wide: int = 12, least: str = "1m", bars: bool = False
) -> Panel:
    """Curves over time; `least` is the shortest interval, the nodes' own."""
    custom = {"drawStyle": "bars", "fillOpacity": 60} if bars else {"drawStyle": "line", "fillOpacity": 5}
    return {
        "type": "timeseries",
        "title": title,
        "interval": least,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": UNITS[unit], "custom": {**custom, "spanNulls": False}}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "gridPos": {"w": COLUMNS // 2, "h": 8},
    }


def figure(title: str, expression: str, *, unit: str = "count", bad_from: float | None = None) -> Panel:
    """One number of the gateway's own metrics."""
    steps: list[Panel] = [{"color": "green", "value": None}]
    if bad_from is not None:
        steps.append({"color": "orange", "value": bad_from})
    return {
        "type": "stat",
        "title": title,
        "targets": [metric(expression)],
        "fieldConfig": {
            "defaults": {"unit": UNITS[unit], "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"},
        "gridPos": {"w": 4, "h": 4},
    }


def metric(expression: str, legend: str = "") -> Panel:
    return {"datasource": PROMETHEUS, "expr": expression, "legendFormat": legend or "__auto"}


def ask(select: str, kind: str, by: str, *, places: str = "node", alias: str = "") -> Panel:
    """An InfluxQL target of intervals. `places` is how far the dashboard's choice reaches: site, or node too."""
    where = ['"site" =~ /^$site$/', *(['"node" =~ /^$node$/'] if places == "node" else []), "$timeFilter"]
    tags = ", ".join(f'"{tag}"' for tag in by.split())
    query = f'SELECT {select} FROM "{kind}" WHERE {" AND ".join(where)} GROUP BY time($__interval), {tags} fill(none)'
    names = "/".join(f"$tag_{tag}" for tag in by.split())
    alias = f"{alias} {names}".strip()
    return {"datasource": INFLUX, "query": query, "rawQuery": True, "resultFormat": "time_series", "alias": alias}


def incidents() -> Panel:
    query = (
        'SELECT "severity", "kind", "site", "node", "state", "summary" FROM "incident" '
        'WHERE "site" =~ /^$site$/ AND $timeFilter ORDER BY time DESC LIMIT 100'
    )
    return {
        "type": "table",
        "title": "Incidents, the newest first",
        "targets": [{"datasource": INFLUX, "query": query, "rawQuery": True, "resultFormat": "table"}],
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {"showHeader": True},
        "gridPos": {"w": COLUMNS, "h": 9},
    }


def variable(name: str, query: str) -> Panel:
    """A choice above the panels: several, or all."""
    several = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}}
    return {"name": name, "type": "query", "datasource": INFLUX, "query": query, "refresh": 2, "sort": 1, **several}


def dashboard(name: str, title: str, kind: str, panels: list[Panel]) -> Panel:
    """A whole one. Of a `kind` there is a choice of nodes, and incidents are marked where they opened."""
    choices = [variable("site", f'SHOW TAG VALUES FROM "{kind or "health"}" WITH KEY = "site"')]
    if kind:
        choices.append(variable("node", f'SHOW TAG VALUES FROM "{kind}" WITH KEY = "node" WHERE "site" =~ /^$site$/'))
    marks = {
        "name": "Incidents",
        "datasource": INFLUX,
        "enable": True,
        "iconColor": "orange",
        "query": 'SELECT "summary", "kind" FROM "incident" WHERE "site" =~ /^$site$/ AND "state" = \'open\' '
        "AND $timeFilter",
        "rawQuery": True,
        "textColumn": "summary",
        "tagsColumn": "kind",
        "target": {"refId": "Anno"},
    }
    return {
        "uid": f"ganglion-{name}",
        "title": title,
        "tags": ["ganglion"],
        "timezone": "browser",
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": choices},
        "annotations": {"list": [marks]},
        "panels": placed(panels),
    }


def placed(panels: list[Panel]) -> list[Panel]:
    """Numbered, and row by row from the left; each target with a letter of its own."""
    x = y = high = 0
    done = []
    for number, panel in enumerate(panels, 1):
        size = panel["gridPos"]
        if x + size["w"] > COLUMNS:
            x, y, high = 0, y + high, 0
        targets = [{**each, "refId": chr(ord("A") + at)} for at, each in enumerate(panel["targets"])]
        source = targets[0]["datasource"]
        done.append(
            {**panel, "id": number, "datasource": source, "targets": targets, "gridPos": {**size, "x": x, "y": y}}
        )
        x, high = x + size["w"], max(high, size["h"])
    return done


def mean(kind: str, quantity: str, by: str = "site node", *, places: str = "node") -> Panel:
    return ask(f'mean("{quantity}")', kind, by, places=places)


def city() -> Panel:
    site = {"places": "site"}
    return dashboard(
        "city",
        "Ganglion: the city",
        "",
        [
            figure("Open incidents", "sum(ganglion_incidents_open) or vector(0)", bad_from=1),
            figure("Nodes online", "ganglion_nodes_online"),
            figure("Nodes silent", "ganglion_nodes_silent", bad_from=1),
            figure("Packs waiting", "ganglion_packs_waiting", bad_from=10_000),
            figure("Oldest waiting pack", "ganglion_lag_seconds", unit="s", bad_from=300),
            figure("Dead letters", "ganglion_packs_dead_letter_total"),
            series("Vehicles", [ask('sum("volume")', "traffic", "site", **site)], "count", least="5m", bars=True),
            series("Mean speed", [mean("traffic", "speed", "site", **site)], "km/h", least="5m"),
            series("PM2.5, mean of the stations", [mean("air", "pm2_5", "site", **site)], "ug/m3", least="5m"),
            series("Water, mean flow of a meter", [mean("water", "flow", "site", **site)], "l/h", least="5m"),
            incidents(),
        ],
    )


def traffic() -> Panel:
    classes = [
        ask(f'sum("class_{name}")', "traffic", "site", alias=name) for name in ("motorcycle", "short", "medium", "long")
    ]
    return dashboard(
        "traffic",
        "Ganglion: traffic",
        "traffic",
        [
            series("Vehicles", [ask('sum("volume")', "traffic", "site node")], "count", least="5m", bars=True),
            series("Mean speed", [mean("traffic", "speed")], "km/h"),
            series("Occupancy by lane", [mean("traffic", "occupancy", "site node channel")], "%"),
            series("Vehicles by length", classes, "count", least="15m", bars=True),
            series("Against the traffic", [ask('sum("wrong_way")', "traffic", "site node")], "count", bars=True),
            incidents(),
        ],
    )


def water() -> Panel:
    return dashboard(
        "water",
        "Ganglion: water",
        "water",
        [
            series("Flow", [mean("water", "flow")], "l/h"),
            series("Least flow: what never stops", [ask('min("flow_min")', "water", "site node")], "l/h", least="15m"),
            series("Used in an hour", [ask('spread("volume")', "water", "site node")], "l", least="1h", bars=True),
            series("Register", [ask('last("volume")', "water", "site node")], "l"),
            series("Temperature", [mean("water", "temperature")], "Cel"),
            series(
                "States: 1 is yes",
                [
                    ask(f'max("{name}")', "water", "site node", alias=name.replace("_", " "))
                    for name in ("reverse_flow", "frost", "tamper", "power_fail")
                ],
                "",
            ),
            incidents(),
        ],
    )


def air() -> Panel:
    return dashboard(
        "air",
        "Ganglion: air",
        "air",
        [
            series("PM2.5", [mean("air", "pm2_5")], "ug/m3"),
            series("PM10", [mean("air", "pm10")], "ug/m3"),
            series("PM1", [mean("air", "pm1_0")], "ug/m3"),
            series("Carbon dioxide", [mean("air", "co2")], "ppm"),
            series("Temperature", [mean("air", "temperature")], "Cel"),
            series("Relative humidity", [mean("air", "humidity")], "%RH"),
            series("Pressure", [mean("air", "pressure")], "Pa"),
            series(
                "Indices of the sensors",
                [ask(f'mean("{name}_index")', "air", "site node", alias=name.upper()) for name in ("voc", "nox")],
                "",
            ),
            incidents(),
        ],
    )


def gateway() -> Panel:
    rates = [
        metric(f"rate(ganglion_packs_{name}_total[5m])", name.replace("_", " "))
        for name in ("received", "written", "duplicate", "dead_letter")
    ]
    slowest = "histogram_quantile(0.99, sum by (le) (rate(ganglion_ack_seconds_bucket[5m])))"
    nodes = [
        metric(f"ganglion_nodes{name}", f"known{name}".replace("known_", "").replace("_", " "))
        for name in ("", "_online", "_silent", "_safe_mode", "_without_time")
    ]
    return dashboard(
        "gateway",
        "Ganglion: the gateway's health",
        "",
        [
            figure("Packs waiting", "ganglion_packs_waiting", bad_from=10_000),
            figure("Oldest waiting pack", "ganglion_lag_seconds", unit="s", bad_from=300),
            figure("Gaps", "ganglion_gaps"),
            figure("Dead letters", "ganglion_packs_dead_letter_total"),
            figure("Journal filled", FILLED, unit="%", bad_from=80),
            figure("Memory", "process_resident_memory_bytes", unit="B", bad_from=400e6),
            series("Packs a second", rates, "count"),
            series("Acknowledged after, 99 % of packs", [metric(slowest, "99 %")], "s"),
            series("Nodes", nodes, "count"),
            series("Open incidents", [metric("ganglion_incidents_open", "{{kind}}")], "count"),
            series(
                "Mirrors",
                [
                    metric(f"ganglion_mirror_packs_{name}", f"{{{{mirror}}}} {name}")
                    for name in ("waiting", "refused", "skipped")
                ],
                "count",
            ),
            series("Radio signal", [mean("health", "rssi", places="site")], "dBm", least="10m"),
            series("Free heap", [ask('min("heap_free")', "health", "site node", places="site")], "B", least="10m"),
            series(
                "Packs waiting in nodes", [ask('max("outbox_packs")', "health", "site node", places="site")], "count",
                least="10m",
            ),
        ],
    )  # fmt: skip


DASHBOARDS: Final[dict[str, Callable[[], Panel]]] = {
    each.__name__: each for each in (city, traffic, water, air, gateway)
}


def text(name: str) -> str:
    """Of the file `dashboards/{name}.json`."""
    return json.dumps(DASHBOARDS[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (HERE / "dashboards" / f"{each}.json").write_text(text(each), encoding="utf-8")
