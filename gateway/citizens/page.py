"""The page as HTML: every word of it is escaped on the way."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.citizens.view import View


class Page:
    """Holds the template."""

    def __init__(self) -> None:
        environment = Environment(
            loader=PackageLoader("gateway.citizens"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template("page.html")

    def write(self, view: View) -> bytes:
        """UTF-8."""
        return self._template.render(view=view).encode()
