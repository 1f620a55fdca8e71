#!/usr/bin/env python3
"""scripts/demo-his without its building: demo_his.py PROGRAM [--strict]

The other systems are in his_tools.py. Synthetic patients only.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from his_tools import Modality, Receiver, Records, Sender

FACILITY, SECRET = "DEMO0", "0123456789abcdef0123456789abcdef0123"
MRN, OTHER, THIRD = "22015985", "22000017", "22000042"
NATIONAL = "056078000001"
SOURCES = '[[source]]\nname = "his"\nfacility = "DEMO0"\naddresses = ["127.0.0.1"]\napplication = "HIS"\n'
CONFIG = """[hl7]
sources = "{dir}/sources.toml"
{receivers}[launch]
keys = "{dir}/keys.toml"
skew = "0s"
[http]
viewer = "{viewer}"
[index]
quiet_after = "1s"
"""
ADDRESSES = ["--dicom", "127.0.0.1:0", "--http", "127.0.0.1:0", "--hl7", "127.0.0.1:0"]

steps, not_there = 0, []


def say(text):
    global steps
    steps += 1
    print(f"\n{steps:2}. {text}", flush=True)


def tell(text):
    print(f"    {text}", flush=True)


def need(holds, what):
    if not holds:
        raise SystemExit(f"not as it should be: {what}")


def same(what, found, wanted):
    need(found == wanted, f"{what}: {str(found)[:3000]}, not {str(wanted)[:3000]}")


def until(what, ask, holds, seconds=60):
    """What `ask` answers, once it holds."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if holds(answer):
            return answer
        need(time.monotonic() < end, f"{what} did not come; the last answer was {json.dumps(answer, ensure_ascii=False)[:1500]}")
        time.sleep(0.1)


class Archive:
    """The archive; it may be killed, and keeps its folder."""

    def __init__(self, program, dir, viewer):
        self.program, self.dir = program, dir
        (dir / "sources.toml").write_text(SOURCES)
        (dir / "keys.toml").write_text(f'[[key]]\nfacility = "{FACILITY}"\nid = "a"\nhs256 = "{SECRET}"\n')
        self.viewer = viewer
        self.configure("")
        self.common = ["--config", dir / "khoanh.toml", "--data", dir / "data"]
        self.start()

    def start(self):
        ready = self.dir / "ready"
        with open(ready, "wb") as out, open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen([self.program, "serve", *self.common, *ADDRESSES], stdout=out, stderr=log)
        until("the archive", lambda: self.process.poll() or ready.read_text(), lambda text: text != "")
        need(self.process.poll() is None, "the archive starts")
        told = json.loads(ready.read_text().splitlines()[0])
        self.http = told["http"]
        self.dicom, self.hl7 = (int(told[name].rsplit(":", 1)[1]) for name in ("dicom", "hl7"))

    def configure(self, receivers):
        text = CONFIG.format(dir=self.dir, viewer=self.viewer, receivers=receivers)
        (self.dir / "khoanh.toml").write_text(text)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def command(self, *words):
        done = subprocess.run([self.program, *words, *self.common], capture_output=True, text=True, timeout=300)
        need(done.returncode == 0, f"khoanh {' '.join(words)}: {done.stderr[-800:]}")
        return done.stdout


def pid(mrn, name, birth="1978", sex="M", national=""):
    national = f"~{national}^^^VN^NI" if national else ""
    return f"PID|1||{mrn}^^^BV56001^MR{national}||{name}||{birth}|{sex}"


def pv1(visit):
    return f"PV1|1|I|KHOANOI^P12^G3|||||BS07^Lê^Hoa^Thị|||||||||||{visit}"


def orm(placer, accession, control="NW", procedure="Chụp CT ngực"):
    """Segments of an order as version 2.3.1 has it; RAD-4."""
    start = time.strftime("%Y%m%d") + "083000"
    obr = f"OBR|1|{placer}^HIS||CT.NGUC^{procedure}^99BV^P5-09^Ngực không cản quang^99BV|||||||||||||"
    return [f"ORC|{control}|{placer}^HIS|||SC||^^^{start}^^R", f"{obr}|{accession}|RP{placer}|SP{placer}||||CT"]


