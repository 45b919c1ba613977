"""Takes secrets out of text that a person will read.

Promises: JSON Web Tokens, passwords in URLs, and `password=` in queries never get through: in a URL by itself
whatever they hold, within other text as far as they have neither space nor double quote, which no URL may have.
Knows no secrets of other shapes: nobody may log those. Masks too much rather than too little.
"""

import re

MASK = "***"

_TOKEN = re.compile(r"eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)?", re.ASCII)
_URL_PASSWORD = re.compile(r"(://[^:\s\"]*):[^\s\"]*@")
_QUERY_PASSWORD = re.compile(r"(password=)[^&\s\"]+", re.IGNORECASE)
_LONE_URL_PASSWORD = re.compile(r"(://[^:]*):.*@", re.DOTALL)
_LONE_QUERY_PASSWORD = re.compile(r"(password=)[^&]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """The same text, with what looks like a secret replaced by `***`."""
    if "eyJ" in text:
        text = _TOKEN.sub(MASK, text)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
        text = _QUERY_PASSWORD.sub(rf"\1{MASK}", text)
    return text


def redacted_url(url: str) -> str:
    """The same URL, which is all of the text, with `***` for its password, whatever characters that has."""
    return _LONE_QUERY_PASSWORD.sub(rf"\1{MASK}", _LONE_URL_PASSWORD.sub(rf"\1:{MASK}@", url, count=1))
