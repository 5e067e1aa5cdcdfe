"""Sockets over TLS in the emulation's `select`: nobody spins, and nothing that has come already is left lying."""

import asyncio
import ssl
from pathlib import Path

from gateway.pki.authority import Authority
from tests.sim_hardware.program import FOLLOW, pace, printed

SPUN = 100
"""Wake-ups in half a second, in which the interpreter of its own has some five hundred; a board's own are 25."""

PROGRAM = """
import asyncio
import ssl
def woken():
    with open("/proc/self/status") as f:
        return int(f.read().split("voluntary_ctxt_switches:")[1].split()[0])
async def main():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    with open({ca!r}, "rb") as f:
        made.load_verify_locations(cadata=f.read())
    below, _ = await asyncio.open_connection("127.0.0.1", {port})
    sock = made.wrap_socket(below.s, server_hostname="127.0.0.1", do_handshake_on_connect=False)
    stream = asyncio.StreamReader(sock)
    stream.write(b"x")
    await stream.drain()
    before = woken()
    first = await stream.readexactly(1)
    print(woken() - before)
    print(first + await stream.readexactly(9))
    sock.close()
    below.s.close()
asyncio.run(main())
"""


async def test_a_board_sleeps_until_tls_has_something(tmp_path: Path) -> None:
    """The kernel wakes it; what is left of a record that it has begun to read is there at once, unannounced."""
    authority = Authority.create(tmp_path / "pki", "Riverside")
    server = authority.server(["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{server.folder}/cert.pem", f"{server.folder}/key.pem")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(1) == b"x"
        await asyncio.sleep(0.5)
        writer.write(b"0123456789")
        await reader.read()
        writer.transport.abort()

    pace(tmp_path, 1)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as listening:
        port = listening.sockets[0].getsockname()[1]
        program = FOLLOW + PROGRAM.format(ca=str(authority.folder / "ca.der"), port=port)
        woken, text = await asyncio.to_thread(printed, program, tmp_path)
    assert woken < SPUN
    assert text == b"0123456789"
