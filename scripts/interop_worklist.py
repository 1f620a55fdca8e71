"""Modality Worklist and MPPS against a running archive: DCMTK's findscu and pynetdicom, with orders placed by REST."""

import json
import re
import tempfile
import urllib.error
import urllib.request
import warnings

import pydicom
import pydicom.config
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import ModalityPerformedProcedureStep, ModalityWorklistInformationFind

from associations import rested
from interop_table import run

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE

DAY = "20990105"
NAME = "Nguyễn Văn Ánh"


def order(number, modality="CT", station="CT01"):
    """An order as a hospital's system places it."""
    step = {"id": f"S{number}", "modality": modality, "station": station, "start": f"2099-01-05T08:{number % 60:02}"}
    step |= {"description": "Chụp CT ngực", "performing": "Trần Thị Bình"}
    step["protocol"] = [{"value": "CT.NGUC", "scheme": "99HIS", "meaning": "CT ngực"}]
    patient = {"mrn": f"MWL{number}", "name": NAME, "birth": "1978", "sex": "F", "national": f"0561780000{number % 100:02}"}
    return {
        "placer": f"P{number}",
        "patient": patient,
        "accession": f"A{number}",
        "procedure": "CT ngực không tiêm",
        "procedure_id": f"R{number}",
        "priority": "stat",
        "steps": [step],
    }


def placed(http, orders):
    """Places orders; false where the archive has no such resource."""
    for one in orders:
        url, headers = f"http://{http}/api/orders?facility=DEMO0", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(one).encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 200, answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise AssertionError(f"{error.code}: {error.read()[:300]}") from error
    return True


def keys(**of_step):
    asked, step = Dataset(), Dataset()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientAge", "AccessionNumber", "StudyInstanceUID"):
        setattr(asked, keyword, "")
    asked.RequestedProcedureID = asked.RequestedProcedureDescription = asked.RequestedProcedurePriority = ""
    asked.OtherPatientIDsSequence = []
    step.ScheduledStationAETitle = step.ScheduledProcedureStepStartDate = step.ScheduledProcedureStepStartTime = ""
    step.Modality = step.ScheduledProcedureStepID = step.ScheduledProcedureStepDescription = ""
    step.ScheduledProtocolCodeSequence = []
    for keyword, value in of_step.items():
        setattr(step, keyword, value)
    asked.ScheduledProcedureStepSequence = [step]
    return asked


class Console:
    def __init__(self, address, title):
        ae = AE(title)
        ae.add_requested_context(ModalityWorklistInformationFind)
        ae.add_requested_context(ModalityPerformedProcedureStep)
        self.named = []
        self.association = ae.associate(*address, ae_title="KHOANH", evt_handlers=[(evt.EVT_DIMSE_RECV, self.heard)])
        assert self.association.is_established, "no association"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        rested(self.association).release()

    def heard(self, event):
        uid = getattr(event.message.command_set, "AffectedSOPInstanceUID", None)
        self.named += [str(uid)] if uid else []

    def find(self, asked):
        answers = list(rested(self.association).send_c_find(asked, ModalityWorklistInformationFind))
        last = answers[-1][0].get("Status")
        return last, [found for status, found in answers if status.get("Status") in (0xFF00, 0xFF01)]

    def create(self, begun, uid):
        return rested(self.association).send_n_create(begun, ModalityPerformedProcedureStep, uid)[0]

    def set(self, changes, uid):
        return rested(self.association).send_n_set(changes, ModalityPerformedProcedureStep, uid)[0]


def expect(**answers):
    for name, (found, wanted) in answers.items():
        assert found == wanted, f"{name}: {found!r}, not {wanted!r}"


