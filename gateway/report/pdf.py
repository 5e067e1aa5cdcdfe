"""A page of HTML as PDF, by WeasyPrint: the extra `pdf`."""

from typing import Final

from gateway.report.weeks import ReportError

CURE: Final = (
    "install the extra with `pip install 'ganglion[pdf]'`, and Debian's packages libpangoft2-1.0-0 and "
    "libharfbuzz-subset0; or write .html, which any browser prints"
)


def pdf_of(html: str) -> bytes:
    """Fetches nothing. Raises ReportError where WeasyPrint, or a library that it needs, is missing."""
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:  # its libraries are loaded when it is imported
        raise ReportError(f"a PDF cannot be made here ({error}): {CURE}") from error
    document: bytes = HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=("data",))).write_pdf()
    return document
