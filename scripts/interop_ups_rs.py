"""UPS-RS (PS3.18 chapter 11) of a running archive as a Python client sees it, with DIMSE beside it.

    interop_ups_rs.py table HTTP_ADDRESS DICOM_ADDRESS   one row for each thing, and what came of it; exit 1 if any failed
    interop_ups_rs.py deaf HTTP_ADDRESS                  subscribes, listens and reads nothing until it was disconnected

WebSockets are spoken by hand (RFC 6455): a client that misbehaves on purpose is not what libraries are for.
"""

import base64
import hashlib
import json
import os
import socket
import struct
import sys
import time
import warnings

import pydicom.config
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import UnifiedProcedureStepPull, UnifiedProcedureStepPush

from associations import rested
from interop_table import print_table

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

GLOBAL = "1.2.840.10008.5.1.4.34.5"
FILTERED = "1.2.840.10008.5.1.4.34.5.1"
JSON = {"Content-Type": "application/dicom+json"}


def text(vr, value):
    return {"vr": vr, "Value": [value]}


def step(patient="P1"):
    return {
        "00100010": text("PN", {"Alphabetic": "Nguyễn^Ánh"}),
        "00100020": text("LO", patient),
        "00404005": text("DT", "20260115093000"),
        "00404018": {"vr": "SQ", "Value": [{"00080100": text("SH", "READ")}]},
        "00404041": text("CS", "READY"),
        "00741000": text("CS", "SCHEDULED"),
        "00741200": text("CS", "HIGH"),
        "00741204": text("LO", "Read the CT"),
    }


def performed():
    code, moment = {"vr": "SQ", "Value": [{"00080100": text("SH", "READ")}]}, text("DT", "20260115093000")
    item = {"00404019": code, "00404028": code, "00404033": {"vr": "SQ"}, "00404050": moment, "00404051": moment}
    return {"00741216": {"vr": "SQ", "Value": [item]}}


class Service:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.place, self.root = (host, int(port)), f"http://{address}/dicom-web"

    def send(self, verb, path, body=None, headers=JSON):
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        return requests.request(verb, self.root + path, data=data, headers=headers, timeout=60)

    def create(self, document=None):
        answer = self.send("POST", "/workitems", [document or step()])
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"].rsplit("/", 1)[1]

    def state(self, uid, state, transaction):
        body = {"00741000": text("CS", state)}
        if transaction:
            body["00081195"] = text("UI", transaction)
        return self.send("PUT", f"/workitems/{uid}/state", [body]).status_code

    def subscribe(self, uid, title, query=""):
        return self.send("POST", f"/workitems/{uid}/subscribers/{title}{query}")


