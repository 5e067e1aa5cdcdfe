"""Dashboards and data sources for Grafana: as the script makes them, and each question answered by a real server."""

import json
import os
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from gateway.config import Influx
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.lines import incident_lines, pack_lines
from gateway.http import Metrics
from gateway.quantities import KINDS, measured_in
from gateway.records import Figures, Incident, Ledger, Mirrored, Pack, Reading
from sim_hardware.servers import InfluxDB, VictoriaMetrics
from tests.gateway.databases import select

GRAFANA = Path(__file__).resolve().parents[2] / "gateway" / "setup" / "grafana"
NAMES = ("city", "traffic", "water", "air", "gateway")
START = 1_795_417_200
COLUMNS = 24


def read(name: str) -> dict[str, Any]:
    found = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def targets(name: str, source: str) -> Iterator[dict[str, Any]]:
    for panel in read(name)["panels"]:
        for each in panel["targets"]:
            if each["datasource"]["type"] == source:
                yield each


@pytest.fixture(scope="module")
def town(influx: InfluxDB) -> str:
    """A database with an hour of one node of each kind that measures everything, and an incident; as the gateway
    writes them."""
    target = TargetV1(Influx(influx.url, "v1", "grafana_town"))
    target.prepare()
    lines = []
    for minute in range(60):
        when = START + 60 * minute
        for kind in (*KINDS, "health"):
            readings = [
                Reading(when, "lane1" if each.per_lane else "", each.name, min(each.high, max(each.low, 1.0)))
                for each in measured_in(kind)
            ]
            pack = Pack.of("riverside", f"{kind}-0001", "telemetry", kind, 1, minute, when, readings)
            lines += pack_lines(pack)
    jam = Incident("j", "jam", "riverside", "traffic-0001", "", "warning", START + 600, START + 1200, "A jam.")
    target.write([*lines, *incident_lines(jam)])
    return "grafana_town"


def asked(query: str) -> str:
    """As Grafana asks it when all is chosen."""
    words = {
        "$timeFilter": f"time >= {START}s and time <= {START + 3600}s",
        "$__interval": "5m",
        "$site": "(.*)",
        "$node": "(.*)",
    }
    for name, value in words.items():
        query = query.replace(name, value)
    assert "$" not in query.replace("$/", "/"), query
    return query


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_as_the_script_makes_them(name: str) -> None:
    make = runpy.run_path(str(GRAFANA / "make.py"))
    assert tuple(make["DASHBOARDS"]) == NAMES
    assert (GRAFANA / "dashboards" / f"{name}.json").read_text() == make["text"](name), (
        "run `python gateway/setup/grafana/make.py`"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_panels_have_their_places(name: str) -> None:
    """Numbers and letters of their own; within the grid, none upon another; a data source that is provisioned."""
    found = read(name)
    assert found["uid"] == f"ganglion-{name}"
    assert found["title"].startswith("Ganglion: ")
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids)) > 4
    taken: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        letters = [each["refId"] for each in panel["targets"]]
        assert len(letters) == len(set(letters)) > 0
        assert panel["type"] in ("timeseries", "stat", "table")
    sources = {each["uid"]: each["type"] for each in provisioned()}
    for panel in found["panels"]:
        for each in (panel, *panel["targets"]):
            assert sources[each["datasource"]["uid"]] == each["datasource"]["type"]


def test_the_names_are_no_ones_twice() -> None:
    assert len({read(name)["uid"] for name in NAMES}) == len({read(name)["title"] for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_question_to_the_database_is_answered(name: str, influx: InfluxDB, town: str) -> None:
    """With rows: of panels, of the choices above them, and of the marks of incidents."""
    found = read(name)
    marks = [each["query"] for each in found["annotations"]["list"]]
    choices = [each["query"] for each in found["templating"]["list"]]
    questions = [each["query"] for each in targets(name, "influxdb")]
    assert len(questions) + len(marks) + len(choices) > 4
    for query in [*questions, *marks, *choices]:
        assert select(influx.url, town, asked(query)), query


def test_a_choice_narrows(influx: InfluxDB, town: str) -> None:
    """Of a node that is not there nothing comes."""
    for each in targets("air", "influxdb"):
        if "$node" in each["query"]:
            assert not select(influx.url, town, asked(each["query"].replace("$node", "nobody")))


def test_every_metric_is_one_of_the_gateways(victoria: VictoriaMetrics) -> None:
    """By name; and each expression is understood by a server that speaks PromQL, with rows where there are figures."""
    mirrors = {"spare": Mirrored(1, 2, 3)}
    figures = Figures(Ledger(6, 3, 1, 1, 1, 4), 1.0, 10, 100, 5, 4, {"jam": 1}, mirrors=mirrors)
    metrics = Metrics()
    rendered = metrics.render(figures).decode()
    known = set(re.findall(r"^(\w+)", rendered, re.MULTILINE))
    expressions = [each["expr"] for name in NAMES for each in targets(name, "prometheus")]
    assert len(expressions) > 15
    with urllib3.PoolManager() as pool:
        for when in (START, START + 60):
            metrics.acknowledged(0.003, 5)
            rendered = metrics.render(figures).decode()
            pool.request(
                "POST", f"{victoria.url}/api/v1/import/prometheus?timestamp={when * 1000}", body=rendered.encode()
            )
        pool.request("GET", f"{victoria.url}/internal/force_flush")
        for expression in expressions:
            names = set(re.findall(r"\b(?:ganglion|process)_\w+", expression))
            assert names, expression
            assert names <= known, expression
            fields = {"query": expression, "time": str(START + 60), "nocache": "1"}
            answer = pool.request("GET", f"{victoria.url}/api/v1/query", fields=fields).json()
            assert answer["status"] == "success", answer
            assert answer["data"]["result"], expression


def provisioned() -> list[dict[str, Any]]:
    found = yaml.safe_load((GRAFANA / "provisioning/datasources/ganglion.yaml").read_text())
    assert found["apiVersion"] == 1
    return list(found["datasources"])


def test_the_data_sources_hold_no_secret() -> None:
    """Every address, name and secret is a variable of the environment."""
    for each in provisioned():
        assert each["access"] == "proxy"
        values = [each["url"], each.get("user", "$NONE"), *each.get("secureJsonData", {}).values()]
        assert all(re.fullmatch(r"\$[A-Z_]+", value) for value in values)
    assert provisioned()[0]["jsonData"]["dbName"] == "$GANGLION_INFLUX_DATABASE"
    assert "version" not in provisioned()[0]["jsonData"], "InfluxQL is what Grafana asks where none is named"


def test_the_dashboards_are_where_the_package_puts_them() -> None:
    found = yaml.safe_load((GRAFANA / "provisioning/dashboards/ganglion.yaml").read_text())
    path = found["providers"][0]["options"]["path"]
    build = (GRAFANA.parent / "deb" / "build").read_text()
    assert f'"$root{os.path.dirname(path)}/dashboards" $setup/grafana/dashboards/*.json' in build
