"""What stands before every page: nobody else's site may show, read or steer it, and no code runs but our own.

Promises: no inline or foreign script, style, frame or request; whoever reaches the monitor under a name that it was
not told of is turned away, so that no foreign site can pose as it by its own name; a form is taken only from a page
of the same origin.
"""

import ipaddress
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"),
        *("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
SAFE = {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class Guard:
    """Stands before the pages; `hosts` are the names with a dot that the monitor is reached under."""

    app: ASGIApp
    hosts: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Turn the request away, or pass it on and dress the answer."""

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self.app)(scope, receive, dressed)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if not is_own(host, self.hosts):
            name = host.partition(":")[0]
            return PlainTextResponse(f"The monitor does not know {name!r} as its name: see MONITOR_HOSTS.\n", 421)
        if method not in SAFE and not is_same_origin(headers, host):
            return PlainTextResponse("Only the dashboard's own pages may do this.\n", 403)
        return None


def is_own(host: str, hosts: frozenset[str]) -> bool:
    """Whether nobody else can have a site under this host: an address, a name without a dot, or one of `hosts`."""
    name = host.rpartition("]")[0].removeprefix("[") or host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.lower() in hosts
    return True


def is_same_origin(headers: Headers, host: str) -> bool:
    """Whether the browser says that a page of this very origin sends the request."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    return site in (None, "same-origin") and origin in (f"http://{host}", f"https://{host}")