class WebSocket:
    """A client of RFC 6455 that takes text frames."""

    def __init__(self, place, path, origin=None, receive=None):
        self.socket = socket.socket()
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(60)
        self.socket.connect(place)
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {path} HTTP/1.1\r\nHost: {place[0]}:{place[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        head += f"Origin: {origin}\r\n\r\n" if origin else "\r\n"
        self.socket.sendall(head.encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        answer, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = int(answer.split()[1])
        if self.status == 101:
            digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
            assert base64.b64encode(digest) in answer, answer

    def more(self):
        data = self.socket.recv(65536)
        assert data, "the connection ended"
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def frame(self):
        first, length = self.take(2)
        if length == 126:
            (length,) = struct.unpack(">H", self.take(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.take(8))
        return first & 15, self.take(length)

    def event(self):
        while True:
            kind, data = self.frame()
            if kind == 1:
                said = json.loads(data)
                value = lambda tag: (said.get(tag, {}).get("Value") or [None])[0]
                return value("00001000"), value("00001002"), value("00741000")
            assert kind == 9, f"frame {kind}: {data}"

    def close(self):
        self.socket.close()


def expect(**answers):
    for name, (found, wanted) in answers.items():
        assert found == wanted, f"{name}: {found}"


def check_states(service):
    uid, transaction = generate_uid(), generate_uid()
    created = service.send("POST", f"/workitems?workitem={uid}", [step()])
    assert created.status_code == 201 and created.headers["Location"].endswith(uid), created.text
    assert "created with modifications" in created.headers["Warning"], created.headers
    again = service.send("POST", f"/workitems?{uid}", step()).status_code
    expect(
        again=(again, 409),
        early=(service.state(uid, "COMPLETED", transaction), 409),
        unknown=(service.state(generate_uid(), "IN PROGRESS", transaction), 404),
        no_uid=(service.state("x", "IN PROGRESS", transaction), 400),
        nonsense=(service.state(uid, "SOON", transaction), 400),
        keyless=(service.state(uid, "IN PROGRESS", None), 409),
        taken=(service.state(uid, "IN PROGRESS", transaction), 200),
        stranger=(service.state(uid, "COMPLETED", generate_uid()), 409),
        unfinished=(service.state(uid, "COMPLETED", transaction), 409),
    )
    update = lambda query: service.send("POST", f"/workitems/{uid}{query}", [performed()]).status_code
    expect(wrong=(update(f"?transaction-uid={generate_uid()}"), 409), none=(update(""), 409))
    expect(set=(update(f"?transaction-uid={transaction}"), 200), done=(service.state(uid, "COMPLETED", transaction), 200))
    answer = service.send("GET", f"/workitems/{uid}")
    (found,) = answer.json()
    assert answer.headers["Content-Type"] == "application/dicom+json" and "00081195" not in found
    assert found["00741000"]["Value"] == ["COMPLETED"] and found["00100010"]["Value"][0]["Alphabetic"] == "Nguyễn^Ánh"
    xml = requests.get(f"{service.root}/workitems/{uid}", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert xml.status_code == 200 and b"COMPLETED" in xml.content
    late = service.send("POST", f"/workitems/{uid}/cancelrequest")
    other = service.create()
    canceled = service.send("POST", f"/workitems/{other}/cancelrequest", [{"00741238": text("LT", "moved")}])
    twice = service.send("POST", f"/workitems/{other}/cancelrequest")
    expect(late=(late.status_code, 409), canceled=(canceled.status_code, 202), twice=(twice.status_code, 202))
    assert "already in the requested state" in twice.headers["Warning"]
    return "every transition, by JSON, read as JSON and XML"


def check_bad_input(service):
    create = lambda body, headers=JSON: service.send("POST", "/workitems", body, headers).status_code
    lacking = step()
    del lacking["00741204"]
    large = {**step(), "00400400": text("LT", "x" * (1 << 20))}
    deep = b'[{"00404018":{"vr":"SQ","Value":[' * 200
    expect(
        lacking=(create([lacking]), 400),
        nothing=(create(b""), 400),
        two=(create([step(), step()]), 400),
        number=(create([{**step(), "00280010": text("US", "many")}]), 400),
        bulk=(create([{**step(), "00420011": {"vr": "OB", "BulkDataURI": "http://x"}}]), 400),
        broken=(create(b"[{"), 400),
        deep=(create(deep), 400),
        large=(create([large]), 413),
        media=(create([step()], {"Content-Type": "text/plain"}), 415),
        query=(service.send("GET", "/workitems?Nothing=1").status_code, 400),
        lock=(service.subscribe(GLOBAL, "WS", "?deletionlock=maybe").status_code, 400),
        title=(service.subscribe(GLOBAL, "x" * 17).status_code, 400),
        filterless=(service.subscribe(FILTERED, "WS").status_code, 400),
        suspend=(service.send("POST", f"/workitems/{service.create()}/subscribers/WS/suspend").status_code, 400),
        plain=(service.send("GET", "/subscribers/WS").status_code, 400),
    )
    xml = b'<NativeDicomModel><DicomAttribute tag="00741000" vr="CS"><Value number="1">SCHEDULED</Value></DicomAttribute></NativeDicomModel>'
    expect(xml=(create(xml, {"Content-Type": "application/dicom+xml"}), 400))
    return "fifteen kinds refused with their status"


def check_search(service):
    for number in range(30):
        document = step(f"RS{number % 2}")
        document["00404005"] = text("DT", f"202603{number % 28 + 1:02}080000")
        service.create(document)
    find = lambda query: service.send("GET", f"/workitems?{query}")
    expect(
        patient=(len(find("PatientID=RS1").json()), 15),
        name=(len(find("00100020=RS1&PatientName=nguyen*").json()), 15),
        code=(len(find("PatientID=RS*&ScheduledWorkitemCodeSequence.CodeValue=READ").json()), 30),
        range=(len(find("PatientID=RS*&ScheduledProcedureStepStartDateTime=20260301-20260305").json()), 7),
        page=(len(find("PatientID=RS*&limit=20&offset=20").json()), 10),
        none=(find("PatientID=nobody").json(), []),
    )
    found = DICOMwebClient(service.root)._http_get_application_json(f"{service.root}/workitems", {"PatientID": "RS0"})
    assert len(found) == 15, len(found)
    return "keys at any depth, ranges and pages"


def check_socket(service):
    answer = service.subscribe(GLOBAL, "WS%201", "?deletionlock=false")
    assert answer.status_code == 201, answer.text
    where = answer.headers["Content-Location"]
    assert where.startswith("ws://") and where.endswith("/subscribers/WS%201"), where
    path = "/dicom-web/subscribers/WS%201"
    expect(foreign=(WebSocket(service.place, path, origin="http://evil.example").status, 403))
    first = WebSocket(service.place, path)
    uid = service.create()
    expect(status=(first.status, 101), created=(first.event(), (uid, 1, "SCHEDULED")))
    transaction = generate_uid()
    service.state(uid, "IN PROGRESS", transaction)
    expect(taken=(first.event(), (uid, 1, "IN PROGRESS")))
    first.close()
    cancel = service.send("POST", f"/workitems/{uid}/cancelrequest", [{"00741238": text("LT", "moved")}])
    expect(cancel=(cancel.status_code, 202))
    # What came while nobody listened waits; a second connection takes the first one's place.
    second = WebSocket(service.place, path)
    asked = second.event()
    if asked == (uid, 1, "IN PROGRESS"):  # delivered at least once: the first one may have gone before it was known
        asked = second.event()
    expect(asked=(asked, (uid, 2, None)))
    third = WebSocket(service.place, path)
    kind, said = second.frame()
    while kind == 9:
        kind, said = second.frame()
    assert kind == 8 and b"somebody else" in said, said
    filtered = service.subscribe(FILTERED, "WS2", "?filter=00100020=F1,00741200=HIGH")
    expect(filtered=(filtered.status_code, 201))
    only = WebSocket(service.place, "/dicom-web/subscribers/WS2")
    service.create()
    wanted = service.create(step("F1"))
    expect(only=(only.event(), (wanted, 1, "SCHEDULED")))
    many = [service.create() for _ in range(200)]
    heard = []
    while heard[-1:] != many[-1:]:
        heard.append(third.event()[0])
    # The event under way when a newer connection takes over comes again: once or twice, never not at all.
    assert [one for one in heard if one in many] == many and len(heard) in (202, 203), "out of order"
    expect(left=(service.send("DELETE", f"/workitems/{GLOBAL}/subscribers/WS%201").status_code, 200))
    service.send("DELETE", f"/workitems/{GLOBAL}/subscribers/WS2")
    return "events in order, kept while nobody listens, one listener at a time"


def check_both(service, dicom):
    """What one wire does the other sees."""
    host, port = dicom.rsplit(":", 1)
    ae = AE("PERFORMER")
    ae.add_requested_context(UnifiedProcedureStepPull)
    ae.add_requested_context(UnifiedProcedureStepPush)
    association = ae.associate(host, int(port), ae_title="KHOANH")
    assert association.is_established
    uid, transaction = service.create(), generate_uid()
    service.subscribe(uid, "BOTH")
    socket_ = WebSocket(service.place, "/dicom-web/subscribers/BOTH")
    expect(first=(socket_.event(), (uid, 1, "SCHEDULED")))
    wanted = Dataset()
    wanted.ProcedureStepState, wanted.TransactionUID = "IN PROGRESS", transaction
    status, _ = association.send_n_action(wanted, 1, UnifiedProcedureStepPush, uid, meta_uid=UnifiedProcedureStepPull)
    expect(taken=(status.Status, 0), heard=(socket_.event(), (uid, 1, "IN PROGRESS")))
    expect(rs=(service.state(uid, "COMPLETED", generate_uid()), 409))
    status, found = rested(association).send_n_get([], UnifiedProcedureStepPush, uid, meta_uid=UnifiedProcedureStepPull)
    expect(read=(str(found.PatientName), "Nguyễn^Ánh"))
    rested(association).release()
    return "created over HTTP, taken over DIMSE, heard on a WebSocket"


def deaf(address):
    service = Service(address)
    expect(subscribed=(service.subscribe(GLOBAL, "DEAF").status_code, 201))
    socket_ = WebSocket(service.place, "/dicom-web/subscribers/DEAF", receive=4096)
    assert socket_.status == 101
    uid = service.create()
    transaction = generate_uid()
    service.state(uid, "IN PROGRESS", transaction)
    for number in range(40):
        progress = {"00741004": text("DS", number), "00741006": text("ST", "x" * 60_000)}
        body = [{"00741002": {"vr": "SQ", "Value": [progress] * 7}}]
        answer = service.send("POST", f"/workitems/{uid}?transaction-uid={transaction}", body)
        expect(set=(answer.status_code, 200))
    metrics = f"http://{address}/metrics"
    end = time.monotonic() + 120
    while "khoanh_web_subscribers 0" not in requests.get(metrics, timeout=60).text:
        assert time.monotonic() < end, "never disconnected"
        time.sleep(0.1)
    # The newest events wait for it, no more than the limit of its queue.
    socket_.close()
    again = WebSocket(service.place, "/dicom-web/subscribers/DEAF")
    assert again.event()[1] == 3
    print("disconnected", flush=True)


def rows(address, dicom):
    """Service and check of each row."""
    service = Service(address)
    return [
        ("states", lambda: check_states(service)),
        ("bad input", lambda: check_bad_input(service)),
        ("search", lambda: check_search(service)),
        ("WebSocket", lambda: check_socket(service)),
        ("HTTP and DIMSE", lambda: check_both(service, dicom)),
    ]


def main():
    if sys.argv[1] == "deaf":
        return deaf(sys.argv[2])
    sys.exit(not print_table(("UPS-RS", "result"), rows(*sys.argv[2:4])))


if __name__ == "__main__":
    main()
