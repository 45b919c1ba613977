"""The settings themselves: by concern, and put together for each part.

Promises: names and defaults are those of the contract; each has a description. Secrets are in no `repr`.
Refuses to start without a LiveKit key, or with half of a pair.
"""

from importlib.util import find_spec
from typing import Self

from pydantic import SecretStr, model_validator

from runtime.keys import KeyRing, key_ring
from runtime.settings.kinds import (
    AmqpUrl,
    ApiKeys,
    Bytes,
    Count,
    DatabaseUrl,
    Days,
    Flag,
    Folder,
    Host,
    HttpUrl,
    KeysFile,
    LiveKitUrl,
    LogFormat,
    LogLevel,
    Origins,
    Port,
    Seconds,
    TrustedUrl,
    WholeSeconds,
    is_loopback,
)
from runtime.settings.loading import Settings, setting

_ADMIN_PORT = "Port of `/livez`, `/readyz` and `/metrics`; 0 turns it off"


class LogSettings(Settings):
    """How the process talks."""

    log_format: LogFormat = setting(
        "JUNE_LOG_FORMAT",
        "`json`, `logfmt` or `console`; `auto`: `console` on a terminal, else `json`",
        default="auto",
    )
    log_level: LogLevel = setting("JUNE_LOG_LEVEL", "`debug`, `info`, `warning` or `error`", default="info")


class LiveKitKeys(Settings):
    """Who may sign LiveKit's webhooks, and what signs our tokens."""

    livekit_api_key: str | None = setting("LIVEKIT_API_KEY", "LiveKit's API key; it signs", example="devkey")
    livekit_api_secret: SecretStr | None = setting(
        "LIVEKIT_API_SECRET", "The secret of `LIVEKIT_API_KEY`", example="<at least 32 characters>"
    )
    livekit_keys_file: KeysFile | None = setting(
        "LIVEKIT_KEYS_FILE",
        "YAML file of `key: secret` lines, in place of the pair (its first key signs), or beside it",
        example="/run/secrets/livekit-keys.yaml",
    )

    @model_validator(mode="after")
    def _keys_are_there(self) -> Self:
        match (self.livekit_api_key, self.livekit_api_secret, self.livekit_keys_file):
            case (str(), None, _):
                raise ValueError("LIVEKIT_API_SECRET: is not set, but LIVEKIT_API_KEY is: both or none")
            case (None, SecretStr(), _):
                raise ValueError("LIVEKIT_API_KEY: is not set, but LIVEKIT_API_SECRET is: both or none")
            case (None, None, None):
                raise ValueError(
                    "LIVEKIT_API_KEY: is not set, nor is LIVEKIT_KEYS_FILE: give LiveKit's key and secret"
                    " (for example LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=<at least 32 characters>)"
                )
        try:
            _ = self.keys
        except ValueError as error:
            raise ValueError(f"LIVEKIT_KEYS_FILE: {error}") from None
        return self

    @property
    def keys(self) -> KeyRing:
        """All keys; the pair signs, else the file's first."""
        others = self.livekit_keys_file.get_secret_value() if self.livekit_keys_file else {}
        if self.livekit_api_key is None or self.livekit_api_secret is None:
            return key_ring(None, others)
        return key_ring((self.livekit_api_key, self.livekit_api_secret.get_secret_value()), others)


class LiveKitSettings(LiveKitKeys):
    """Where LiveKit is."""

    livekit_ws_url: LiveKitUrl = setting(
        "LIVEKIT_WS_URL", "The server's own address", default="ws://127.0.0.1:7880"
    )
    livekit_public_url: LiveKitUrl | None = setting(
        "JUNE_LIVEKIT_PUBLIC_URL",
        "What clients are told; not set: `LIVEKIT_WS_URL`",
        example="wss://livekit.example.org",
    )

    @property
    def client_url(self) -> str:
        """The address of LiveKit that clients and bots are told."""
        return (self.livekit_public_url or self.livekit_ws_url).get_secret_value()


