"""The energy model: held against sums made by hand, against itself, and against what is told of it."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.power import figures
from gateway.power.figures import BATTERIES, CHIPS, Edge, Figure
from gateway.power.model import Count, Plan, PowerError, budget

PAGE = Path(__file__).resolve().parents[2] / "docs/power.md"

plans = st.builds(
    Plan,
    chip=st.sampled_from(sorted(CHIPS)),
    battery=st.sampled_from(sorted(BATTERIES)),
    report_h=st.floats(0.1, 200),
    window_min=st.floats(1, 60),
    litres_per_pulse=st.sampled_from([1.0, 10.0, 100.0]),
    litres_per_day=st.floats(0, 50_000),
    flow_l_h=st.floats(1, 5000),
    draws_per_day=st.floats(0, 2000),
    events_per_day=st.floats(0, 50),
    reeds=st.sampled_from([1, 2]),
    tls=st.booleans(),
    count=st.sampled_from([Count.FIRMWARE, Count.BOOT, Count.FROZEN, Count.CHIP]),
    pull_up_kohm=st.floats(10, 10_000),
    quiescent_ua=st.floats(0, 10_000),
)


def items(plan: Plan, edge: Edge = "value") -> dict[str, float]:
    return {item.name: item.mah for item in budget(plan, edge).items}


def test_a_bill_made_by_hand() -> None:
    """Every line, with the numbers of the datasheets put in here again."""
    plan = Plan(chip="esp32", battery="er34615", report_h=24, window_min=60, litres_per_day=400, draws_per_day=40)
    boot = 27 + 0.1 * 50  # mC: stock image, and what is loaded then
    look = 0.06 * 50
    gap = 3600 / 500 / 2  # s from change to change of one reed at 500 l/h
    napped = 760 * gap + 40 * 10
    assert items(plan) == pytest.approx(
        {
            "sleep": 10 * 24 / 1000,
            "regulator": 5 * 24 / 1000,
            "contacts": 0.3 * 3.3 / 45 * 24,
            "pulses": (40 * (boot + look) + 760 * look + napped * 0.8) / 3600,
            "windows": 24 * (boot + 0.3 * 50) / 3600,
            "reports": (boot + 1.5 * 50 + 201 + 8.4 + 3.3 * 60 + 100 + 24 * 10) / 3600,
            "self-discharge": 190 / 365.25,
        }
    )
    bill = budget(plan)
    assert bill.mah_a_day == pytest.approx(sum(items(plan).values()))
    assert bill.years == pytest.approx(19_000 * 0.75 / bill.mah_a_day / 365.25)


def test_a_boot_for_every_change() -> None:
    """Two for a pulse: 800 boots of 35 mC are more than all the rest together."""
    plan = Plan(count=Count.BOOT)
    assert items(plan)["pulses"] == pytest.approx(800 * (27 + 0.16 * 50) / 3600)
    assert items(plan)["pulses"] > budget(plan).mah_a_day / 2


def test_who_counts_without_the_processor_pays_nothing_for_a_pulse() -> None:
    """But for what the counter takes all day."""
    for count, ua in ((Count.CHIP, 11), (Count.ULP, 100)):
        few, many = (Plan(count=count, litres_per_day=litres) for litres in (10.0, 10_000.0))
        assert budget(few) == budget(many)
        assert items(few)["sleep"] == pytest.approx(ua * 24 / 1000)


def test_water_that_runs_slowly_boots_the_board_for_every_change() -> None:
    """10 l a pulse at 500 l/h: 36 s from change to change, and nobody waits so long."""
    fast, slow = Plan(litres_per_pulse=10), Plan(litres_per_pulse=10, flow_l_h=5000)
    assert "80 boots" in next(item.detail for item in budget(fast).items if item.name == "pulses")
    assert "40 boots" in next(item.detail for item in budget(slow).items if item.name == "pulses")


@given(plan=plans, edge=st.sampled_from(["low", "value", "high"]))
def test_a_bill_adds_up(plan: Plan, edge: Edge) -> None:
    """No line is below nothing, and together they empty the battery in the years that are told."""
    bill = budget(plan, edge)
    assert all(item.mah >= 0 for item in bill.items)
    assert bill.mah_a_day == pytest.approx(sum(item.mah for item in bill.items))
    used = bill.mah_a_day * bill.years * 365.25 / BATTERIES[plan.battery].mah
    assert 0.5 <= used <= 1


@given(plan=plans)
def test_the_edges_enclose_the_expected(plan: Plan) -> None:
    """In every line, and the other way round in the years."""
    low, value, high = (budget(plan, edge) for edge in ("low", "value", "high"))
    for a, b, c in zip(low.items, value.items, high.items, strict=True):
        assert a.mah <= b.mah <= c.mah
    assert high.years <= value.years <= low.years


@given(
    plan=plans,
    more=st.sampled_from(["litres_per_day", "events_per_day", "quiescent_ua"]),
    factor=st.floats(1, 5),
)
def test_more_to_do_takes_more(plan: Plan, more: str, factor: float) -> None:
    """Never less, whatever else is asked."""
    busier = msgspec.structs.replace(plan, **{more: getattr(plan, more) * factor})
    assert budget(busier).mah_a_day >= budget(plan).mah_a_day * (1 - 1e-12)


def test_every_figure_is_a_range_with_a_source() -> None:
    """Low is not above the value, nor that above high."""
    found = [each for each in vars(figures).values() if isinstance(each, Figure)]
    for record in [*CHIPS.values(), *BATTERIES.values()]:
        found += [each for each in msgspec.structs.astuple(record) if isinstance(each, Figure)]
    assert len(found) > 25
    for each in found:
        assert 0 < each.low <= each.value <= each.high
        assert re.match(r"(datasheet|boot|radio|firmware|assumed|reckoned|Linden|makers|as |a known make)", each.source)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chip": "esp8266"}, "there is no chip 'esp8266'; known are esp32, esp32-s3, esp32-c3"),
        ({"battery": "aa"}, "there is no battery 'aa'"),
        ({"report_h": 0}, "report h cannot be 0"),
        ({"flow_l_h": -1}, "flow l h cannot be -1"),
        ({"litres_per_day": float("nan")}, "litres per day cannot be nan"),
        ({"quiescent_ua": float("inf")}, "quiescent ua cannot be inf"),
        ({"chip": "esp32-c3", "count": Count.ULP}, "the esp32-c3 has no low-power coprocessor"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PowerError, match=re.escape(message)):
        budget(Plan(**changes))


def run(*words: str) -> str:
    answer = CliRunner().invoke(make_app(), ["power", *words])
    if isinstance(answer.exception, PowerError):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_the_page_shows_what_the_command_says() -> None:
    """To the letter, so that a changed figure cannot leave the page behind."""
    (shown,) = re.findall(
        r"^```console\n\$ ganglion power (.*?)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    options, text = shown
    printed = "\n".join(line.rstrip() for line in run(*options.split()).splitlines())
    assert text.strip() == printed.strip()


def test_json_tells_plan_bill_and_range() -> None:
    told = json.loads(run("--json", "--chip", "esp32-s3", "--battery", "18650", "--no-tls"))
    bill = budget(Plan(chip="esp32-s3", battery="18650", tls=False))
    assert told["plan"]["chip"] == "esp32-s3"
    assert told["years"]["value"] == pytest.approx(bill.years)
    assert told["years"]["low"] < told["years"]["value"] < told["years"]["high"]
    assert [each["name"] for each in told["items"]] == [item.name for item in bill.items]
    assert set(told["by_count"]) == {"firmware", "boot", "frozen", "ulp", "chip"}
    assert told["measured"] is False
    assert "ulp" not in json.loads(run("--json", "--chip", "esp32-c3"))["by_count"]


def test_bars_are_as_long_as_what_they_show() -> None:
    lines = run("--plot").splitlines()
    bars = {line.split()[0]: line.count("█") for line in lines if "█" in line}
    bill = items(Plan())
    most = max(bill.values())
    assert bars == {name: round(mah / most * 40) for name, mah in bill.items()}


CONFIG = {
    "kind": "water",
    "site": "riverside",
    "node": "water-1",
    "board": "esp32-s3",
    "mqtt": {"host": "x", "tls": {"ca": "ca.der", "cert": "cert.der", "key": "key.der"}},
    "sensors": {"litres_per_pulse": 10, "reeds": 2},
    "battery": {"report_s": 43_200, "window_s": 1800},
}


def test_a_nodes_own_configuration(tmp_path: Path) -> None:
    """Gives what is not given on the command line."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    plan = json.loads(run("--json", "--node-config", str(path), "--litres-per-pulse", "100"))["plan"]
    wanted = Plan(chip="esp32-s3", report_h=12, window_min=30, litres_per_pulse=100, reeds=2, tls=True)
    assert plan == json.loads(msgspec.json.encode(wanted))
    path.write_text(json.dumps(CONFIG | {"mqtt": {"host": "x"}}))
    assert json.loads(run("--json", "--node-config", str(path)))["plan"]["tls"] is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no node's configuration"),
        ("[]", "is no node's configuration"),
        (json.dumps(CONFIG | {"battery": {"report_s": "12"}}), "is no node's configuration"),
        (json.dumps(CONFIG | {"sensors": {"litres_per_pulse": "1"}}), "is no node's configuration"),
        (json.dumps(CONFIG | {"battery": {}}), "is no water node on a battery"),
        (json.dumps(CONFIG | {"kind": "air"}), "is no water node on a battery"),
    ],
)
def test_a_configuration_of_something_else(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(PowerError, match=message):
        run("--node-config", str(path))
    with pytest.raises(PowerError, match="cannot be read"):
        run("--node-config", str(tmp_path / "none.json"))
