"""What a part is told from outside, read once at its edge: `load(IngressSettings)`."""

from runtime.settings.loading import Settings, SettingsInvalid, load
from runtime.settings.parts import (
    PARTS,
    AdminSettings,
    AmqpSettings,
    ApiSettings,
    DatabaseSettings,
    IngressSettings,
    LiveKitKeys,
    LiveKitSettings,
    LogSettings,
    SessionDefaults,
    WorkerSettings,
)

__all__ = [
    "PARTS",
    "AdminSettings",
    "AmqpSettings",
    "ApiSettings",
    "DatabaseSettings",
    "IngressSettings",
    "LiveKitKeys",
    "LiveKitSettings",
    "LogSettings",
    "SessionDefaults",
    "Settings",
    "SettingsInvalid",
    "WorkerSettings",
    "load",
]
