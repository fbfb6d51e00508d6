"""The network: there is none, and no way to another run."""

import asyncio
import json
import socket

from tests.sandbox.attacks.attacked import Attacked

FAMILIES = {
    "AF_INET": 2,
    "AF_INET6": 10,
    "AF_NETLINK": 16,
    "AF_PACKET": 17,
    "AF_RDS": 21,
    "AF_CAN": 29,
    "AF_BLUETOOTH": 31,
    "AF_ALG": 38,
    "AF_VSOCK": 40,
    "AF_KCM": 41,
    "AF_XDP": 44,
    "AF_KEY": 15,
}


async def test_no_socket_of_a_network_can_be_made(box: Attacked) -> None:
    await box.refuses(
        *[f"socket.socket({number}, {kind})" for number in FAMILIES.values() for kind in (1, 2, 3, 5)],
        *[f"socket.socketpair({number}, 1)" for number in FAMILIES.values()],
        *[f"call('socket', {number | 1 << 32}, 1, 0)" for number in FAMILIES.values()],
    )


async def test_no_packet_leaves(box: Attacked) -> None:
    reached = asyncio.Event()
    udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Reached(reached), local_addr=("127.0.0.1", 0)
    )
    async with await asyncio.start_server(lambda _r, _w: reached.set(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        other = udp.get_extra_info("sockname")[1]
        await box.refuses(
            *[
                f"socket.create_connection(({host!r}, {port}), 1)"
                for host in ("127.0.0.1", "localhost", "169.254.169.254")
            ],
            f"socket.socket(2, 2).sendto(b'x', ('127.0.0.1', {other}))",
            f"call('sendto', 1, b'x', 1, 0, {socket.inet_aton('127.0.0.1') * 4!r}, 16)",
            "socket.getaddrinfo('example.org', 80)",
        )
    udp.close()
    assert not reached.is_set()


class _Reached(asyncio.DatagramProtocol):
    def __init__(self, reached: asyncio.Event) -> None:
        self._reached = reached

    def datagram_received(self, data: bytes, addr: object) -> None:
        """It got out."""
        self._reached.set()


async def test_no_socket_of_the_host_can_be_reached(box: Attacked) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("\0taskandgo-attacks")
    listening.listen()
    with listening:
        await box.refuses(
            *[
                f"socket.socket(1, {kind}).connect({path!r}) or 1"
                for kind in (1, 2, 5)
                for path in (
                    "\0taskandgo-attacks",
                    "/var/run/docker.sock",
                    "/run/containerd/containerd.sock",
                    "/dev/log",
                )
            ],
        )


async def test_two_runs_cannot_meet_by_abstract_names(strict: Attacked) -> None:
    bound, tried = asyncio.Event(), "\\0meet-here"
    server = asyncio.create_task(
        strict.end(
            f"import socket, sys\nfor k in 1, 2, 5:\n s = socket.socket(1, k); s.bind(f'{tried}-{{k}}'); k != 2 and s.listen()\n"
            " globals()[f's{k}'] = s\nprint('bound', flush=True); s2.settimeout(1)\n"
            "try: print(s2.recv(9))\nexcept TimeoutError: print('nothing came')",
            watch=lambda *_: bound.set(),
        )
    )
    await bound.wait()
    await strict.refuses(
        *[f"socket.socket(1, {k}).connect('{tried}-{k}') or 1" for k in (1, 2, 5)],
        f"socket.socket(1, 2).sendto(b'hello', '{tried}-2')",
        f"socket.socketpair(1, 2)[0].sendto(b'hello', '{tried}-2')",
    )
    assert (await server).stdout.data == b"bound\nnothing came\n"


async def test_two_runs_share_no_memory_and_no_files(strict: Attacked) -> None:
    written = asyncio.Event()
    code = (
        "import time\nfrom multiprocessing import shared_memory as s\nm = s.SharedMemory('meet', create=True, size=9)\n"
        "open('/tmp/meet', 'w').write('x'); open('/work/meet', 'w').write('x')\nprint(1, flush=True); time.sleep(0.7)\n"
        "m.close(); m.unlink()"
    )
    first = asyncio.create_task(strict.end(code, watch=lambda *_: written.set()))
    await written.wait()
    await strict.refuses(
        "__import__('multiprocessing.shared_memory').shared_memory.SharedMemory('meet')",
        "open('/tmp/meet')",
        "open('/work/meet')",
        "open('/dev/shm/meet')",
        *[f"call({name!r}, 1, 4096, 0o1666)" for name in ("shmget", "semget", "msgget")],
        "call('mq_open', b'meet', 0o102, 0o666, 0)",
    )
    assert (await first).exit_code == 0


async def test_sockets_of_its_own_work(strict: Attacked) -> None:
    code = (
        "import socket\na, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('/tmp/s'); s.listen()\n"
        "c = socket.socket(socket.AF_UNIX); c.connect('/tmp/s'); print(s.accept() is not None)"
    )
    assert json.dumps(await strict.says(code)) == json.dumps("b'x'\nTrue")
