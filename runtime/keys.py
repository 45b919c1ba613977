"""LiveKit's API keys: several may verify, one signs.

Promises: no secret in any `repr` or error text; the order of the file is kept: its first key may sign.
Refuses: a file that is not `key: secret` lines of YAML, an empty key or secret, a key twice, no key at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import yaml


@dataclass(frozen=True, kw_only=True)
class KeyRing:
    """Secrets by key. `signing_key` is the one that makes our own tokens."""

    secrets: Mapping[str, str] = field(repr=False)
    signing_key: str

    @property
    def signing_secret(self) -> str:
        """The secret that belongs to `signing_key`."""
        return self.secrets[self.signing_key]


def key_ring(pair: tuple[str, str] | None, others: Mapping[str, str]) -> KeyRing:
    """The pair signs; without one, the first of the others. ValueError: no key, or one with two secrets."""
    if pair is None:
        if not others:
            raise ValueError("there is no key")
        return KeyRing(secrets=MappingProxyType(dict(others)), signing_key=next(iter(others)))
    key, secret = pair
    if others.get(key, secret) != secret:
        raise ValueError(f"the key {key!r} has two different secrets")
    return KeyRing(secrets=MappingProxyType({key: secret, **others}), signing_key=key)


def read_keys_file(path: Path) -> dict[str, str]:
    """The keys of a YAML file, in its order. ValueError says what is wrong with it, and shows none of it."""
    try:
        text = path.read_text("utf-8")
        # BaseLoader makes every scalar a string: digits stay what they are, and no object is built.
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
        pairs = yaml.compose(text, Loader=yaml.BaseLoader)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError(f"{path} is not YAML") from None
    if not isinstance(document, dict) or not document:
        raise ValueError(f"{path} must hold lines of `key: secret`")
    for key, secret in document.items():
        if not (isinstance(key, str) and isinstance(secret, str) and key and secret):
            raise ValueError(f"{path} must hold lines of `key: secret`, each with a text that is not empty")
    if pairs is not None and len(document) < len(pairs.value):
        raise ValueError(f"{path} has a key twice")
    return document
