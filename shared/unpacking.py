"""Unpacking what a stranger packed: to a bounded size, and with one kind of error whatever is wrong.

Kafka's codecs (KIP-110, KIP-57): gzip, snappy in one block or in the framing of the Java client, LZ4 frames, Zstandard.
"""

import struct
import zlib
from collections.abc import Callable, Mapping

import cramjam

UNPACKED_BYTES = 4 * 1024 * 1024
"""So much is unpacked at most; the usual clients fill a batch to 1 MB before they pack it."""
_GZIP_WINDOW = 31
_JAVA_SNAPPY = b"\x82SNAPPY\0"
_JAVA_SNAPPY_HEADER = 16


class CannotUnpackError(ValueError):
    """It is no such stream, is cut off, or holds more than is unpacked."""


def unpack(codec: int, packed: bytes) -> bytes:
    """Return what is packed; `codec` is Kafka's number of it.

    Raises:
        CannotUnpackError: there is no such codec, or the stream is none, is cut off, or holds more than `UNPACKED_BYTES`.
    """
    known = _CODECS.get(codec)
    if known is None:
        raise CannotUnpackError("no such codec")
    try:
        return known(packed)
    except (zlib.error, cramjam.DecompressionError, struct.error, ValueError, OverflowError) as error:
        raise CannotUnpackError("cannot be unpacked") from error


def _gzip(packed: bytes) -> bytes:
    unpacked = bytearray()
    while packed:
        member = zlib.decompressobj(_GZIP_WINDOW)
        unpacked += member.decompress(packed, UNPACKED_BYTES + 1 - len(unpacked))
        if len(unpacked) > UNPACKED_BYTES or not member.eof:
            raise CannotUnpackError("too large, or cut off")
        packed = member.unused_data
    return bytes(unpacked)


def _snappy(packed: bytes) -> bytes:
    if not packed.startswith(_JAVA_SNAPPY):
        return _snappy_block(packed, UNPACKED_BYTES)
    unpacked = bytearray()
    at = _JAVA_SNAPPY_HEADER
    while at < len(packed):
        (size,) = struct.unpack_from(">I", packed, at)
        at += 4
        unpacked += _snappy_block(packed[at : at + size], UNPACKED_BYTES - len(unpacked))
        at += size
    return bytes(unpacked)


def _snappy_block(block: bytes, most: int) -> bytes:
    # A block says how large it will be, and that much is set aside for it.
    if cramjam.snappy.decompress_raw_len(block) > most:
        raise CannotUnpackError("too large")
    return bytes(cramjam.snappy.decompress_raw(block))


def _lz4(packed: bytes) -> bytes:
    return _into(cramjam.lz4.decompress_into, packed)


def _zstd(packed: bytes) -> bytes:
    return _into(cramjam.zstd.decompress_into, packed)


def _into(decompress_into: Callable[[bytes, bytearray], int], packed: bytes) -> bytes:
    room = bytearray(UNPACKED_BYTES)
    return bytes(room[: decompress_into(packed, room)])


_CODECS: Mapping[int, Callable[[bytes], bytes]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
