"""`ganglion air-index`: what concentrations mean to people, by the index of a region and a date."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.airquality.correction import HUMIDITY_BIAS, correct
from gateway.airquality.index import Index, Part, air_index
from gateway.airquality.series import HUMIDITY, HourlyIndex, hourly_indices, read_hours
from gateway.airquality.tables import AirError, Region
from gateway.cli.options import JsonOption, moment, show_json, show_table
from gateway.lines import Lines


def air_index_command(
    values: Annotated[
        list[str] | None,
        typer.Argument(
            help="Means in the units of the region's table: pm2_5, pm10, o3, no2, so2, co; o3_1h says which mean. "
            "With humidity=% pm2_5 is a low-cost sensor's (CF=1) and is corrected first.",
            metavar="POLLUTANT=VALUE",
        ),
    ] = None,
    *,
    region: Annotated[Region, typer.Option(help="Whose index.")] = "us",
    day: Annotated[
        datetime | None,
        typer.Option(
            "--date", formats=["%Y-%m-%d"], help="Whose table; today's, with --hours each hour's own.", metavar="DATE"
        ),
    ] = None,
    hours: Annotated[
        Path | None,
        typer.Option(
            help="CSV of hourly means, also gzipped, - is standard input: time (the hour's end), pollutants, perhaps "
            "humidity.",
            metavar="FILE.csv",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """An air quality index: of each pollutant, the worst of them, and which is responsible.

    Units: in the US ug/m3 of particles, ppm of O3 and CO, ppb of SO2 and NO2; in China ug/m3, mg/m3 of CO; in Europe
    ug/m3.

    Examples: ganglion air-index --region us --date 2026-11-29 pm2_5=35.9 no2=41

    ganglion air-index --region china --hours station.csv --json
    """
    on = day.date() if day else None
    if (hours is None) == (not values):
        raise AirError("give either POLLUTANT=VALUE or --hours FILE.csv")
    if hours is not None:
        _hours(hours, region, on, json)
    else:
        _one(_given(values or []), region, on or datetime.now(UTC).date(), json)


def _given(words: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            equals = ""
        if not equals:
            raise AirError(f"{word!r:.60} is not POLLUTANT=VALUE, as in pm2_5=35.9")
        if name in found:
            raise AirError(f"{name} is given twice")
        found[name] = value
    return found


def _one(given: dict[str, float], region: Region, day: date, json: bool) -> None:
    humidity = given.pop(HUMIDITY, None)
    raw = given.get("pm2_5", 0.0)
    bias = False
    if humidity is not None:
        if "pm2_5" not in given:
            raise AirError("humidity is given without pm2_5, which alone it corrects")
        corrected = correct(raw, humidity)
        given["pm2_5"], bias = corrected.pm2_5, corrected.humidity_bias
    index = air_index(region, day, given)
    if json:
        show_json([{"date": day, "index": index, "humidity_bias": bias}])
        return
    rows = [
        [
            part.pollutant,
            f"{part.hours} h",
            f"{part.concentration:.6g} {part.unit}",
            _number(part),
            part.category or "-",
        ]
        for part in index.parts
    ]
    show_table(["pollutant", "mean over", "concentration", "index", "class"], rows, "")
    typer.echo(f"\n{index.standard}: {_sentence(index)}")
    if humidity is not None:
        typer.echo(f"pm2_5 of {raw:.6g} at {humidity:g} % was corrected as a low-cost sensor's")
    if bias:
        typer.echo(f"{HUMIDITY_BIAS}: the correction of low-cost sensors does not hold in air so humid")


def _hours(path: Path, region: Region, day: date | None, json: bool) -> None:
    try:
        with Lines.opened(path) as lines:
            found = hourly_indices(read_hours(lines, region), region, day)
            if json:
                for each in found:  # as they come: a file may hold years
                    show_json([each])
            else:
                _show_hours(list(found))
    except AirError as error:
        raise AirError(f"{path}: {error}") from error


def _show_hours(hours: list[HourlyIndex]) -> None:
    names = list(dict.fromkeys(_column(part) for each in hours for part in each.index.parts))
    rows = []
    for each in hours:
        index = each.index
        told = {_column(part): f"{part.concentration:.6g}" for part in index.parts}
        remark = HUMIDITY_BIAS if each.humidity_bias else ""
        rows.append(
            [
                moment(each.time),
                *(told.get(name, "-") for name in names),
                "-" if index.index is None else f"{index.index}{'+' if index.above else ''}",
                index.category or "-",
                ", ".join(index.responsible) or "-",
                remark,
            ]
        )
    show_table(["hour's end", *names, "index", "class", "responsible", ""], rows, "no hours in the file")


def _column(part: Part) -> str:
    return f"{part.pollutant} {'NowCast' if part.nowcast else f'{part.hours} h'}"


def _number(part: Part) -> str:
    if part.index is None:
        return "-"
    return f"{part.index}{' (above the table)' if part.above else ''}"


def _class(part: Part) -> str:
    return part.category or "-"


def _sentence(index: Index) -> str:
    if index.index is None:
        return "no index: the table has none for so little"
    who = f", by {', '.join(index.responsible)}" if index.responsible else ""
    return f"{index.index}, {index.category}{who}"