def omi(placer, accession):
    """The same as version 2.5.1 has it; the imaging procedure is IPC."""
    start = time.strftime("%Y%m%d") + "093000"
    obr = f"OBR|1|{placer}^HIS||CT.BUNG^Chụp CT bụng^99BV"
    ipc = f"IPC|{accession}|RP{placer}||SP{placer}|CT|P6-01^Bụng có cản quang^99BV|CTROOM1|Phòng CT 1|CT01"
    return [f"ORC|NW|{placer}^HIS|||SC", f"TQ1|1||||||{start}||R", obr, ipc]


def oru(placer, accession, number, status, words):
    obr = f"OBR|1|{placer}^HIS|{number}^RIS|CT.NGUC^CT lồng ngực^99BV|||{time.strftime('%Y%m%d%H%M%S')}" + "|" * 11
    obr += f"{accession}||||{time.strftime('%Y%m%d%H%M%S')}||CT|{status}" + "|" * 7 + "BS30&Vũ&Hạnh"
    return [obr, f"OBX|1|TX|KL^Kết luận^99BV||{words}||||||{status}"]


class Story:
    def __init__(self, dir, archive):
        self.dir, self.archive = dir, archive
        self.his, self.inbox = Sender(archive.hl7), Receiver()
        self.modality = Modality(archive.dicom, dir)
        self.records = Records(archive.http, SECRET, FACILITY)
        self.routes = self.records.routes()

    def start_again(self):
        self.archive.kill()
        self.archive.start()
        self.records.address, self.his.port, self.modality.port = self.archive.http, self.archive.hl7, self.archive.dicom

    def there(self, *routes):
        """Whether the service has all of the routes; says so when it has not."""
        missing = [route for route in routes if route not in self.routes]
        if missing:
            self.missing(missing)
        return not missing

    def missing(self, what):
        not_there.append((steps, what))
        tell(f"NOT THERE: {', '.join(what)}")

    def message(self, kind, segments, version="2.3.1", number=None, wanted="AA"):
        code, why, control = self.his.send(kind, segments, version, number)
        tell(f"{kind} ({version}) {control}: {code}{' ' + why if why else ''}")
        same(f"the answer to {kind}", code, wanted)
        return control

    def get(self, path, **query):
        status, answer = self.records.get(path, **query)
        same(f"GET {path}", status, 200)
        return answer

    def order(self, placer):
        return self.get(f"/api/orders/{placer}")

    def available(self, **query):
        return self.get("/api/available", **query)

    def study(self, accession, holds):
        """The only study of an accession number, once it holds."""
        def ask():
            studies = self.available(accession=accession)["studies"]
            return studies[0] if len(studies) == 1 else {}
        return until(f"the study of {accession}", ask, lambda study: study and holds(study))

    def subscribe(self):
        say("The hospital's system asks to be told (a subscription)")
        if not self.there("POST /api/subscriptions"):
            return
        address = f"127.0.0.1:{self.inbox.port}"
        text = f'[[receiver]]\nname = "his"\naddress = "{address}"\nviewer = "http://archive.example"\n'
        (self.dir / "receivers.toml").write_text(text)
        self.archive.configure(f'receivers = "{self.dir}/receivers.toml"\n')
        self.start_again()
        body = {"name": "his", "receiver": "his"}
        status, answer = self.records.ask("POST", "/api/subscriptions", body)
        need(status in (200, 201), f"the subscription: {status} {answer}")
        tell(f"HL7 to {address}")

    def admit(self):
        say("The hospital's system admits a patient (ADT^A01)")
        segments = [pid(MRN, "Nguyễn^An^Văn", national=NATIONAL), pv1("LK1")]
        self.message("ADT^A01", segments)
        patient = self.get(f"/api/patients/{MRN}")
        same("the name", patient["name"], "Nguyễn Văn An")
        same("the birth", str(patient["birth"]), "1978")
        found = self.get("/api/patients", name="nguyen van an", year=1978)["patients"]
        same("found by name without marks and year", [one["mrn"] for one in found], [MRN])
        tell(f"{MRN} {patient['name']}, found by «nguyen van an» and 1978")

    def place(self):
        say("An order of version 2.3.1 (ORM^O01); sent twice, done once")
        segments = [pid(MRN, "Nguyễn^An^Văn"), pv1("LK1"), *orm("CD1001", "A26-0001")]
        self.message("ORM^O01", segments, number="O1")
        sent, known = self.order("CD1001"), self.get("/api/messages")
        self.message("ORM^O01", segments, number="O1")
        same("messages after the repetition", self.get("/api/messages"), known)
        same("the order after the repetition", self.order("CD1001"), sent)
        need(sent["study"], "the order has a Study Instance UID of its own")
        same("accession and state", (sent["accession"], sent["state"]), ("A26-0001", "scheduled"))
        tell(f"Study Instance UID {sent['study']}; {len(known['messages'])} messages known, before and after")
        say("Orders of version 2.5.1 (OMI^O23)")
        self.message("OMI^O23^OMI_O23", [pid(MRN, "Nguyễn^An^Văn"), pv1("LK1"), *omi("CD1002", "A26-0002")], "2.5.1")
        self.message("OMI^O23^OMI_O23", [pid(OTHER, "Trần^Bình^Thị", "19900214", "F"), *omi("CD1003", "A26-0003")], "2.5.1")
        same("the step", self.order("CD1002")["steps"][0]["station"], "CT01")

    def ask(self):
        say("The console asks for its worklist (findscu -W)")
        lines = self.modality.worklist()
        found = {str(line.AccessionNumber): line for line in lines}
        same("accession numbers", sorted(found), ["A26-0001", "A26-0002", "A26-0003"])
        line = found["A26-0001"]
        step, order = line.ScheduledProcedureStepSequence[0], self.order("CD1001")
        same("the name", str(line.PatientName), "Nguyễn^An^Văn")
        same("a year alone is no birth date", str(line.PatientBirthDate or ""), "")
        same("the study", str(line.StudyInstanceUID), order["study"])
        same("the step", (step.Modality, step.ScheduledProcedureStepID), ("CT", "SPCD1001"))
        same("the visit", line.AdmissionID, "LK1")
        one = self.modality.worklist("PatientName=tran*")
        same("by a name without marks", [str(one.AccessionNumber) for one in one], ["A26-0003"])
        for line in lines:
            step = line.ScheduledProcedureStepSequence[0]
            tell(f"{line.AccessionNumber} {line.PatientName} {step.ScheduledProcedureStepStartTime} {step.Modality}")
        self.lines = found

    def perform(self):
        say("The console begins (MPPS N-CREATE)")
        line = self.lines["A26-0001"]
        status, uid = self.modality.begin(line)
        same("N-CREATE", status, 0)
        same("the order", self.order("CD1001")["state"], "in-progress")
        tell(f"0000, the order is {self.order('CD1001')['state']}")
        say("The scanner sends its images (storescu), the console ends (N-SET)")
        images = self.modality.images(line, 3)
        self.modality.send(images)
        same("N-SET", self.modality.end(uid, images), 0)
        study = self.study("A26-0001", lambda one: one.get("match", {}).get("verdict") == "matched")
        same("images", (study["instances"], study["orders"]), (3, ["CD1001"]))
        done = until("the end of the order", lambda: self.order("CD1001"),
                     lambda order: order["state"] == "completed" and "complete" in order)
        left = [str(line.AccessionNumber) for line in self.modality.worklist()]
        need("A26-0001" not in left, "what was performed is in the worklist no longer")
        tell(f"{study['instances']} images, {study['match']['verdict']} with {study['match']['placer']}, order {done['state']}")

    def told(self):
        say("The archive tells the hospital's system that the images are there (HL7 out)")
        if not self.there("POST /api/subscriptions"):
            return
        uid = self.order("CD1001")["study"]
        messages = until("the availability message", lambda: [str(one) for one in self.inbox.of("ORU", uid)], bool)
        need(any("A26-0001" in one for one in messages), "it names the accession number")
        need(any("/viewer/iid" in one for one in messages), "it has a link")
        tell(messages[0].split("\r")[0])

    def launch(self):
        say("A link that the record system signed opens the study, once")
        # Times of links are whole seconds, and what was signed before the start may have been opened before it.
        time.sleep(1.1)
        token = self.records.link(patient=MRN, accession="A26-0001")
        status, place, cookie = self.records.open(token)
        uid = self.order("CD1001")["study"]
        same("the answer", status, 303)
        need(uid in place and cookie, "it leads to the study")
        path = f"/facilities/{FACILITY}/dicom-web/studies"
        status, found = self.records.ask("GET", path, headers={"Cookie": cookie, "Accept": "application/dicom+json"})
        same("what the session sees", (status, [row["0020000D"]["Value"][0] for row in found]), (200, [uid]))
        same("the second time", self.records.open(token)[0], 403)
        forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
        same("with another signature", self.records.open(forged)[0], 403)
        waits = self.records.open(self.records.link(accession="A26-0002"))
        need(waits[0] == 303 and waits[1].endswith("/viewer/iid/studies"), "without images: the page that waits")
        tell(f"303 to {place.split('?')[0]}; again 403; forged 403; without images the page that waits")

    def result(self):
        say("A result comes (ORU^R01), then its correction")
        head = [pid(MRN, "Nguyễn^An^Văn"), pv1("LK1")]
        self.message("ORU^R01", [*head, *oru("CD1001", "A26-0001", "KQ1", "F", "Bình thường.")])
        self.message("ORU^R01", [*head, *oru("CD1001", "A26-0001", "KQ1", "C", "Nốt mờ thùy trên phải.")])
        reports = self.get("/api/reports", accession="A26-0001")["reports"]
        same("results", [(one["number"], one["version"], one["status"]) for one in reports], [("KQ1/CT.NGUC", 2, "amended")])
        need("Nốt mờ" in json.dumps(reports, ensure_ascii=False), "the text of the correction")
        tell(f"{reports[0]['number']} version {reports[0]['version']}, {reports[0]['status']}")

    def seen(self):
        say("The record system sees order, study and result of the patient together (REST)")
        all_of = self.available(mrn=MRN)
        same("orders", sorted(one["placer"] for one in all_of["orders"]), ["CD1001", "CD1002"])
        same("studies and results", (len(all_of["studies"]), len(all_of["reports"])), (1, 1))
        visit = self.available(visit="LK1")
        same("by the visit", len(visit["studies"]), 1)
        tell(f"{len(all_of['orders'])} orders, {len(all_of['studies'])} study, {len(all_of['reports'])} result")
        say("And in the patient's timeline")
        named = [route for route in self.routes if route.startswith("GET /api/") and "timeline" in route]
        path = named[0].split()[1] if named else "/api/patients/{mrn}/timeline"
        if self.there(f"GET {path}"):
            query = {} if "{mrn}" in path else {"mrn": MRN}
            line = json.dumps(self.get(path.replace("{mrn}", MRN), **query), ensure_ascii=False)
            for what in ("CD1001", "KQ1", "LK1", self.order("CD1001")["study"]):
                need(what in line, f"{what} is in the timeline")
            tell("visit, orders, study and result are in it")

    def fhir(self):
        say("The same by FHIR R4, each answer read by fhir.resources")
        if not self.there("GET /fhir/metadata"):
            return
        from fhir.resources.R4B import bundle, capabilitystatement

        told = self.get("/fhir/metadata")
        capabilitystatement.CapabilityStatement.model_validate(told)
        served = {one["type"] for one in told["rest"][0]["resource"]}
        uid = self.order("CD1001")["study"]
        for kind, query, text in (("Patient", {"identifier": MRN}, MRN),
                                  ("ImagingStudy", {"patient.identifier": MRN}, uid),
                                  ("ServiceRequest", {"identifier": "CD1001"}, "CD1001"),
                                  ("DiagnosticReport", {"patient.identifier": MRN}, "KQ1")):
            if kind not in served:
                self.missing([f"FHIR {kind}"])
                continue
            answer = self.get(f"/fhir/{kind}", **query)
            read = bundle.Bundle.model_validate(answer)
            need(text in json.dumps(answer), f"{text} is in the answer of {kind}")
            tell(f"{kind}: {len(read.entry or [])} entries, valid")

    def merge(self):
        say("The patient of another number is the same person: a merge (ADT^A40), and its undoing")
        former, stays = (lambda: self.get(f"/api/patients/{OTHER}")), (lambda: self.get(f"/api/patients/{MRN}"))
        before = former(), self.available(mrn=OTHER), self.available(mrn=MRN)
        self.message("ADT^A40^ADT_A39", [pid(MRN, "Nguyễn^An^Văn"), f"MRG|{OTHER}^^^BV56001^MR"], "2.5")
        same("the old number", former()["mrn"], MRN)
        orders = sorted(one["placer"] for one in self.available(mrn=MRN)["orders"])
        same("orders of both", orders, ["CD1001", "CD1002", "CD1003"])
        line = next(one for one in self.modality.worklist() if one.AccessionNumber == "A26-0003")
        same("the worklist tells the number that stays", line.PatientID, MRN)
        merge = next(one for one in stays()["merges"] if one["former"] == OTHER)
        tell(f"{OTHER} is {former()['mrn']}, with {len(orders)} orders; the worklist says {line.PatientID}")
        if "POST /api/subscriptions" in self.routes:
            told = until("the merge, told to others", lambda: [str(one) for one in self.inbox.of("ADT", OTHER)], bool)
            tell(told[-1].split("\r")[0])
        status, answer = self.records.ask("DELETE", f"/api/merges/{merge['id']}")
        same(f"undoing: {answer}", status, 200)
        after = former(), self.available(mrn=OTHER), self.available(mrn=MRN)
        same("what was there before the merge", after, before)
        tell("undone: the answers are those from before, to the letter")

    def cancel(self):
        say("An order is taken back (ORC-1 CA)")
        self.message("ORM^O01", [pid(MRN, "Nguyễn^An^Văn"), *orm("CD1002", "A26-0002", "CA")])
        same("its state", self.order("CD1002")["state"], "canceled")
        left = sorted(str(line.AccessionNumber) for line in self.modality.worklist())
        same("the worklist", left, ["A26-0003"])
        tell(f"{self.order('CD1002')['state']}; the worklist has {', '.join(left)} alone")

    def wrong(self):
        say("Images of one patient come under another's number, and are set aside")
        self.message("ADT^A28", [pid(THIRD, "Lê^Cường^Hoàng", "1965")], "2.5")
        images = self.modality.images(self.lines["A26-0003"], 2, PatientID=THIRD, PatientName="LE HOANG CUONG", PatientSex="M")
        self.modality.send(images)
        verdict = lambda study: study.get("match", {}).get("verdict")
        aside = self.study("A26-0003", lambda one: verdict(one) == "mismatch")
        same("the order", self.order("CD1003")["state"], "scheduled")
        tell(f"{aside['match']['verdict']}: {'; '.join(aside['match']['why'])}; the order is as it was")
        say("The study is corrected, matched, and corrected back")
        study = {"facility": FACILITY, "study": aside["study"]}
        right = {"PatientID": OTHER, "PatientName": "Trần^Bình^Thị", "PatientSex": "F"}
        self.correct(study, set=right, reason="chọn nhầm người bệnh")
        matched = self.study("A26-0003", lambda one: verdict(one) == "matched")
        row = self.qido(aside["study"])
        same("what is found", (row["00100020"]["Value"][0], matched["mrn"]), (OTHER, OTHER))
        tell(f"corrected: {row['00100010']['Value'][0]['Alphabetic']} {OTHER}, {matched['match']['verdict']}")
        self.correct(study, undo=True, reason="thử lại")
        again = self.study("A26-0003", lambda one: verdict(one) == "mismatch")
        same("what is found", (self.qido(aside["study"])["00100020"]["Value"][0], again["mrn"]), (THIRD, THIRD))
        same("the order", self.order("CD1003")["state"], "scheduled")
        tell(f"undone: {again['mrn']}, {again['match']['verdict']}, the order is {self.order('CD1003')['state']}")

        say("A steward makes it the right patient's by one decision, and takes it back")
        base = f"/api/matches/{aside['study']}"
        if self.there("GET /api/matches", "POST /api/matches/{study}/patient", "POST /api/matches/{study}/patient/undo"):
            rows = self.get("/api/matches", list="mismatch")["rows"]
            need(aside["study"] in json.dumps(rows), "the study is in the steward's list")
            for path, body, wanted in ((base + "/patient", {"mrn": OTHER}, "matched"), (base + "/patient/undo", {}, "mismatch")):
                status, answer = self.records.ask("POST", path, {"reason": "chọn nhầm người bệnh", **body})
                same(f"{path}: {answer}", status, 200)
                now = self.study("A26-0003", lambda one: verdict(one) == wanted)
                tell(f"{path.split('/', 4)[4]}: {now['mrn']}, {wanted}")

    def correct(self, study, **what):
        body = {"study": study, "why": "correct", **what}
        status, answer = self.records.ask("POST", "/api/corrections", body)
        same(f"the correction: {answer}", status, 200)

    def qido(self, uid):
        path = f"/facilities/{FACILITY}/dicom-web/studies?StudyInstanceUID={uid}&includefield=PatientID,PatientName"
        status, found = self.records.ask("GET", path, headers={"Accept": "application/dicom+json"})
        same("QIDO-RS", (status, len(found)), (200, 1))
        return found[0]

    def last(self):
        say("Killed (kill -9) and started again: the same answers, and what was sent is known")
        ask = lambda: (self.available(mrn=MRN), self.order("CD1002"), self.get("/api/reports", accession="A26-0001"))
        bare = lambda answers: json.dumps(answers).replace(self.archive.http, "ARCHIVE")
        before = bare(ask())
        self.start_again()
        same("the answers", bare(ask()), before)
        segments = [pid(MRN, "Nguyễn^An^Văn"), pv1("LK1"), *orm("CD1001", "A26-0001")]
        self.message("ORM^O01", segments, number="O2")
        same("an order that is done stays done", self.order("CD1001")["state"], "completed")
        refused = self.get("/api/messages", state="refused")["messages"]
        tell(f"{len(self.get('/api/messages')['messages'])} messages, {len(refused)} refused")


def main(program, strict):
    viewer = os.environ.get("VIEWER")
    with tempfile.TemporaryDirectory() as folder:
        dir = Path(folder)
        if not viewer:
            # The page itself is not looked at here, only that links lead to it.
            viewer = dir / "viewer"
            viewer.mkdir()
            (viewer / "index.html").write_text("<!doctype html><html><head></head><body></body></html>")
        archive = Archive(program, dir, viewer)
        try:
            story = Story(dir, archive)
            for part in (story.subscribe, story.admit, story.place, story.ask, story.perform, story.told, story.launch, story.result,
                         story.seen, story.fhir, story.merge, story.cancel, story.wrong, story.last):
                part()
        except BaseException:
            print((dir / "log").read_text()[-2000:], file=sys.stderr)
            raise
        finally:
            archive.kill()
    for step, routes in not_there:
        print(f"NOT THERE in step {step}: {', '.join(routes)}")
    if strict and not_there:
        sys.exit("not as it should be: something is not there")
    print("\nAll steps were as they should be." if not not_there else "\nAll steps that are there were as they should be.")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(next(word for word in words if not word.startswith("--")), "--strict" in words)
