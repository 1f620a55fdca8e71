"""The other systems of scripts/demo-his: a HIS that sends and receives HL7, a modality, a scanner, a record system.

Each is a real one: the HIS is the Python package hl7, its client and its server; the modality is DCMTK's findscu and
pynetdicom, the scanner DCMTK's storescu, the record system plain HTTP. Nothing of the archive's own reads what the
archive writes.
"""
import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings

import hl7
import hl7.mllp
import pydicom
import pydicom.config
from hl7.client import MLLPClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import ModalityPerformedProcedureStep

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


class Sender:
    """A hospital's system: it sends, and reads what it is answered."""

    def __init__(self, port):
        self.port, self.sent = port, 0

    def send(self, kind, segments, version="2.3.1", number=None):
        """Sends a message and answers MSA-1, MSA-3 and the control id."""
        if number is None:
            self.sent += 1
            number = f"M{self.sent:04}"
        now = time.strftime("%Y%m%d%H%M%S")
        head = f"MSH|^~\\&|HIS|BV56001|KHOANH|TINH|{now}||{kind}|{number}|P|{version}||||||UNICODE UTF-8"
        with MLLPClient("127.0.0.1", self.port) as client:
            client.socket.settimeout(60)
            answer = client.send_message("\r".join([head, *segments]) + "\r")
        answer = hl7.parse(answer.strip(b"\x0b\x1c\r").decode() + "\r")
        msa = answer.segment("MSA")
        return str(msa[1]), str(msa[3]) if len(msa) > 3 else "", str(msa[2])


