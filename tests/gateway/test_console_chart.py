"""What a chart on a page says of alarms."""

from zoneinfo import ZoneInfo

import pytest

from gateway.web.console.chart import options
from gateway.web.drawn import Alarm, Drawn, Line


@pytest.mark.parametrize(("drill", "name"), [(False, "main burst"), (True, "DRILL: main burst")])
def test_a_drill_is_marked_to_eyes_and_ears(drill: bool, name: str) -> None:
    alarm = Alarm("a", "main_burst", "critical", "riverside", "water-0001", 100, 200, "It pours.", drill)
    line = Line("water-0001", {}, [100.0, 200.0], [1.0, 2.0])
    shown = options(Drawn("flow", "water", "l/h", "", "", 0.0, 300.0, [], [line], [alarm]), ZoneInfo("UTC"))
    assert [begin["name"] for begin, _ in shown["series"][0]["markArea"]["data"]] == [name]
    assert f"{name}: It pours." in shown["aria"]["label"]["description"]
