"""Who is barred and comes back all the same: the broker has not heard of it, which somebody has to be told."""

import asyncio
import time
from pathlib import Path
from typing import cast

import pytest

from gateway.config import Mqtt
from gateway.identity.counted import Counted
from gateway.identity.issuer import Issuer
from gateway.identity.revoker import HEARD_SECONDS, Revoker
from gateway.identity.store import Store
from gateway.journal.access import JournalAccess
from gateway.pki.authority import Authority
from sim_hardware.servers import wait_until
from tests.system.gateway_process import NOBODY


async def test_a_broker_that_does_not_keep_out_who_is_barred_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    city = Authority.create(tmp_path / "pki", "Riverside").folder
    issuer = Issuer(city / "issuer", city / "ca.pem", 90)
    store, now = Store(tmp_path), time.time()
    end = int(now) + 86_400
    store.learn([("a1", "riverside/long", end), ("b2", "riverside/just", end), ("c3", "riverside/good", end)], now)
    store.revoke("riverside/long", now - HEARD_SECONDS - 1)
    store.revoke("riverside/just", now)
    journal = cast(JournalAccess, None)  # asked for serial numbers that nobody knows, and these are known
    crl = tmp_path / "crl.pem"
    revoker = Revoker(Mqtt("127.0.0.1", NOBODY), tmp_path, crl, city / "crl.pem", issuer, journal, Counted())
    running = asyncio.create_task(revoker.run())
    await asyncio.to_thread(wait_until, lambda: revoker.refuses("a1"), 10, "what was taken back is read")
    for name in ("long", "just", "good", "long"):
        revoker.connected(f"riverside/{name}")
    running.cancel()
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [
        "riverside/long is revoked or on hold, and the broker lets it in all the same; it is thrown out each time. It "
        f"has not read {crl} since, or else a former issuer signed that certificate: see docs/broker.md"
    ]
