"""Who may try a password: nobody for long, and nobody keeps others from it."""

import asyncio

import pytest

from gateway.web import attempts as module
from gateway.web.attempts import Attempts, TooMany

ADDRESS, OTHER = "203.0.113.7", "198.51.100.9"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def _wrong(attempts: Attempts, name: str, address: str) -> bool:
    """Whether it could be tried at all."""
    try:
        async with attempts.turn(name, address):
            attempts.failed(name, address)
    except TooMany:
        return False
    return True


async def test_an_address_tries_so_often_and_then_slowly(clock: Clock) -> None:
    attempts = Attempts(clock)
    assert [await _wrong(attempts, f"user{n}", ADDRESS) for n in range(11)] == [True] * 10 + [False]
    assert await _wrong(attempts, "ada", OTHER)
    clock.now += 10
    assert [await _wrong(attempts, "ada", ADDRESS) for _ in range(2)] == [True, False]


async def test_an_account_that_many_attack_is_open_from_where_it_was_used(clock: Clock) -> None:
    attempts = Attempts(clock)
    attempts.succeeded(OTHER)
    tried = 0
    for number in range(100):
        clock.now += 0.5  # so that it is not the bound of all strangers
        tried += await _wrong(attempts, "ada", f"203.0.{number}.1")
    assert 30 <= tried <= 31
    assert not await _wrong(attempts, "ada", "192.0.2.1")
    assert await _wrong(attempts, "bob", "192.0.2.1")
    assert await _wrong(attempts, "ada", OTHER)


async def test_one_address_keeps_nobody_out_of_an_account(clock: Clock) -> None:
    """However long it goes on."""
    attempts = Attempts(clock)
    for _ in range(3600):
        clock.now += 1
        await _wrong(attempts, "ada", ADDRESS)
    assert await _wrong(attempts, "ada", OTHER)


async def test_a_home_with_many_networks_keeps_nobody_out(clock: Clock) -> None:
    attempts = Attempts(clock)
    for number in range(256):
        await _wrong(attempts, f"user{number}", f"2001:db8:0:{number:x}::1")
    assert await _wrong(attempts, "ada", OTHER)
    assert await _wrong(attempts, "ada", "2001:db8:0:100::1")


async def test_strangers_together_take_no_processor_for_themselves(clock: Clock) -> None:
    attempts = Attempts(clock)
    attempts.succeeded(OTHER)
    tried = [await _wrong(attempts, f"user{n}", f"203.0.{n}.1") for n in range(60)]
    assert sum(tried) == 20
    assert await _wrong(attempts, "ada", OTHER)
    clock.now += 1
    assert [await _wrong(attempts, f"name{n}", f"198.0.{n}.1") for n in range(4)] == [True, True, False, False]


async def test_strangers_who_wait_do_not_fill_the_line_of_those_who_are_known(clock: Clock) -> None:
    attempts = Attempts(clock)
    attempts.succeeded(OTHER)
    held, order = asyncio.Event(), []

    async def wait(name: str, address: str) -> None:
        async with attempts.turn(name, address):
            order.append(name)
            await held.wait()

    waiting = [asyncio.create_task(wait(f"user{n}", f"203.0.{n}.1")) for n in range(module.MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await wait("late", "203.0.200.1")
    waiting.append(asyncio.create_task(wait("ada", OTHER)))
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(*waiting)
    assert "ada" in order


async def test_one_address_does_not_fill_the_line(clock: Clock) -> None:
    attempts = Attempts(clock)
    held = asyncio.Event()

    async def wait(address: str) -> None:
        async with attempts.turn("ada", address):
            await held.wait()

    waiting = [asyncio.create_task(wait(ADDRESS)) for _ in range(8)]
    await asyncio.sleep(0)
    other = asyncio.create_task(wait(OTHER))
    await asyncio.sleep(0)
    held.set()
    done = await asyncio.gather(*waiting, other, return_exceptions=True)
    assert [type(each) for each in done] == [type(None)] * 2 + [TooMany] * 6 + [type(None)]
    assert not attempts._of_one


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 3)
    attempts = Attempts(clock)
    for number in range(10):
        attempts.succeeded(f"203.0.113.{number}")
    assert list(attempts._known) == ["203.0.113.7", "203.0.113.8", "203.0.113.9"]