def check_findscu(address, count):
    """DCMTK asks by day and modality; the lines it writes are read by pydicom."""
    with tempfile.TemporaryDirectory() as folder:
        asked = ["(0040,0100)[0].Modality=CT", f"(0040,0100)[0].ScheduledProcedureStepStartDate={DAY}"]
        asked += ["PatientName=nguyen*", "StudyInstanceUID", "(0040,0100)[0].ScheduledStationAETitle=CT01"]
        words = [word for key in asked for word in ("-k", key)]
        run("findscu", "-W", "-X", "-od", folder, "-aet", "CT01", "-aec", "KHOANH", *words, address[0], address[1])
        files = run("find", folder, "-name", "rsp*.dcm").split()
        found = [pydicom.dcmread(file, force=True) for file in files]
    assert len(found) == count, f"{len(found)} of {count}"
    for line in found:
        assert str(line.PatientName) == "Nguyễn^Ánh^Văn" and line.SpecificCharacterSet == "ISO_IR 192", line
        assert line.ScheduledProcedureStepSequence[0].Modality == "CT" and line.StudyInstanceUID, line
    return f"{count} steps of the day"


def check_keys(address, count):
    with Console(address, "CT01") as console:
        day = {"ScheduledProcedureStepStartDate": DAY}
        status, found = console.find(keys(**day))
        expect(status=(status, 0), all=(len(found), count + 1))
        times = [line.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime for line in found]
        expect(order=(times, sorted(times)))
        one = keys(**day)
        one.AccessionNumber = "A1"
        line = console.find(one)[1][0]
        step = line.ScheduledProcedureStepSequence[0]
        expect(
            name=(str(line.PatientName), "Nguyễn^Ánh^Văn"),
            birth=(line.PatientBirthDate or "", ""),
            priority=(line.RequestedProcedurePriority, "STAT"),
            code=(step.ScheduledProtocolCodeSequence[0].CodeMeaning, "CT ngực"),
            ids=(len(line.OtherPatientIDsSequence), 0),
        )
        for name, wanted in (("nguyen^anh*", count + 1), ("ánh nguyễn", count + 1), ("tran*", 0)):
            asked = keys(**day)
            asked.PatientName = name
            expect(**{name: (len(console.find(asked)[1]), wanted)})
        expect(
            mr=(len(console.find(keys(Modality="MR", **day))[1]), 1),
            both=(len(console.find(keys(Modality=["CT", "MR"], **day))[1]), count + 1),
            station=(len(console.find(keys(ScheduledStationAETitle="MR01", **day))[1]), 1),
            night=(len(console.find(keys(ScheduledProcedureStepStartDate="20990104-20990105",
                                         ScheduledProcedureStepStartTime="2200-0700"))[1]), 0),
            physician=(len(console.find(keys(ScheduledPerformingPhysicianName="tran*", **day))[1]), count + 1),
            bad=(console.find(keys(ScheduledProcedureStepStartDate="tomorrow"))[0], 0xC000),
        )
        two = keys(**day)
        two.ScheduledProcedureStepSequence.append(Dataset())
        expect(two_items=(console.find(two)[0], 0xA900))
    return f"{count + 1} steps by name, day, time, modality, station, physician"


def check_profiles(address, archive):
    """Each console reads the same name in the letters it can show."""
    told = {}
    for title, options, wanted in (
        ("UPPER", ("--letters", "ascii-upper", "--names", "whole", "--text-max", "12"), "NGUYEN VAN A"),
        ("LATIN", ("--letters", "latin1"), "Nguyên^Ánh^Van"),
        ("KNOWS", ("--national-id",), "Nguyễn^Ánh^Văn"),
        ("MR01", ("--worklist", "own"), "Nguyễn^Ánh^Văn"),
    ):
        archive.command("sources", "add", "--facility", "DEMO0", "--calling", title, *options)
        with Console(address, title) as console:
            found = console.find(keys(ScheduledProcedureStepStartDate=DAY))[1]
        expect(**{title: (str(found[0].PatientName), wanted)})
        told[title] = found
    expect(
        own=([line.ScheduledProcedureStepSequence[0].Modality for line in told["MR01"]], ["MR"]),
        national=(bool(re.match("0561780000", told["KNOWS"][0].OtherPatientIDsSequence[0].PatientID)), True),
    )
    return "ASCII in capitals, Latin-1, with the personal number, own steps only"


