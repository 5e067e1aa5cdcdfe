"""`ganglion air-index`: what it prints, and what it says of what it cannot take."""

import gzip
import json
import re
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import make_app
from tests.gateway.commandline import sentence

PAGE = Path(__file__).resolve().parents[2] / "docs/air.md"
ON = ("--date", "2026-11-29")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(make_app(), ["air-index", *arguments])  # type: ignore[return-value]


def lines(*arguments: str) -> list[str]:
    answer = invoke(*arguments)
    if answer.exception:
        raise answer.exception
    return [line.rstrip() for line in answer.stdout.splitlines()]


def test_a_table_of_concentrations() -> None:
    shown = lines("--region", "us", *ON, "pm2_5=35.9", "o3_1h=0.1", "no2=41")
    assert shown[0].split() == ["pollutant", "mean", "over", "concentration", "index", "class"]
    assert shown[1].split() == ["pm2_5", "24", "h", "35.9", "ug/m3", "102", "Unhealthy", "for", "Sensitive", "Groups"]
    assert shown[2].split() == ["o3", "1", "h", "0.1", "ppm", "-", "-"]
    assert shown[3].split() == ["no2", "1", "h", "41", "ppb", "39", "Good"]
    assert shown[-1] == "US EPA AQI 2024: 102, Unhealthy for Sensitive Groups, by pm2_5"


def test_json() -> None:
    (line,) = lines("--region", "china", "--date", "2026-02-28", "pm2_5=75", "o3_8h=900", "--json")
    told = json.loads(line)
    index = told["index"]
    assert (told["date"], index["standard"], index["index"]) == ("2026-02-28", "HJ 633-2012", 300)
    assert (index["responsible"], index["above"]) == (["o3"], True)
    assert [part["index"] for part in index["parts"]] == [100, 300]


def test_above_and_nothing() -> None:
    assert "300 (above the table)" in "\n".join(lines("--region", "china", *ON, "o3_8h=900"))
    assert lines(*ON, "o3_1h=0.1")[-1] == "US EPA AQI 2024: no index: the table has none for so little"
    assert lines("--region", "china", *ON, "pm2_5=10")[-1] == "HJ 633-2026: 15, Excellent"


def test_a_sensors_humidity() -> None:
    shown = lines(*ON, "pm2_5=60.1", "humidity=80")
    assert shown[-3:] == [
        "US EPA AQI 2024: 127, Unhealthy for Sensitive Groups, by pm2_5",
        "pm2_5 of 60.1 at 80 % was corrected as a low-cost sensor's",
        "humidity bias likely: the correction of low-cost sensors does not hold in air so humid",
    ]
    assert json.loads(lines(*ON, "pm2_5=60.1", "humidity=60", "--json")[0])["humidity_bias"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*ON, "pm25=3"), "pm25 is no pollutant of US EPA AQI 2024; the nearest is pm2_5"),
        ((*ON, "co2=400"), "co2 is no pollutant of US EPA AQI 2024; the nearest is "),
        ((*ON, "pm2_5"), "'pm2_5' is not POLLUTANT=VALUE"),
        ((*ON, "pm2_5=much"), "is not POLLUTANT=VALUE"),
        ((*ON, "pm2_5=nan"), "must be a number from 0"),
        ((*ON, "pm2_5=1", "pm2_5=2"), "pm2_5 is given twice"),
        ((*ON, "humidity=50", "pm10=2"), "without pm2_5"),
        ((*ON, "pm2_5=2", "humidity=150"), "from 0 to 100 %"),
        (("--date", "2013-01-01", "pm2_5=2"), "oldest table of us"),
        ((*ON,), "give either"),
        ((*ON, "pm2_5=1", "--hours", "x.csv"), "give either"),
        ((*ON, "--hours", "none.csv"), "none.csv cannot be read: No such file"),
    ],
)
def test_what_it_cannot_take(arguments: tuple[str, ...], words: str) -> None:
    assert words in sentence(invoke(*arguments))


def test_a_region_that_is_none() -> None:
    answer = invoke("--region", "mars", "pm2_5=1")
    assert answer.exit_code == 2
    assert "europe" in answer.output


def station(tmp_path: Path, text: str) -> str:
    path = tmp_path / "station.csv"
    path.write_text(text)
    return str(path)


def test_hours_of_a_file(tmp_path: Path) -> None:
    """The NowCast of the third hour needs two; a cell that is empty is missing; the date chooses the table."""
    file = station(tmp_path, "time,pm2_5,no2\n2026-11-29T01:00:00Z,40,20\n2026-11-29 02:00:00,20,\n1795921200,,30\n")
    shown = [re.split(r" {2,}", line) for line in lines("--hours", file)]
    assert shown[0] == ["hour's end", "no2 1 h", "pm2_5 NowCast", "index", "class", "responsible"]
    assert shown[2] == ["2026-11-29 02:00:00Z", "-", "26.6667", "84", "Moderate", "pm2_5"]
    told = [json.loads(line) for line in lines("--hours", file, "--json")]
    assert [each["time"] for each in told] == [1795914000, 1795917600, 1795921200]
    found = [{part["pollutant"]: part["concentration"] for part in each["index"]["parts"]} for each in told]
    assert found[0] == {"no2": 20}
    assert found[1] == {"pm2_5": pytest.approx((20 + 0.5 * 40) / 1.5)}
    assert found[2] == {"pm2_5": pytest.approx((0.5 * 20 + 0.25 * 40) / 0.75), "no2": 30}
    assert [each["index"]["index"] for each in told] == [19, 84, 84]
    europe = [json.loads(line)["index"]["index"] for line in lines("--region", "europe", "--hours", file, "--json")]
    assert europe == [3, 3, 3]


