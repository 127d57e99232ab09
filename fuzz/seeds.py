"""Write the fuzz targets' first inputs, from the codecs' vectors, to ``fuzz/seeds``."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
VECTORS = HERE.parent / "tests" / "vectors" / "iscsi"


def unhex(text: str) -> bytes:
    """Bytes of a vector's hex, in which a # starts a comment."""
    return bytes.fromhex(" ".join(line.split("#")[0] for line in text.splitlines()))


def write(target: str, name: str, data: bytes) -> None:
    """Write one seed."""
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main() -> None:
    """Write every seed; the same ones each time."""
    for path in sorted(VECTORS.glob("*.toml")):
        for number, case in enumerate(tomllib.loads(path.read_text())["case"]):
            if "bytes" not in case:
                continue
            name = f"{path.stem}-{number}"
            pdu = unhex(case["bytes"])
            digests = case.get("header_digest", False) | case.get("data_digest", False) << 1
            write("reader", name, bytes((digests, 16)) + pdu * 2)
            # CmdSN 1, which the target expects first.
            write("stream", name, bytes((digests,)) + pdu[:24] + (1).to_bytes(4) + pdu[28:])
    for number in range(16):
        choices = hashlib.shake_128(bytes((number,))).digest(200 + 100 * number)
        write("connection", str(number), choices)
    read_10 = bytes((8, 0, 2, 4, 7, 2, 0, 0x80)) + bytes(8)
    cdb = bytes((8, 0, 0, 0, 0, 9, 0, 0, 8)) + bytes(7)
    write("cdb", "read", bytes((1,)) + read_10 + (1000).to_bytes(8) + cdb)
    write("sense", "fixed", bytes((0xF0, 0, 14, 0, 0, 0, 5, 10, 0, 0, 0, 0, 0x1D, 0, 0, 0, 0, 0)))
    write("sense", "descriptor", bytes((0x72, 5, 0x24, 0, 0, 0, 0, 0)))


if __name__ == "__main__":
    main()
