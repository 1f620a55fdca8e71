"""C-FIND, C-GET and C-MOVE as a user over a plain socket, to be measured: what comes is counted and timed, not kept.

Only the standard library, and as little work as the protocol allows: the asker must not be the limit.
"""

import socket
import struct
import time
import urllib.parse

EXPLICIT = "1.2.840.10008.1.2.1"
FIND = {"PATIENT": "1.2.840.10008.5.1.4.1.2.1.1", "STUDY": "1.2.840.10008.5.1.4.1.2.2.1"}
MOVE, GET = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"
KNOWN = {
    "StudyDate": (0x00080020, "DA"),
    "AccessionNumber": (0x00080050, "SH"),
    "ModalitiesInStudy": (0x00080061, "CS"),
    "PatientName": (0x00100010, "PN"),
    "PatientID": (0x00100020, "LO"),
    "StudyInstanceUID": (0x0020000D, "UI"),
}
# What a study list, and a list of patients, shows.
SHOWN = {
    "STUDY": [(0x00080020, "DA"), (0x00080030, "TM"), (0x00080050, "SH"), (0x00081030, "LO"), (0x00100010, "PN"), (0x00100020, "LO"), (0x0020000D, "UI")],
    "PATIENT": [(0x00100010, "PN"), (0x00100020, "LO"), (0x00100030, "DA")],
}


def element(tag, vr, value):
    """An element of a short VR in Explicit VR Little Endian."""
    data = value.encode()
    data += (b"\0" if vr == "UI" else b" ") * (len(data) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(data)) + data


def question(target, level):
    """The identifier that asks what a QIDO-RS target asks; none where the level lacks a key."""
    keys = {tag: (vr, "") for tag, vr in SHOWN[level]}
    for name, value in urllib.parse.parse_qsl(target.partition("?")[2]):
        if name in KNOWN:
            tag, vr = KNOWN[name]
            if level == "PATIENT" and tag not in keys:
                return None
            keys[tag] = (vr, value)
    keys[0x00080005], keys[0x00080052] = ("CS", "ISO_IR 192"), ("CS", level)
    return b"".join(element(tag, *keys[tag]) for tag in sorted(keys))


def of_study(study):
    return element(0x00080052, "CS", "STUDY") + element(0x0020000D, "UI", study)


def command(*elements):
    """A command set: numbers, UIDs, and the AE title of a destination."""
    body = b""
    for number, value in elements:
        data = struct.pack("<H", value) if isinstance(value, int) else value.encode()
        data += (b" " if number == 0x0600 else b"\0") * (len(data) % 2)
        body += struct.pack("<HHI", 0, number, len(data)) + data
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def pdu(context, control, data):
    return struct.pack(">BBIIBB", 4, 0, len(data) + 6, len(data) + 2, context, control) + data


def item(kind, data):
    return struct.pack(">BBH", kind, 0, len(data)) + data