def test_hours_by_the_table_of_their_date(tmp_path: Path) -> None:
    text = "time,no2\n2026-02-28T23:00:00Z,100\n2026-03-01T00:00:00Z,100\n"
    file = station(tmp_path, text)
    standards = [
        json.loads(line)["index"]["standard"] for line in lines("--region", "china", "--hours", file, "--json")
    ]
    assert standards == ["HJ 633-2012", "HJ 633-2026"]
    old = station(tmp_path, "time,no2\n2013-03-01 00:00:00,100\n")
    assert "oldest table of us" in sentence(invoke("--hours", old))
    assert json.loads(lines(*ON, "--hours", old, "--json")[0])["index"]["index"] == 100


def test_hours_of_a_humid_sensor(tmp_path: Path) -> None:
    file = station(tmp_path, "time,pm2_5,humidity\n3600,60,50\n7200,60,80\n10800,60,\n")
    told = [json.loads(line) for line in lines("--region", "europe", "--hours", file, "--json")]
    assert [each["humidity_bias"] for each in told] == [False, True, False]
    assert told[0]["index"]["parts"][0]["concentration"] == pytest.approx(0.786 * 60 - 0.0862 * 50 + 5.75)
    assert told[2]["index"]["index"] is None, "without humidity it cannot be corrected"
    assert "humidity bias likely" in "\n".join(lines("--region", "europe", "--hours", file))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,pm25\n", "column 'pm25', which is none of us; the nearest is pm2_5"),
        ("pm2_5\n1\n", "no column time"),
        ("time\n", "no pollutant"),
        ("", "no column time"),
        ("time,pm2_5,pm2_5\n", "twice"),
        ("time,pm10,humidity\n", "without pm2_5"),
        ("time,pm2_5\n3600,1\n3600,2\n", "line 3: its time is not after"),
        ("time,pm2_5\nnoon,1\n", "line 2: time 'noon' is neither"),
        ("time,pm2_5\n3600,x\n", "line 2: pm2_5 is 'x'"),
        ("time,pm2_5\n3600,-1\n", "line 2: pm2_5 is '-1'"),
        ("time,pm2_5\n3600\n", "line 2: 1 cells, the header has 2"),
        ("time,pm2_5,humidity\n3600,1,200\n", "line 2: the relative humidity is 200"),
    ],
)
def test_a_file_that_cannot_be_taken(tmp_path: Path, text: str, words: str) -> None:
    said = sentence(invoke(*ON, "--hours", station(tmp_path, text)))
    assert words in said
    assert "station.csv" in said


def test_help_has_an_example() -> None:
    answer = invoke("--help")
    assert answer.exit_code == 0
    assert "ganglion air-index --region us" in answer.output


def test_the_page_shows_what_the_command_says() -> None:
    """To the letter."""
    ((options, text),) = re.findall(
        r"^```console\n\$ ganglion air-index (.*?)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert text.strip().splitlines() == lines(*options.split())


HOURS = "time,pm2_5\n2026-11-29T01:00:00Z,5.5\n2026-11-29T02:00:00Z,6.5\n"


@pytest.mark.parametrize(
    "data",
    [
        HOURS.encode(),
        gzip.compress(HOURS.encode()),
        b"\xef\xbb\xbf" + HOURS.replace(",", ";").replace(".", ",").replace("\n", "\r\n").encode(),
        HOURS.replace(",", "\t").encode(),
    ],
    ids=["plain", "gzip", "semicolons", "tabs"],
)
def test_hours_as_programs_write_them(tmp_path: Path, data: bytes) -> None:
    """And from standard input."""
    file = tmp_path / "hours"
    file.write_bytes(data)
    shown = lines("--hours", str(file))
    assert shown[2].split()[2:] == ["6.04167", "33", "Good", "pm2_5"]
    piped = CliRunner().invoke(make_app(), ["air-index", "--hours", "-"], input=data)
    assert [line.rstrip() for line in piped.stdout.splitlines()] == shown


def test_more_than_air_can_hold(tmp_path: Path) -> None:
    """No overflow, whose warning fails a test, and no index of a hundred millions."""
    assert sentence(invoke(*ON, "pm2_5=1e308")) == "pm2_5 is 1e+308: it must be a number from 0 to 1e+09"
    file = tmp_path / "hours.csv"
    file.write_text("time,pm2_5\n1795932000,1e308\n")
    assert "line 2: pm2_5 is '1e308': it must be a number from 0 to 1e+09, or empty" in sentence(
        invoke("--hours", str(file))
    )


def test_what_is_no_table_of_hours(tmp_path: Path) -> None:
    file = tmp_path / "zeros"
    file.write_bytes(bytes(200_000))
    assert sentence(invoke("--hours", str(file))).endswith("(131072): is it a CSV file?")
