"""The pod that this runner is in, as the Kubernetes API knows it; the only thing that a runner ever says to that API.

Promises: the token is read anew for each call, since Kubernetes replaces it; whatever goes wrong is a PodError.
"""

import os
import ssl
from pathlib import Path

import httpx

from taskandgo.errors import SettingsError, TaskAndGoError

#: What Kubernetes puts into a pod whose account may speak to its API.
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
TIMEOUT_SECONDS = 10.0


class PodError(TaskAndGoError):
    """Kubernetes could not be told."""


class Pod:
    """A pod by its name, in the namespace of the account."""

    def __init__(self, name: str, account: Path = ACCOUNT) -> None:
        """SettingsError where Kubernetes gave no account, as outside a pod."""
        try:
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
            namespace = (account / "namespace").read_text().strip()
            trusted = ssl.create_default_context(cafile=str(account / "ca.crt"))
        except (KeyError, OSError) as error:
            raise SettingsError(
                f"RUNNER_POD={name}: needs a pod whose account has a token (automountServiceAccountToken: true); "
                f"missing is {error}"
            ) from error
        self._token = account / "token"
        self._path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        at = f"[{host}]" if ":" in host else host
        self._http = httpx.AsyncClient(base_url=f"https://{at}:{port}", verify=trusted, timeout=TIMEOUT_SECONDS)

    async def set_deletion_cost(self, cost: int) -> None:
        """Have pods of a lower cost scaled down before this one."""
        try:
            answer = await self._http.patch(
                self._path,
                json={"metadata": {"annotations": {DELETION_COST: str(cost)}}},
                headers={
                    "content-type": "application/merge-patch+json",
                    "authorization": f"Bearer {self._token.read_text().strip()}",
                },
            )
            answer.raise_for_status()
        except (httpx.HTTPError, OSError) as error:
            raise PodError(f"Kubernetes does not take this pod's deletion cost: {error}") from error

    async def close(self) -> None:
        """Let go of the connection."""
        await self._http.aclose()
