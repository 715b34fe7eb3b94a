"""A reverse proxy before an S3 server that harms requests on purpose, by a seed."""

import asyncio
import json
import random
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, web
from yarl import URL

from tests.chaos.nodes import PROJECT

CALM: Mapping[str, float] = {}
_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}
_ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>on purpose</Message></Error>"
_ANSWERS = {
    "500": (500, "InternalError"),
    "503": (503, "SlowDown"),
    "expired": (403, "ExpiredToken"),
}
_WRITES = {"PUT", "POST", "DELETE"}
_ONLY = {"truncated": {"GET"}, "lost": _WRITES, "lying": {"PUT"}, "forgetting": {"PUT"}}
"""Methods that a kind of fault is for; the other kinds are for every request."""


@dataclass
class Weather:
    """The share of requests that meet each kind of fault, and how many have.

    500, 503, expired: such an answer. reset: the connection breaks before the server has the
    request. lost: it breaks after the server did what was asked. truncated: half a body.
    stall: `seconds` pass first. lying: who lost a conditional PUT is told that it won.
    forgetting: a conditional PUT of a log entry is answered, and not done.
    """

    shares: Mapping[str, float]
    seed: int = 0
    seconds: float = 30.0
    met: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def drawn(self, method: str) -> str:
        """What befalls the next request; most often nothing."""
        at = self.chance.random()
        for kind, share in self.shares.items():
            if method in _ONLY.get(kind, {method}):
                if at < share:
                    return kind
                at -= share
        return ""


@dataclass
class Proxy:
    """The proxy's process, as its owner sees it."""

    endpoint: str

    def change(
        self, shares: Mapping[str, float] = CALM, seed: int = 0, seconds: float = 30.0
    ) -> int:
        """Have other weather from now on; how many requests met a fault in the one before."""
        told = json.dumps({"shares": dict(shares), "seed": seed, "seconds": seconds}).encode()
        return self._asked(told)

    def met(self) -> int:
        """How many requests met a fault in this weather so far."""
        return self._asked(None)

    def passed(self) -> tuple[int, int]:
        """Requests answered since this was last asked, and the bytes of the answers."""
        with urllib.request.urlopen(f"{self.endpoint}/-/passed", timeout=30) as answer:
            requests, size = json.loads(answer.read())
        return requests, size

    def _asked(self, data: bytes | None) -> int:
        request = urllib.request.Request(
            f"{self.endpoint}/-/weather", data, method="PUT" if data else "GET"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return sum(json.loads(answer.read()).values())


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """A proxy in a process of its own: some clients hold the interpreter while they wait for it."""
    command = [sys.executable, "-m", "tests.chaos.proxy", upstream]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield Proxy(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Server:
    """Answers for the S3 server behind it; `/-/weather` and `/-/passed` are for its owner."""

    def __init__(self, upstream: str, session: ClientSession) -> None:
        self.upstream, self.session, self.weather = upstream, session, Weather(CALM)
        self.requests, self.bytes = 0, 0

    async def control(self, request: web.Request) -> web.Response:
        """Change the weather, and tell how many met a fault in what was before."""
        met = dict(self.weather.met)
        if request.method == "PUT":
            self.weather = Weather(**await request.json())
        return web.json_response(met)

    async def count(self, request: web.Request) -> web.Response:
        """Tell how much was answered, and begin to count anew."""
        passed, self.requests, self.bytes = [self.requests, self.bytes], 0, 0
        return web.json_response(passed)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, or harm it."""
        weather, kind = self.weather, self.weather.drawn(request.method)
        if kind == "forgetting" and "/_delta_log/" not in request.path:
            kind = ""
        if kind and kind != "lying":
            weather.met[kind] += 1
        if kind == "forgetting":
            await request.read()
            return _won()
        if kind in _ANSWERS:
            await request.read()
            status, code = _ANSWERS[kind]
            return web.Response(status=status, text=_ERROR.format(code), content_type="text/xml")
        if kind == "reset":
            return _broken(request)
        if kind == "stall":
            await asyncio.sleep(weather.seconds)
        try:
            return await self._forwarded(request, kind)
        except (ClientError, ConnectionError):
            return _broken(request)

    async def _forwarded(self, request: web.Request, kind: str) -> web.StreamResponse:
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP]
        async with self.session.request(
            request.method,
            URL(self.upstream + request.raw_path, encoded=True),
            headers=headers,
            data=await request.read() or None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
        ) as found:
            body = await found.read()
            self.requests, self.bytes = self.requests + 1, self.bytes + len(body)
            if kind == "lost":
                return _broken(request)
            if kind == "lying" and found.status == HTTPStatus.PRECONDITION_FAILED:
                self.weather.met[kind] += 1
                return _won()
            answer = web.StreamResponse(status=found.status, reason=found.reason)
            for name, value in found.headers.items():
                if name.lower() not in _HOP:
                    answer.headers.add(name, value)
            if request.method != "HEAD":
                answer.content_length = len(body)
            await answer.prepare(request)
            if request.method == "HEAD":
                return answer
            await answer.write(body[: len(body) // 2] if kind == "truncated" else body)
            if kind == "truncated" and body:
                return _broken(request, answer)
            await answer.write_eof()
            return answer


def _won() -> web.Response:
    return web.Response(headers={"ETag": '"0"'})


def _broken(request: web.Request, begun: web.StreamResponse | None = None) -> web.StreamResponse:
    transport: Any = request.transport
    if transport is not None:
        transport.abort()
    return begun or web.Response(status=500)


async def _serve(upstream: str) -> None:
    timeout = ClientTimeout(total=120)
    async with ClientSession(
        cookie_jar=DummyCookieJar(), auto_decompress=False, timeout=timeout
    ) as session:
        server = Server(upstream, session)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/-/weather", server.control)
        app.router.add_route("GET", "/-/passed", server.count)
        app.router.add_route("*", "/{path:.*}", server.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
