"""The application's settings: `--set port=6380 sync=true dir=PATH host=127.0.0.1 max_clients=100`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_VALUE: Final = 1024 * 1024
MAX_CLIENTS: Final = 10_000  # Redis, `maxclients`; the bound of a DynamicSupervisor and of a core's streams too
NAMES: Final = ("port", "host", "dir", "sync", "max_clients", "max_value")
_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")


class BadSetting(ValueError):
    """A setting that cannot be used: one sentence with the mend."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a kv node is told. `dir` is the folder of the logs, relative to the node's data folder or absolute.

    `sync`: answer only what is on the disk; else the log is synced each second. `max_clients`: on each core.
    `max_value`: bytes of one argument.
    """

    port: int = 6380
    host: str = "127.0.0.1"
    dir: str = "kv"
    sync: bool = False
    max_clients: int = MAX_CLIENTS
    max_value: int = MAX_VALUE


def read_settings(given: Mapping[str, str]) -> Settings:
    """Read `place.settings`. Raises BadSetting."""
    for name in given:
        if name not in NAMES:
            raise BadSetting(f"kv has no setting {name!r}; give --set with one of {', '.join(NAMES)}")
    return Settings(
        port=_whole(given, "port", 6380, 0, 65535),
        host=_host(given.get("host", "127.0.0.1")),
        dir=_folder(given.get("dir", "kv")),
        sync=_flag(given, "sync", False),
        max_clients=_whole(given, "max_clients", MAX_CLIENTS, 1, MAX_CLIENTS),
        max_value=_whole(given, "max_value", MAX_VALUE, 64, MAX_VALUE),
    )


def _whole(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise BadSetting(f"{name}={text!r} is no whole number from {low} to {high}; write --set {name}={default}")
    return int(text)


def _flag(given: Mapping[str, str], name: str, default: bool) -> bool:
    text = given.get(name)
    if text is None:
        return default
    if text.lower() not in (*_TRUE, *_FALSE):
        raise BadSetting(f"{name}={text!r} is neither true nor false; write --set {name}=true or {name}=false")
    return text.lower() in _TRUE


def _host(text: str) -> str:
    if not text or any(char.isspace() for char in text):
        raise BadSetting(f"host={text!r} is no host name or address; write --set host=127.0.0.1")
    return text


def _folder(text: str) -> str:
    if not text.strip("/") or "\0" in text or ".." in text.split("/"):
        raise BadSetting(
            f"dir={text!r} names no folder of its own; write --set dir=kv or dir=/var/lib/kv, without '..'"
        )
    return text.rstrip("/")
