# How much of a head is read before it is refused.
"""Bounds of a head, and their defaults."""

from dataclasses import dataclass

# A target past this earns 414. Precedent: RFC 9112 3 asks for 8000 octets at least; nginx 8 KiB for the whole line.
MAX_TARGET_BYTES = 8 * 1024
# A head past this earns 431. Precedents: nginx 4 x 8 KiB, h11 16 KiB.
MAX_HEAD_BYTES = 16 * 1024
# Precedents: Apache 100; a browser sends 10 to 25.
MAX_FIELDS = 100
# Room for the longest method in use, the version and the two spaces beside the target.
_BESIDE_TARGET_BYTES = 64


@dataclass(slots=True, frozen=True)
class Bounds:
    """What a head may have: bytes of the target, bytes in all, fields."""

    target_bytes: int = MAX_TARGET_BYTES
    head_bytes: int = MAX_HEAD_BYTES
    fields: int = MAX_FIELDS

    @property
    def line_bytes(self) -> int:
        """The longest request line."""
        return self.target_bytes + _BESIDE_TARGET_BYTES


DEFAULT_BOUNDS = Bounds()
