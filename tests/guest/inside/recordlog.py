"""A program whose data must not be lost: each record is synced before it is acknowledged.

``recordlog.py write FOLDER`` appends records for ever, behind those that are intact, and prints
``ack N`` when record N and its file's name are on stable storage. ``recordlog.py check FOLDER``
reads them back and prints ``intact COUNT BYTES``: the first COUNT records are there with the right
data, BYTES in all. What comes after them may be torn.

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


def file_of(folder: str, number: int) -> str:
    """Return the path of the file that holds a record."""
    return f"{folder}/records-{number // IN_A_FILE:08d}"


def intact_records(content: bytes, number: int) -> tuple[int, int, int]:
    """Read a file's records from ``number`` on.

    Returns:
        how many are intact, where the next one would begin, and how much data they hold.
    """
    count = place = size = 0
    while count < IN_A_FILE and place + HEAD.size <= len(content):
        found, length, checksum = HEAD.unpack_from(content, place)
        data = content[place + HEAD.size : place + HEAD.size + length]
        is_right = (found, checksum) == (number + count, zlib.crc32(data))
        if not is_right or data != data_of(number + count):
            break
        count, size, place = count + 1, size + length, place + HEAD.size + length
    return count, place, size


def scan(folder: str) -> tuple[int, int, int]:
    """Return how many records are intact, where the next belongs in its file, and their data."""
    number = size = 0
    while True:
        try:
            with open(file_of(folder, number), "rb") as file:
                count, place, more = intact_records(file.read(), number)
        except FileNotFoundError:
            return number, 0, size
        number, size = number + count, size + more
        if count < IN_A_FILE:
            return number, place, size


def write(folder: str) -> None:
    """Append for ever; what is torn is cut off first."""
    number, place, _ = scan(folder)
    if os.path.exists(file_of(folder, number)):
        os.truncate(file_of(folder, number), place)
    while True:
        path = file_of(folder, number)
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


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2])
    else:
        print("intact", *scan(sys.argv[2])[::2], flush=True)
