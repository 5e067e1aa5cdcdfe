"""Who may look at single homes when nothing is said: whoever is on the machine, and nobody who is not."""

import pytest

from gateway.config import Console


@pytest.mark.parametrize(
    ("settings", "anyone"),
    [
        (Console(), True),
        (Console(listen="[::1]:8090"), True),
        (Console(listen="0.0.0.0:8090"), False),
        (Console(listen="192.168.1.9:8090"), False),
        (Console(link="https://console.example"), False),  # a proxy passes others on
        (Console(listen="0.0.0.0:8090", read="anyone"), True),
        (Console(read="login"), False),
    ],
)
def test_homes_are_open_on_this_machine_alone(settings: Console, anyone: bool) -> None:
    assert settings.open == anyone
