"""A program whose data must not be lost: each record is synced before it is acknowledged.

``recordlog.py write FOLDER [FIRST]`` appends records for ever, from the given number on, and prints
``ack N`` when record N and its file's name are on stable storage. ``recordlog.py check FOLDER``
reads them back and prints ``intact FIRST LAST BYTES``: every record from FIRST to LAST is there
with the right checksum, BYTES in all. What comes after LAST may be torn.

A record is its number, the length and the CRC32 of what follows, each 8 bytes, and as much data as
the number says. Each file holds 16 of them, so that there are new names to be lost, too.
"""

import os
import random
import struct
import sys
import zlib

HEAD = struct.Struct("<QQQ")
IN_A_FILE = 16


def data_of(number: int) -> bytes:
    """Return what record ``number`` holds: 1 to 20,000 bytes."""
    source = random.Random(number)
    return source.randbytes(source.choice((1, 100, 4096 - HEAD.size, 20_000)))


def write(folder: str, number: int) -> None:
    """Append for ever."""
    while True:
        path = f"{folder}/records-{number // IN_A_FILE:08d}"
        is_new = not os.path.exists(path)
        with open(path, "ab", buffering=0) as file:
            data = data_of(number)
            record = HEAD.pack(number, len(data), zlib.crc32(data)) + data
            while record:
                record = record[file.write(record) :]
            os.fsync(file.fileno())
        if is_new:
            descriptor = os.open(folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        print(f"ack {number}", flush=True)
        number += 1


def check(folder: str) -> None:
    """Say how far the records are intact."""
    names = sorted(name for name in os.listdir(folder) if name.startswith("records-"))
    first, number, size = 0, 0, 0
    if names:
        first = number = int(names[0].partition("-")[2]) * IN_A_FILE
    for name in names:
        with open(f"{folder}/{name}", "rb") as file:
            content = file.read()
        while len(content) >= HEAD.size:
            found, length, checksum = HEAD.unpack_from(content)
            data = content[HEAD.size : HEAD.size + length]
            is_right = (found, len(data), zlib.crc32(data)) == (number, length, checksum)
            if not is_right or data != data_of(number):
                break
            number, size = number + 1, size + length
            content = content[HEAD.size + length :]
        if number % IN_A_FILE:
            break
    print(f"intact {first} {number - 1} {size}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int((sys.argv[3:] or ["0"])[0]))
    else:
        check(sys.argv[2])
