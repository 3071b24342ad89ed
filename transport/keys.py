"""CURVE keys (RFC 26): texts in Z85 (RFC 32), files only their owner can read, and the list of who may dial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

KEY_BYTES: Final = 32
Z85: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


@dataclass(frozen=True, slots=True)
class Curve:
    """The key pair (Z85) that all tcp of one end uses, and who may dial it: `allowed(public key) -> bool`."""

    public: str
    secret: str
    allowed: Callable[[str], bool]


def z85(raw: bytes) -> str:
    """32 bytes as 40 characters."""
    text = ""
    for at in range(0, len(raw), 4):
        value = int.from_bytes(raw[at : at + 4], "big")
        text += "".join(Z85[value // 85**power % 85] for power in (4, 3, 2, 1, 0))
    return text


def zap_answer(request: list[bytes], allowed: Callable[[str], bool]) -> list[bytes]:
    """The answer to a request of ZAP (RFC 27): 200 with the public key as User-Id, else 400 and why."""
    version, number = (*request, b"", b"")[:2]
    if version != b"1.0" or len(request) != 7 or request[5] != b"CURVE" or len(request[6]) != KEY_BYTES:
        return [version, number, b"400", b"only CURVE is served", b"", b""]
    key = z85(request[6])
    if not allowed(key):
        return [version, number, b"400", b"key not on the allow-list", b"", b""]
    return [version, number, b"200", b"OK", key.encode(), b""]
