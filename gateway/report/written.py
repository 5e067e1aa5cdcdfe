"""A week as the document that somebody wants."""

from typing import Literal

import msgspec

from gateway.report.figures import Week
from gateway.report.page import page_of
from gateway.report.pdf import pdf_of
from gateway.report.weeks import ReportError, Span

Form = Literal["html", "pdf", "json"]


def written(week: Week, span: Span, form: Form) -> bytes:
    """The document of a week. Raises ReportError for one without data, and for a PDF where none can be made."""
    if week.empty:
        raise ReportError(f"the week {week.week} of {week.site} has no data: neither readings nor incidents")
    if form == "json":
        return msgspec.json.encode(week)
    html = page_of(week, span)
    return pdf_of(html) if form == "pdf" else html.encode()
