"""A week as a page and as PDF: whole, safe, of itself alone, and honest about what is missing."""

import base64
import io
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pypdf
import pytest
from lxml import etree
from msgspec import structs
from tinyhtml5.parser import HTMLParser

from gateway.detect.plan import Plan, Street, Zone
from gateway.records import Incident
from gateway.report import pdf
from gateway.report.figures import Measured, Remembered, Week, week_of
from gateway.report.hourly import LEAD, Hourly
from gateway.report.page import page_of
from gateway.report.pdf import pdf_of
from gateway.report.plots import traffic_plot
from gateway.report.weeks import IsoWeek, ReportError, Span

SPAN = Span(IsoWeek(2026, 47), ZoneInfo("Europe/Berlin"))
STREET = 'Mill & <Co>" Lane $x$'
HOMES = tuple(f"water-{number:04d}" for number in range(12))
PLAN = Plan(
    street=(Street(STREET, ("traffic-0001",)),),
    zone=(Zone("Mill Quarter", (*HOMES, "air-0001"), ("water-0100",), full=True),),
)
NOTHING = Hourly((), {"windows": np.zeros((0, 168))}, {"windows": np.zeros((0, 168))})
NO_WATER = Hourly((), {"windows": np.zeros((0, 171))}, {"windows": np.zeros((0, 171))}, LEAD)
EMPTY = Measured({"traffic": NOTHING, "water": NO_WATER, "air": NOTHING}, {})


def hourly(nodes: tuple[str, ...], lead: int = 0, **columns: np.ndarray) -> Hourly:  # type: ignore[type-arg]
    """The same in both weeks."""
    shape = len(nodes), lead + 168
    now = {name: np.broadcast_to(values, shape).astype(float) for name, values in columns.items()}
    return Hourly(nodes, now, now, lead)


def full() -> Measured:
    clock = np.arange(171)
    registers = 10.0 * clock * np.array([1] * 12 + [14])[:, None]
    pm2_5 = np.where(np.arange(168) < 24, np.nan, 20.0)
    return Measured(
        {
            "traffic": hourly(("traffic-0001",), vehicles=np.arange(168.0), windows=np.array(60), speed=np.array(42)),
            "water": hourly((*HOMES, "water-0100"), LEAD, register=registers, windows=np.array(1)),
            "air": hourly(("air-0001",), pm2_5=pm2_5, windows=np.where(np.arange(168) < 24, 0, 60)),
        },
        {"air-0001": 12.0},
    )


def case(number: int = 0, **changes: object) -> Incident:
    opened = SPAN.begin + 600 * number
    told = "A <b>jam</b> & more."
    one = Incident(f"jam.{number}", "jam", "riverside", "traffic-0001", "", "warning", opened, opened + 300, told)
    return structs.replace(one, **changes)


def week(measured: Measured, *incidents: Incident, exercise: bool = False) -> Week:
    remembered = Remembered(incidents=incidents)
    return week_of(measured, remembered, PLAN, "riverside", SPAN, now=SPAN.end + 60.0, exercise=exercise)


@pytest.fixture(scope="module")
def page() -> str:
    incidents = [case(), case(1, drill=True), case(2, node=HOMES[3], kind="leak", closed=None)]
    return page_of(week(full(), *incidents), SPAN)


def test_it_is_html_without_an_error(page: str) -> None:
    for text in (page, page_of(week(EMPTY, case()), SPAN), page_of(week(full(), exercise=True), SPAN)):
        parser = HTMLParser()
        parser.parse(text)
        assert parser.errors == []


def test_it_asks_for_nothing_outside(page: str) -> None:
    """Neither the page, nor the drawings in it; and it runs nothing."""
    outside = r"(?:href|src|action)\s*=\s*[\"'](?!data:|#)|@import|url\((?!#)|<script|<link|<iframe"
    assert re.findall(outside, page) == []
    assert "http" not in page
    for drawing in drawings(page):
        assert re.findall(outside, drawing) == []


def drawings(page: str) -> list[str]:
    return [base64.b64decode(text).decode() for text in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)]