class AmqpSettings(Settings):
    """Where RabbitMQ is."""

    amqp_url: AmqpUrl = setting(
        "JUNE_AMQP_URL",
        "RabbitMQ, `amqp://` or `amqps://`. User, password and virtual host are percent-encoded. With `amqps://` the"
        " system's authorities must know the broker, or those of `?cafile=<PEM file>` (or `cacertfile`); `certfile` and"
        " `keyfile` are our own certificate. `heartbeat` (seconds, 10; a broker that hangs is given up after two) and"
        " `connection_timeout` (milliseconds, 10000) are as in RabbitMQ's URIs. Any other option is refused",
        default="amqp://guest:guest@127.0.0.1:5672/",
    )


class DatabaseSettings(Settings):
    """Where the state is kept."""

    database_url: DatabaseUrl = setting(
        "JUNE_DATABASE_URL", "`sqlite:///<file>` or `postgresql://…`", default="sqlite:///june.db"
    )


class AdminSettings(Settings):
    """Where health and metrics are told."""

    admin_host: Host = setting(
        "JUNE_ADMIN_HOST", "Address of `/livez`, `/readyz` and `/metrics`", default="127.0.0.1"
    )


class LeaseSettings(Settings):
    """For how long a job is given. The workers give it; the HTTP API only tells it to the live page."""

    job_lease: WholeSeconds = setting(
        "JUNE_JOB_LEASE_S",
        "Seconds within which whoever holds a job must report; one value for all parts",
        default="30",
    )


class SessionDefaults(LeaseSettings):
    """What a session has when nobody said otherwise."""

    adopt_rooms: Flag = setting(
        "JUNE_ADOPT_ROOMS", "Rooms that June did not create become sessions", default="true"
    )
    stt_enabled: Flag = setting(
        "JUNE_STT_ENABLED", "Speech to text, for sessions that do not say", default="true"
    )
    ai_enabled: Flag = setting("JUNE_AI_ENABLED", "AI turns, for sessions that do not say", default="true")
    stt_language: str = setting("JUNE_STT_LANGUAGE", "Language, for sessions that do not say", default="en")
    bot_token_ttl: WholeSeconds = setting(
        "JUNE_BOT_TOKEN_TTL_S", "Seconds for which the token inside a job works", default="300"
    )


class UpkeepSettings(Settings):
    """How the store and LiveKit are kept in agreement, and what is forgotten when."""

    reconcile_interval: WholeSeconds = setting(
        "JUNE_RECONCILE_INTERVAL_S", "Seconds between two comparisons with LiveKit's rooms", default="30"
    )
    room_grace: WholeSeconds = setting(
        "JUNE_ROOM_GRACE_S", "Seconds that a session waits for a room that vanished", default="60"
    )
    retention: Days = setting("JUNE_RETENTION_DAYS", "Days for which ended sessions are kept", default="30")


class IngressSettings(LiveKitKeys, AmqpSettings, AdminSettings, LogSettings):
    """`python -m webhook_ingress`."""

    ingress_host: Host = setting("JUNE_INGRESS_HOST", "Address for LiveKit's webhooks", default="127.0.0.1")
    ingress_port: Port = setting("JUNE_INGRESS_PORT", "Port for LiveKit's webhooks", default="8080")
    webhook_max_bytes: Bytes = setting(
        "JUNE_WEBHOOK_MAX_BYTES", "The largest body of a webhook, in bytes", default="1048576"
    )
    spool_dir: Folder = setting(
        "JUNE_SPOOL_DIR",
        "Folder for events that RabbitMQ does not take at the moment; one process has it alone",
        default="june-spool",
    )
    spool_max_bytes: Bytes = setting(
        "JUNE_SPOOL_MAX_BYTES", "How much `JUNE_SPOOL_DIR` may hold, in bytes", default="1073741824"
    )
    admin_port: Port = setting("JUNE_ADMIN_PORT", _ADMIN_PORT, default="9101")


class WorkerSettings(
    LiveKitSettings,
    AmqpSettings,
    DatabaseSettings,
    SessionDefaults,
    UpkeepSettings,
    AdminSettings,
    LogSettings,
):
    """`python -m worker`."""

    admin_port: Port = setting("JUNE_ADMIN_PORT", _ADMIN_PORT, default="9102")