class Receiver:
    """The port of the hospital's system that the archive reports to: it keeps what comes and answers AA."""

    def __init__(self):
        self.messages, self.port, self.ready = [], 0, threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True).start()
        self.ready.wait(30)

    async def serve(self):
        server = await hl7.mllp.start_hl7_server(self.connected, "127.0.0.1", 0, encoding="utf-8")
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        async with server:
            await server.serve_forever()

    async def connected(self, reader, writer):
        try:
            while not writer.is_closing():
                message = await reader.readmessage()
                self.messages.append(message)
                writer.writemessage(message.create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    def of(self, kind, text):
        """Messages of a type that have a text somewhere."""
        return [one for one in self.messages if str(one.segment("MSH")[9]).startswith(kind) and text in str(one)]


class Modality:
    """A console: it asks for its worklist, says what it does, and sends images."""

    def __init__(self, port, folder, title="CT01", called="KHOANH"):
        self.port, self.folder, self.title, self.called = port, folder, title, called
        self.asked = 0

    def worklist(self, *keys):
        """The lines that findscu is told, read by pydicom."""
        self.asked += 1
        out = self.folder / f"worklist-{self.asked}"
        out.mkdir()
        wanted = ["PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyInstanceUID",
                  "RequestedProcedureID", "RequestedProcedureDescription", "AdmissionID",
                  "(0040,0100)[0].Modality=CT", "(0040,0100)[0].ScheduledStationAETitle",
                  "(0040,0100)[0].ScheduledProcedureStepStartDate", "(0040,0100)[0].ScheduledProcedureStepStartTime",
                  "(0040,0100)[0].ScheduledProcedureStepID", "(0040,0100)[0].ScheduledProcedureStepDescription", *keys]
        words = [word for key in wanted for word in ("-k", key)]
        self.tool("findscu", "-W", "-X", "-od", out, "-aet", self.title, "-aec", self.called, "127.0.0.1", self.port, *words)
        return [pydicom.dcmread(path, force=True) for path in sorted(out.glob("rsp*.dcm"))]

    def tool(self, *words):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise AssertionError(f"{words[0]} ended with {done.returncode}: {done.stderr[-500:]}")

    def performed(self):
        ae = AE(self.title)
        ae.add_requested_context(ModalityPerformedProcedureStep)
        association = ae.associate("127.0.0.1", self.port, ae_title=self.called)
        assert association.is_established, "the archive takes no association for MPPS"
        return association

    def begin(self, line):
        """N-CREATE of a line of the worklist; answers its status and the step's UID."""
        created, scheduled, step = Dataset(), Dataset(), line.ScheduledProcedureStepSequence[0]
        scheduled.StudyInstanceUID, scheduled.AccessionNumber = line.StudyInstanceUID, line.AccessionNumber
        scheduled.ScheduledProcedureStepID = step.ScheduledProcedureStepID
        scheduled.RequestedProcedureID = line.RequestedProcedureID
        created.SpecificCharacterSet = "ISO_IR 192"
        created.ScheduledStepAttributesSequence = [scheduled]
        created.PatientName, created.PatientID = line.PatientName, line.PatientID
        created.PerformedProcedureStepID, created.PerformedStationAETitle = "PPS1", self.title
        created.PerformedProcedureStepStartDate = time.strftime("%Y%m%d")
        created.PerformedProcedureStepStartTime = time.strftime("%H%M%S")
        created.PerformedProcedureStepStatus, created.Modality = "IN PROGRESS", "CT"
        created.PerformedSeriesSequence = []
        uid, association = generate_uid(), self.performed()
        status = association.send_n_create(created, ModalityPerformedProcedureStep, uid)[0].Status
        association.release()
        return status, uid

    def end(self, uid, objects):
        """N-SET COMPLETED with the images it made."""
        changes, series = Dataset(), Dataset()
        series.SeriesInstanceUID, series.ProtocolName = objects[0].SeriesInstanceUID, "Nguc"
        references = []
        for one in objects:
            reference = Dataset()
            reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
            references.append(reference)
        series.ReferencedImageSequence, series.ReferencedNonImageCompositeSOPInstanceSequence = references, []
        changes.PerformedProcedureStepStatus = "COMPLETED"
        changes.PerformedProcedureStepEndDate = time.strftime("%Y%m%d")
        changes.PerformedProcedureStepEndTime = time.strftime("%H%M%S")
        changes.PerformedSeriesSequence = [series]
        association = self.performed()
        status = association.send_n_set(changes, ModalityPerformedProcedureStep, uid)[0].Status
        association.release()
        return status

    def images(self, line, count, **other):
        """Objects of a line of the worklist, as a console makes them; `other` is what it has wrong."""
        made, series = [], generate_uid()
        for number in range(1, count + 1):
            ds = Dataset()
            ds.SpecificCharacterSet = "ISO_IR 192"
            ds.SOPClassUID, ds.SOPInstanceUID = CT_IMAGE, generate_uid()
            ds.StudyInstanceUID, ds.SeriesInstanceUID = line.StudyInstanceUID, series
            ds.PatientName, ds.PatientID = line.PatientName, line.PatientID
            ds.PatientBirthDate, ds.PatientSex = "", ""
            ds.StudyDate, ds.StudyTime, ds.StudyID = time.strftime("%Y%m%d"), time.strftime("%H%M%S"), "1"
            ds.AccessionNumber, ds.ReferringPhysicianName = line.AccessionNumber, ""
            ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 1, number
            ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 32, 32, 1, "MONOCHROME2"
            ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
            ds.PixelData = bytes((number * 7 + at) % 251 if at % 2 == 0 else 0 for at in range(2 * 32 * 32))
            ds["PixelData"].VR = "OW"
            for keyword, value in other.items():
                setattr(ds, keyword, value)
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            made.append(ds)
        return made

    def send(self, objects):
        """storescu sends the objects as files."""
        self.asked += 1
        folder = self.folder / f"images-{self.asked}"
        folder.mkdir()
        for one in objects:
            one.save_as(folder / f"{one.InstanceNumber:04}.dcm", enforce_file_format=True)
        self.tool("storescu", "-aet", self.title, "-aec", self.called, "+sd", "127.0.0.1", self.port, folder)


class Records:
    """A record system over HTTP: JSON, FHIR, and links that it signs."""

    def __init__(self, address, secret, facility):
        self.address, self.secret, self.facility, self.links = address, secret, facility, 0

    def ask(self, method, path, body=None, headers=()):
        """Status and answer; what is no JSON as text."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **dict(headers)}
        request = urllib.request.Request(f"http://{self.address}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            status, text = refused.code, refused.read()
        try:
            return status, json.loads(text or b"null")
        except ValueError:
            return status, text.decode(errors="replace")

    def get(self, path, **query):
        query = {key: value for key, value in query.items() if value is not None}
        return self.ask("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))

    def routes(self):
        """Methods and paths that the service says it has."""
        paths = self.get("/api/openapi.json")[1]["paths"]
        return {f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs}

    def link(self, **claims):
        """A token: JSON Web Signature by HS256 (RFC 7515), made here."""
        self.links += 1
        now = int(time.time())
        body = {"iss": self.facility, "sub": "bs.an", "jti": f"{now}-{self.links}", "iat": now, "exp": now + 120, **claims}
        coded = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
        signed = b".".join(coded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, body))
        sign = hmac.new(self.secret.encode(), signed, hashlib.sha256).digest()
        return (signed + b"." + coded(sign)).decode()

    def open(self, link, kind="STUDY"):
        """Opens a link as a browser does that was sent a form; answers status, where it leads, and the cookie."""
        host, port = self.address.rsplit(":", 1)
        wire = http.client.HTTPConnection(host, int(port), timeout=60)
        form = urllib.parse.urlencode({"requestType": kind, "token": link})
        wire.request("POST", "/viewer/iid", form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = wire.getresponse()
        answer.read()
        cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
        wire.close()
        return answer.status, answer.getheader("Location") or "", cookie
