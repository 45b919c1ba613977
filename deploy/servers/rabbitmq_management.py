"""The little of RabbitMQ's management API that runs need: is it up, which version, a vhost, no vhost."""

import base64
import json
import secrets
import socket
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

ANSWER_WITHIN_S = 30
PROBE_WITHIN_S = 3


class ManagementError(RuntimeError):
    """The management API is not there, or refuses."""


class Management:
    """Calls of one user. Each is a request of its own; errors are ManagementError."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._user = user
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}

    def version(self) -> str:
        return str(self.call("GET", "overview")["rabbitmq_version"])

    def new_vhost(self) -> str:
        """The name of an empty vhost where this user may do everything."""
        name = f"june-{secrets.token_hex(6)}"
        self.call("PUT", f"vhosts/{name}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.call("PUT", f"permissions/{name}/{quote(self._user, safe='')}", everything)
        return name

    def delete_vhost(self, quoted_name: str) -> None:
        """One that is not there is as good as deleted."""
        self.call("DELETE", f"vhosts/{quoted_name}", absent_is_fine=True)

    def is_up(self, amqp_port: int) -> bool:
        """Whether the broker takes connections and the API answers. Never raises."""
        try:
            socket.create_connection(("127.0.0.1", amqp_port), PROBE_WITHIN_S).close()
            self.call("GET", "overview", within_s=PROBE_WITHIN_S)
        except (OSError, ManagementError):
            return False
        return True

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        absent_is_fine: bool = False,
        within_s: float = ANSWER_WITHIN_S,
    ) -> Any:
        """The JSON of the answer, None where there is none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/api/{path}", data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=within_s) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                if absent_is_fine and error.code == 404:
                    return None
                raise ManagementError(
                    f"{method} {path} at {self._url}: {error.code} {error.reason}"
                ) from None
        except OSError as error:
            raise ManagementError(
                f"{method} {path}: RabbitMQ's management does not answer at {self._url}: {error}"
            ) from error
        return json.loads(text) if text else None
