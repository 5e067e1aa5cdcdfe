"""`ganglion power`: how long a battery water node lives."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gateway.cli.options import JsonOption, show_json, show_table
from gateway.power.figures import BATTERIES, CHIPS
from gateway.power.model import Budget, Count, Plan, PowerError, budget

_BAR = 40
_BOARDS = {"esp32-devkit": "esp32", "esp32-s3": "esp32-s3", "esp32-c3": "esp32-c3"}
_OLD_YEARS = 15  # no maker of a cell promises more


def power(
    *,
    chip: Annotated[str | None, typer.Option(help=f"The node's chip: {', '.join(CHIPS)}; esp32.")] = None,
    battery: Annotated[str | None, typer.Option(help=f"Its battery: {', '.join(BATTERIES)}; er34615.")] = None,
    report_h: Annotated[float | None, typer.Option(help="Hours from report to report; 24.")] = None,
    window_min: Annotated[float | None, typer.Option(help="Minutes of a window; 60.")] = None,
    litres_per_pulse: Annotated[float | None, typer.Option(help="As on the meter's plate; 1.")] = None,
    litres_per_day: Annotated[float | None, typer.Option(help="What runs through the meter; 400.")] = None,
    flow_l_h: Annotated[float | None, typer.Option(help="Litres an hour while water runs; 500.")] = None,
    draws_per_day: Annotated[float | None, typer.Option(help="How often water begins to run; 40.")] = None,
    events_per_day: Annotated[float | None, typer.Option(help="Reports out of turn; 0.")] = None,
    reeds: Annotated[int | None, typer.Option(min=1, max=2, help="Contacts in the meter; 1.")] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="Whether reports are encrypted; yes.")] = None,
    count: Annotated[Count | None, typer.Option(help="Who counts; firmware is what ours does.")] = None,
    pull_up_kohm: Annotated[float | None, typer.Option(help="At each contact; 45 is the chip's own.")] = None,
    quiescent_ua: Annotated[float | None, typer.Option(help="What the regulator takes; 5.")] = None,
    node_config: Annotated[
        Path | None, typer.Option(help="A node's config.json, for what is not given here.", metavar="FILE")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="With bars.")] = False,
    json: JsonOption = False,
) -> None:
    """Where a battery water node's charge goes, and how many years it lasts: a model, not a measurement.

    Example: ganglion power --report-h 24 --litres-per-day 400 --battery er34615 --chip esp32-s3
    """
    asked = {
        "chip": chip,
        "battery": battery,
        "report_h": report_h,
        "window_min": window_min,
        "litres_per_pulse": litres_per_pulse,
        "litres_per_day": litres_per_day,
        "flow_l_h": flow_l_h,
        "draws_per_day": draws_per_day,
        "events_per_day": events_per_day,
        "reeds": reeds,
        "tls": tls,
        "count": count,
        "pull_up_kohm": pull_up_kohm,
        "quiescent_ua": quiescent_ua,
    }
    given = _of_node(node_config) if node_config else {}
    plan = Plan(**given | {name: value for name, value in asked.items() if value is not None})
    bill, best, worst = budget(plan), budget(plan, "low"), budget(plan, "high")
    ways = {way: budget(msgspec.structs.replace(plan, count=way)) for way in Count if _can(plan, way)}
    if json:
        show_json([_as_json(plan, bill, best, worst, ways)])
        return
    _show(bill, best, worst, plot=plot)
    typer.echo(f"\n{_years(bill, best, worst)} on {plan.battery} with {plan.chip}.")
    for remark in _remarks(plan, bill):
        typer.echo(remark)
    typer.echo("\nThe same node, by who counts the pulses:")
    rows = [
        [("> " if way is plan.count else "  ") + way, f"{b.mah_a_day:.2f}", f"{b.years:.1f}"] for way, b in ways.items()
    ]
    show_table(["count", "mAh a day", "years"], rows, "")


def _of_node(path: Path) -> dict[str, Any]:
    """What a node's config.json says of a plan. Raises PowerError."""
    try:
        config = json_module.loads(path.read_text(encoding="utf-8"))
        own, sensors = config.get("battery") or {}, config.get("sensors") or {}
        found = {
            "chip": _BOARDS.get(config.get("board", "esp32-devkit")),
            "report_h": own["report_s"] / 3600 if "report_s" in own else None,
            "window_min": own["window_s"] / 60 if "window_s" in own else None,
            "litres_per_pulse": sensors.get("litres_per_pulse"),
            "reeds": sensors.get("reeds"),
            "tls": bool((config.get("mqtt") or {}).get("tls")),
        }
        kind = config.get("kind")
        plan = {name: value for name, value in found.items() if value is not None}
        msgspec.convert(plan, Plan)
    except OSError as error:
        raise PowerError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise PowerError(f"{path} is no node's configuration: {error}") from error
    if kind != "water" or not own:
        raise PowerError(f"{path} is no water node on a battery: it needs kind water and a table battery")
    return plan


def _can(plan: Plan, way: Count) -> bool:
    return way is not Count.ULP or CHIPS[plan.chip].ulp_ua is not None


def _show(bill: Budget, best: Budget, worst: Budget, *, plot: bool) -> None:
    most = max(item.mah for item in bill.items)
    whole = bill.mah_a_day
    rows = [
        [each.name, f"{each.mah:.3f}", f"{low.mah:.3f} to {high.mah:.3f}", f"{each.mah / whole:.0%}", each.detail]
        for each, low, high in zip(bill.items, best.items, worst.items, strict=True)
    ]
    rows.append(["together", f"{whole:.3f}", f"{best.mah_a_day:.3f} to {worst.mah_a_day:.3f}", "100%", ""])
    columns = ["what", "mAh a day", "range", "share", "of that"]
    if plot:
        columns.append("")
        rows = [
            [*row, bar] for row, bar in zip(rows, [_bar(each.mah / most) for each in bill.items] + [""], strict=True)
        ]
    show_table(columns, rows, "")


def _bar(share: float) -> str:
    return "█" * round(share * _BAR) or ("▏" if share else "")


def _years(bill: Budget, best: Budget, worst: Budget) -> str:
    return f"{bill.years:.1f} years, somewhere from {worst.years:.1f} to {best.years:.1f},"


def _remarks(plan: Plan, bill: Budget) -> list[str]:
    """What the number alone does not say."""
    found = [f"This battery {BATTERIES[plan.battery].note}."]
    if not CHIPS[plan.chip].sleeps:
        found.append(f"Our firmware does not live on a battery with {plan.chip} yet: this is what it would be.")
    if bill.years > _OLD_YEARS:
        found.append(f"No maker promises a cell for more than {_OLD_YEARS} years.")
    return found


def _as_json(plan: Plan, bill: Budget, best: Budget, worst: Budget, ways: dict[Count, Budget]) -> dict[str, Any]:
    return {
        "plan": plan,
        "mah_a_day": {"low": best.mah_a_day, "value": bill.mah_a_day, "high": worst.mah_a_day},
        "years": {"low": worst.years, "value": bill.years, "high": best.years},
        "items": bill.items,
        "by_count": {way: {"mah_a_day": each.mah_a_day, "years": each.years} for way, each in ways.items()},
        "measured": False,
    }
