"""The structures of Parquet's footers and indexes, read without a library: Thrift's compact protocol.

A structure is {number of the field: value}.
"""

import struct


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def _byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self):
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _zigzag(self):
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def structure(self):
        found, number = {}, 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            found[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return found

    def _value(self, kind):
        match kind:
            case 1 | 2:
                return self._byte() == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._zigzag()
            case 7:
                self.at += 8
                return struct.unpack_from("<d", self.data, self.at - 8)[0]
            case 8:
                length = self._varint()
                self.at += length
                return bytes(self.data[self.at - length : self.at])
            case 9 | 10:
                head = self._byte()
                length = head >> 4 if head >> 4 < 15 else self._varint()
                return [self._value(head & 15) for _ in range(length)]
            case 12:
                return self.structure()
        raise ValueError(f"type {kind} at byte {self.at}")


def structure(data, at=0):
    """The structure at a place, and the place behind it."""
    reader = Reader(data, at)
    found = reader.structure()
    return found, reader.at


def footer(data):
    """The FileMetaData of a file."""
    assert data[-4:] == b"PAR1"
    [length] = struct.unpack("<I", data[-8:-4])
    return structure(data, len(data) - 8 - length)[0]