class ApiCallers(Settings):
    """Who may use the HTTP API."""

    api_host: Host = setting(
        "JUNE_API_HOST", "Address of the HTTP API and the live page", default="127.0.0.1"
    )
    api_keys: ApiKeys | None = setting(
        "JUNE_API_KEYS",
        "Who may use the HTTP API: a line `name sha256-in-hex scope,scope` for each key; scopes are"
        " `sessions:read`, `sessions:write`, `events:read`, `system:read`",
        example="backend <64 hexadecimal digits> sessions:read,sessions:write",
    )
    api_dev: Flag = setting(
        "JUNE_API_DEV",
        "Without any key everybody on this machine may do everything; on loopback only",
        default="false",
    )
    oidc_issuer: TrustedUrl | None = setting(
        "JUNE_OIDC_ISSUER",
        "Tokens of this OIDC issuer are taken, too; their scopes are those in the claim `scope`",
        example="https://login.example.org/",
    )
    oidc_audience: str | None = setting(
        "JUNE_OIDC_AUDIENCE", "The audience that such tokens must name", example="june"
    )
    oidc_jwks_url: TrustedUrl | None = setting(
        "JUNE_OIDC_JWKS_URL",
        "Where the issuer has its keys",
        example="https://login.example.org/.well-known/jwks.json",
    )

    @model_validator(mode="after")
    def _somebody_may_come_in(self) -> Self:
        oidc = (self.oidc_issuer, self.oidc_audience, self.oidc_jwks_url)
        if any(oidc) and not all(oidc):
            raise ValueError(
                "JUNE_OIDC_ISSUER: goes with JUNE_OIDC_AUDIENCE and JUNE_OIDC_JWKS_URL: all or none"
            )
        if any(oidc) and find_spec("cryptography") is None:
            raise ValueError(
                "JUNE_OIDC_ISSUER: needs the Python package cryptography, which is not installed"
            )
        if self.api_keys is not None or any(oidc):
            return self
        if not self.api_dev:
            raise ValueError(
                "JUNE_API_KEYS: is not set, nor is JUNE_OIDC_ISSUER: give each caller a key"
                " (or, for development on this machine alone, JUNE_API_DEV=true)"
            )
        if not is_loopback(self.api_host):
            raise ValueError("JUNE_API_DEV: lets everybody in, so JUNE_API_HOST must be a loopback address")
        return self


class ApiSettings(ApiCallers, AmqpSettings, LeaseSettings, AdminSettings, LogSettings):
    """`python -m session_api`."""

    management_url: HttpUrl | None = setting(
        "JUNE_RABBITMQ_MANAGEMENT_URL",
        "RabbitMQ's management API, asked as the user of `JUNE_AMQP_URL`: with it the name of the worker that holds a"
        " partition is shown, without it how many hold or await it",
        example="http://127.0.0.1:15672",
    )
    api_port: Port = setting("JUNE_API_PORT", "Port of the HTTP API and the live page", default="8081")
    api_max_bytes: Bytes = setting(
        "JUNE_API_MAX_BYTES", "The largest body of a request, in bytes", default="1048576"
    )
    api_timeout: Seconds = setting(
        "JUNE_API_TIMEOUT_S", "Seconds for which a request waits for June's answer", default="10"
    )
    api_max_requests: Count = setting(
        "JUNE_API_MAX_REQUESTS",
        "Requests at once, and event streams at once; more are answered 429",
        default="200",
    )
    api_cors_origins: Origins | None = setting(
        "JUNE_API_CORS_ORIGINS",
        "Origins whose pages may use the HTTP API, separated by commas; not set: none but its own",
        example="https://app.example.org",
    )
    admin_port: Port = setting("JUNE_ADMIN_PORT", _ADMIN_PORT, default="9103")


PARTS: dict[str, type[Settings]] = {
    "webhook_ingress": IngressSettings,
    "worker": WorkerSettings,
    "session_api": ApiSettings,
}
