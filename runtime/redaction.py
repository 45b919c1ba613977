"""Takes secrets out of text that a person will read.

Promises: JSON Web Tokens, passwords in URLs, and `password=` in queries never get through: in a URL by itself
whatever they hold, within other text as far as they have neither space nor double quote, which no URL may have.
Knows no secrets of other shapes: nobody may log those. Masks too much rather than too little.
"""

import re

MASK = "***"

_TOKEN_RUN = re.compile(r"[\w.-]+", re.ASCII)
_URL_RUN = re.compile(r'[^\s"]+')
_QUERY_PASSWORD = re.compile(r"(password=)[^&\s\"]+", re.IGNORECASE)
_LONE_QUERY_PASSWORD = re.compile(r"(password=)[^&]+", re.IGNORECASE)
_JSON_BEGINS = "eyJ"
_PART_LENGTH = 7
"""The first part of a token has at least so many characters, these three included."""


def redacted(text: str) -> str:
    """The same text, with what looks like a secret replaced by `***`, in a time that only its length decides."""
    if _JSON_BEGINS in text:
        text = _TOKEN_RUN.sub(lambda run: _without_token(run.group()), text)
    if "://" in text:
        text = _URL_RUN.sub(lambda run: _without_password(run.group()), text)
        text = _QUERY_PASSWORD.sub(rf"\1{MASK}", text)
    return text


def redacted_url(url: str) -> str:
    """The same URL, which is all of the text, with `***` for its password, whatever characters that has."""
    return _LONE_QUERY_PASSWORD.sub(rf"\1{MASK}", _without_password(url))


def _without_token(run: str) -> str:
    begins = run.find(_JSON_BEGINS)
    dot = run.find(".", begins + _PART_LENGTH)
    return run if begins < 0 or dot < 0 or dot == len(run) - 1 else run[:begins] + MASK


def _without_password(run: str) -> str:
    """From the colon after the user to the last `@`."""
    scheme, at = run.find("://"), run.rfind("@")
    colon = run.find(":", scheme + 3)
    return run if scheme < 0 or not 0 <= colon < at else f"{run[:colon]}:{MASK}{run[at:]}"
