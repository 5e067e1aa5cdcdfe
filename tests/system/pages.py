"""The console's port, asked as a browser or a program asks it."""

import urllib3

from tests.system.gateway_process import SECONDS


class Pages:
    """At an address, whether anybody answers there or not."""

    def __init__(self, base: str) -> None:
        self.base = base

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """Redirects are not followed. Raises urllib3's HTTPError while nobody answers."""
        with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
            return pool.request("GET", f"{self.base}{path}", headers=headers, redirect=False)

    def there(self) -> bool:
        try:
            return self.get("/static/icon.svg").status == 200
        except urllib3.exceptions.HTTPError:
            return False