def test_who_does_not_see_it_is_told(page: str) -> None:
    """Every drawing in words, every table its heads, headings in order, parts by their headings."""
    tree = etree.HTML(page)
    assert len(tree.findall(".//img")) == 2
    assert all(len(image.get("alt")) > 60 for image in tree.iterfind(".//img"))
    for table in tree.iterfind(".//table"):
        assert table.find("caption") is not None
        assert {head.get("scope") for head in table.iterfind(".//th")} <= {"col", "row"}
    levels = [int(each.tag[1]) for each in tree.iter("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    labels = {each.get("aria-labelledby") for each in tree.iterfind(".//section")}
    assert labels == {each.get("id") for each in tree.iter("h2")}
    assert tree.get("lang") == "en"


def test_what_people_have_named_is_text(page: str) -> None:
    assert "Mill &amp; &lt;Co&gt;&#34; Lane $x$" in page
    assert "A &lt;b&gt;jam&lt;/b&gt; &amp; more." in page
    assert "<Co>" not in page
    (traffic, _) = drawings(page)
    assert "Mill &amp; &lt;Co&gt;" in traffic


def test_no_home_is_named(page: str) -> None:
    assert "a home in Mill Quarter" in page
    assert not any(home in page or any(home in drawing for drawing in drawings(page)) for home in HOMES)


def test_drills_are_apart_and_an_exercise_is_marked(page: str) -> None:
    assert page.index("Drills</h3>") > page.index("Opened in the week, or still open in it.")
    assert "EXERCISE" not in page
    marked = page_of(week(full(), exercise=True), SPAN)
    assert marked.count("EXERCISE") == 3, "title, top and the foot of each printed page"


def test_the_same_figures_give_the_same_bytes(page: str) -> None:
    incidents = [case(), case(1, drill=True), case(2, node=HOMES[3], kind="leak", closed=None)]
    assert page_of(week(full(), *incidents), SPAN) == page


def test_what_is_missing_is_said_in_its_place() -> None:
    """And nothing is drawn of it."""
    page = page_of(week(EMPTY, case()), SPAN)
    for sentence in (
        "No traffic was counted in this week.",
        "No water meter was heard in this week.",
        "No air station was heard in this week.",
        "No node was heard in this week or the one before.",
    ):
        assert sentence in page
    assert "<img" not in page


def test_a_day_without_enough_air_is_hatched(page: str) -> None:
    row = etree.HTML(page).findall(".//table[@class='days']/tbody/tr")[0]
    assert [cell.text for cell in row.iterfind("td")] == ["0 h"] + ["71"] * 6
    assert [cell.get("class") for cell in row.iterfind("td")] == ["none"] + [None] * 6


def test_unknown_hours_are_gaps() -> None:
    """Of an hour that is not known, the line goes neither to zero nor on."""
    found = week(full()).traffic
    assert found is not None
    (flow,) = found.flows
    holes = structs.replace(flow, hours=(*flow.hours[:50], *[None] * 50, *flow.hours[100:]), before=(None,) * 168)
    svg = traffic_plot([holes], SPAN).svg
    paths = re.findall(r'<path d="([^"]+)"[^>]*style="[^"]*stroke: #0072b2', svg.replace("\n", " "))
    line = max(paths, key=len)  # the other is the legend's
    assert line.count("M") == 2
    assert all(float(y) > 0 for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", line))


def test_a_long_week_is_cut_and_says_so() -> None:
    page = page_of(week(full(), *(case(number) for number in range(100))), SPAN)
    assert "85 more incidents: see the JSON." in page
    assert 1 <= len(pypdf.PdfReader(io.BytesIO(pdf_of(page))).pages) <= 3


def test_pdf(page: str) -> None:
    document = pypdf.PdfReader(io.BytesIO(pdf_of(page)))
    text = " ".join(" ".join(each.extract_text() for each in document.pages).split())
    assert 1 <= len(document.pages) <= 3
    assert document.metadata is not None
    assert document.metadata.title == "riverside, week 2026-W47"
    for words in ("riverside: the week 2026-W47", "Mill Quarter", 'Mill & <Co>" Lane', "US EPA AQI 2024", "2 of "):
        assert words in text


def test_pdf_without_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Debian's packages are missing, in which case the library cannot be imported."""
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ReportError) as refused:
        pdf_of("<p>")
    assert pdf.CURE in str(refused.value)
    assert "libpangoft2-1.0-0 and libharfbuzz-subset0" in pdf.CURE
    assert "ganglion[pdf]" in pdf.CURE


@pytest.mark.soak
def test_the_pictures_of_the_documentation_are_drawn(tmp_path: Path) -> None:
    """As they are on its page, to the byte."""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, root / "docs/week.py", tmp_path], check=True, cwd=root, timeout=100)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert drawn == {
        name: (root / "docs/images" / name).read_bytes() for name in ("report-traffic.svg", "report-water.svg")
    }
