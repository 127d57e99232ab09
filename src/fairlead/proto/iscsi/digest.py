"""CRC32C digests of headers and data segments. Spec: RFC 7143 §11.2.3, §13.1."""

from __future__ import annotations

from typing import Final

import google_crc32c

DIGEST_BYTES: Final = 4


def crc32c(data: bytes) -> bytes:
    """Return the digest of ``data`` in the byte order of the wire.

    The standard writes the CRC's bits in reverse, which amounts to little-endian byte order.
    RFC 7143 appendix A.4 gives examples: 32 bytes of zero digest to ``aa 36 91 8a``.

    Args:
        data: BHS and AHS for a header digest; the data segment with its padding for a data digest.
    """
    value: int = google_crc32c.value(data)
    return value.to_bytes(DIGEST_BYTES, "little")