class Asker:
    """An association for one class; objects of `stored`, pairs of class and syntax, may come on it."""

    def __init__(self, address, sop_class, stored=(), called="KHOANH", calling="TESTKIT"):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 300)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sop_class, self.message = sop_class, 0
        self.buffer = memoryview(bytearray(1 << 20))
        pairs = [(sop_class, EXPLICIT), *stored]
        contexts = [
            item(0x20, struct.pack(">BBBB", 2 * at + 1, 0, 0, 0) + item(0x30, one.encode()) + item(0x40, syntax.encode()))
            for at, (one, syntax) in enumerate(pairs)
        ]
        user = item(0x51, struct.pack(">I", 128 * 1024)) + item(0x52, b"2.25.80302813137786398554742050926734630921")
        for one in sorted({one for one, _ in stored}):
            user += item(0x54, struct.pack(">H", len(one)) + one.encode() + b"\1\1")
        titles = f"{called:<16}{calling:<16}".encode()
        body = struct.pack(">HH", 1, 0) + titles + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
        body += b"".join(contexts) + item(0x50, user)
        self.socket.sendall(struct.pack(">BBI", 1, 0, len(body)) + body)
        kind, _ = self.read()
        assert kind == 2, f"no association, PDU {kind}"

    def fill(self, length):
        at = 0
        while at < length:
            count = self.socket.recv_into(self.buffer[at:length])
            assert count, "the connection ended"
            at += count

    def read(self):
        """The next PDU: its type, and its length in the buffer."""
        self.fill(6)
        kind, _, length = struct.unpack_from(">BBI", self.buffer)
        if length > len(self.buffer):
            self.buffer = memoryview(bytearray(length))
        self.fill(length)
        return kind, length

    def messages(self):
        """Context, command as element numbers and values, and length of the data set, message by message."""
        gathered, known, data, context = b"", None, 0, 0
        while True:
            kind, end = self.read()
            assert kind == 4, f"PDU {kind}: {bytes(self.buffer[:end]).hex()}"
            at = 0
            while at < end:
                length, of, control = struct.unpack_from(">IBB", self.buffer, at)
                if control & 1:
                    gathered += bytes(self.buffer[at + 6 : at + 4 + length])
                    if control & 2:
                        known, gathered, data, context = elements(gathered), b"", 0, of
                else:
                    data += length - 2
                at += 4 + length
                if control & 2 and (not control & 1 or known[0x0800] == b"\1\1"):
                    yield context, known, data

    def ask(self, field, identifier, destination=None):
        self.message = self.message % 65_535 + 1
        words = [(0x0002, self.sop_class), (0x0100, field), (0x0110, self.message)]
        words += [(0x0600, destination)] if destination else []
        words += [(0x0700, 0), (0x0800, 1)]
        self.socket.sendall(pdu(1, 3, command(*words)) + pdu(1, 2, identifier))

    def find(self, identifier, limit=0):
        """Seconds to the first and to the last answer, matches and final status; no more than `limit` are wanted."""
        started, first, matches = time.perf_counter(), None, 0
        self.ask(0x0020, identifier)
        for _, known, _ in self.messages():
            first = first or time.perf_counter() - started
            status = number(known, 0x0900)
            if status not in (0xFF00, 0xFF01):
                return first, time.perf_counter() - started, matches, status
            matches += 1
            if matches == limit:
                self.socket.sendall(pdu(1, 3, command((0x0100, 0x0FFF), (0x0120, self.message), (0x0800, 0x0101))))

    def get(self, study):
        """Objects and bytes that came, and the final status."""
        objects = total = 0
        self.ask(0x0010, of_study(study))
        for context, known, data in self.messages():
            if number(known, 0x0100) == 1:
                objects, total = objects + 1, total + data
                words = [(0x0002, uid(known, 0x0002)), (0x0100, 0x8001), (0x0120, number(known, 0x0110))]
                words += [(0x0800, 0x0101), (0x0900, 0), (0x1000, uid(known, 0x1000))]
                self.socket.sendall(pdu(context, 3, command(*words)))
            elif number(known, 0x0900) != 0xFF00:
                return objects, total, number(known, 0x0900)

    def move(self, study, destination):
        """Objects told to be there, and the final status."""
        self.ask(0x0021, of_study(study), destination)
        for _, known, _ in self.messages():
            if number(known, 0x0900) != 0xFF00:
                return number(known, 0x1021), number(known, 0x0900)

    def release(self):
        self.socket.sendall(bytes([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]))
        kind, _ = self.read()
        assert kind == 6, f"PDU {kind} to a release"
        self.socket.close()


def elements(data):
    found, at = {}, 0
    while at < len(data):
        _, number_, length = struct.unpack_from("<HHI", data, at)
        found[number_] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return found


def number(known, element_):
    return struct.unpack("<H", known.get(element_, b"\xff\xff")[:2])[0]


def uid(known, element_):
    return known[element_].rstrip(b"\0 ").decode()