def begun(line):
    created, scheduled = Dataset(), Dataset()
    step = line.ScheduledProcedureStepSequence[0]
    created.SpecificCharacterSet = "ISO_IR 192"
    scheduled.StudyInstanceUID, scheduled.AccessionNumber = line.StudyInstanceUID, line.AccessionNumber
    scheduled.ScheduledProcedureStepID, scheduled.RequestedProcedureID = step.ScheduledProcedureStepID, line.RequestedProcedureID
    created.ScheduledStepAttributesSequence = [scheduled]
    created.PatientName, created.PatientID = line.PatientName, line.PatientID
    created.PerformedProcedureStepID, created.PerformedStationAETitle = "PPS1", "CT01"
    created.PerformedProcedureStepStartDate, created.PerformedProcedureStepStartTime = DAY, "083000"
    created.PerformedProcedureStepStatus, created.Modality = "IN PROGRESS", "CT"
    created.PerformedSeriesSequence = []
    return created


def done(status):
    changes, series = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ProtocolName = generate_uid(), "Ngực"
    series.ReferencedImageSequence, series.ReferencedNonImageCompositeSOPInstanceSequence = [], []
    changes.PerformedProcedureStepStatus = status
    changes.PerformedProcedureStepEndDate, changes.PerformedProcedureStepEndTime = DAY, "084500"
    changes.PerformedSeriesSequence = [series]
    return changes


def check_performed(address, count):
    """A step leaves the worklist when it was performed; what is done stays done."""
    with Console(address, "CT01") as console:
        asked = keys(ScheduledProcedureStepStartDate=DAY)
        asked.AccessionNumber = "A1"
        line = console.find(asked)[1][0]
        uid, started = generate_uid(), begun(line)
        lacking, early = begun(line), begun(line)
        del lacking.PerformedProcedureStepID
        early.PerformedProcedureStepStatus = "COMPLETED"
        expect(
            missing=(console.create(lacking, generate_uid()).Status, 0x0120),
            early=(console.create(early, generate_uid()).Status, 0x0106),
            unknown=(console.set(done("COMPLETED"), generate_uid()).Status, 0x0112),
            begun=(console.create(started, uid).Status, 0),
            again=(console.create(started, uid).Status, 0x0111),
            wrong=(console.set(done("FINISHED"), uid).Status, 0x0106),
        )
        asked.AccessionNumber = "A2"
        other = begun(console.find(asked)[1][0])
        expect(unnamed=(console.create(other, None).Status, 0), named=(console.named[-1].startswith("2.25."), True))
        expect(given_up=(console.set(done("DISCONTINUED"), console.named[-1]).Status, 0))
        expect(done=(console.set(done("COMPLETED"), uid).Status, 0))
        late = console.set(done("DISCONTINUED"), uid)
        expect(late=((late.Status, late.get("ErrorID")), (0x0110, 0xA506)))
        for accession in ("A1", "A2"):
            asked.AccessionNumber = accession
            expect(**{accession: (len(console.find(asked)[1]), 0)})
    return f"begun, done, given up, refused afterwards; {count - 1} steps are left"


def rows(archive, count=40):
    """Service, tool and check of each row; nothing but a word where orders cannot be placed."""
    orders = [order(number) for number in range(count)] + [order(count, "MR", "MR01")]
    if not placed(archive.http, orders):
        return [("Modality Worklist, MPPS", "DCMTK, pynetdicom", lambda: "skipped: this archive takes no orders by REST")]
    address = archive.address
    return [
        ("Modality Worklist, C-FIND", "DCMTK findscu -W", lambda: check_findscu(address, count)),
        ("Modality Worklist, keys", "pynetdicom", lambda: check_keys(address, count)),
        ("Modality Worklist, consoles", "pynetdicom", lambda: check_profiles(address, archive)),
        ("MPPS, N-CREATE and N-SET", "pynetdicom", lambda: check_performed(address, count)),
    ]
