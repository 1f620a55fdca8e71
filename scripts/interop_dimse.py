"""Other people's DIMSE tools against a running archive: one row for each service and tool, and what came of it.

    interop_dimse.py DICOM_ADDRESS LIST KHOANH DATA

LIST names the files that the archive holds (one path a line); what tools find is compared with pydicom's reading of
them, what they retrieve with the data sets, byte for byte. KHOANH is the program and DATA its data directory, to
register destinations. Prints the table; exit 1 if any row failed. Tools are DCMTK's (findscu, movescu, getscu,
storescp, echoscu), pynetdicom's and the program's own.
"""

import collections
import datetime
import pathlib
import subprocess
import sys
import tempfile
import warnings

import pydicom
import pydicom.config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomFileLike
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_file_meta_info
from pynetdicom import AE, AllStoragePresentationContexts, build_context, build_role, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

import pixels
from associations import rested
from interop_table import Archive, free_port, listens, print_table, run, storescp, until

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE

TITLE = "KHOANH"
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 91, 203)}
UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}


def is_lossless(syntax):
    """Videos are lossy, too, and so is what may be."""
    near = {f"1.2.840.10008.1.2.4.{number}" for number in (81, 93, 112)}
    return syntax not in LOSSY | near and not syntax.startswith("1.2.840.10008.1.2.4.10")


def is_lossless(syntax):
    """Videos are lossy, too, and so is what may be."""
    near = {f"1.2.840.10008.1.2.4.{number}" for number in (81, 93, 112)}
    return syntax not in LOSSY | near and not syntax.startswith("1.2.840.10008.1.2.4.10")


def text(dataset, keyword):
    return str(dataset.get(keyword, "") or "").strip(" \0")


def data_set(path):
    """Transfer syntax and the bytes behind the file meta information."""
    with open(path, "rb") as file:
        read_preamble(file, True)
        meta = _read_file_meta_info(file)
        return str(meta.get("TransferSyntaxUID", "")), file.read()


def compared(corpus, received):
    """What arrived against what is stored: equal, converted and missing ones, by SOP Instance UID."""
    equal, converted = set(), set()
    for uid, (syntax, data) in received.items():
        if uid not in corpus.stored:
            continue
        stored_syntax, stored = corpus.stored[uid]
        if syntax == stored_syntax:
            assert data == stored, f"{uid} arrived with other bytes in the stored syntax"
            equal.add(uid)
        else:
            assert syntax in UNCOMPRESSED, f"{uid}: {stored_syntax} as {syntax}"
            same_samples(corpus.paths[uid], stored_syntax, syntax, data)
            converted.add(uid)
    missing = set(corpus.stored) - set(received)
    return equal, converted, missing


def same_samples(path, stored_syntax, syntax, data):
    """What came uncompressed has the samples of the file, as other software decodes it."""
    head = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = head.SOPClassUID, head.SOPInstanceUID
        meta.TransferSyntaxUID = syntax
        file.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(file, meta, enforce_standard=False)
        file.write(data)
        file.flush()
        found, expected = pixels.frames(file.name), pixels.frames(path)
    if expected is not None:
        # Decoders of what is lossy round differently.
        most = abs(found - expected).max()
        assert most <= (2 if stored_syntax in LOSSY else 0), f"{path}: samples differ by {most}"


def told(corpus, received):
    equal, converted, missing = compared(corpus, received)
    assert equal or converted, "nothing arrived"
    lossless = {uid for uid, (syntax, _) in corpus.stored.items() if is_lossless(syntax)}
    said = f"{len(equal)} of {len(corpus.stored)} byte for byte ({len(equal & lossless)} of {len(lossless)} lossless)"
    if converted:
        said += f", {len(converted)} converted"
    if missing:
        syntaxes = sorted({corpus.stored[uid][0] for uid in missing})
        said += f", {len(missing)} not taken ({', '.join(syntaxes)})"
    return said


def folder_of(path):
    """What a DCMTK tool wrote, by SOP Instance UID."""
    found = {}
    for file in pathlib.Path(path).iterdir():
        head = pydicom.dcmread(file, force=True, specific_tags=["SOPInstanceUID"])
        found[text(head, "SOPInstanceUID")] = data_set(file)
    return found


def negotiated(address, information):
    """An association to find with, for which extras of queries were asked (PS3.4 section C.5)."""
    asked = SOPClassExtendedNegotiation()
    asked.sop_class_uid = StudyRootQueryRetrieveInformationModelFind
    asked.service_class_application_information = information
    ae = AE("PYNETDICOM")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = ae.associate(*address, ae_title=TITLE, ext_neg=[asked])
    assert association.is_established, "no association"
    return association


def check_combined(address, corpus):
    """A date range and a time range as one span of moments, negotiated; apart they would be refused."""
    association = negotiated(address, b"\x01\x01")
    answered = [item for item in association.acceptor.user_information if isinstance(item, SOPClassExtendedNegotiation)]
    assert [item.service_class_application_information for item in answered] == [b"\x01\x01"], "not granted"
    moments = {}
    for study, heads in corpus.studies.items():
        moment = {text(head, "StudyDate") + text(head, "StudyTime")[:6] for head in heads}
        if len(moment) == 1 and len(min(moment)) == 14:
            moments[study] = min(moment)
    ordered = sorted(moments.values())
    first = ordered[len(ordered) // 3]
    last = next(moment for moment in reversed(ordered) if moment[8:] < first[8:])
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", ""
    identifier.StudyDate, identifier.StudyTime = f"{first[:8]}-{last[:8]}", f"{first[8:]}-{last[8:]}"
    answers = list(association.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind))
    rested(association).release()
    assert answers[-1][0].Status == 0, f"{answers[-1][0]}"
    found = {text(match, "StudyInstanceUID") for _, match in answers[:-1]}
    wanted = {study for study, moment in moments.items() if first <= moment <= last}
    assert found & set(moments) == wanted, f"{len(found)} studies instead of {len(wanted)}"
    return f"{len(wanted)} of {len(moments)} studies between two moments"


def check_zone(address, corpus):
    """Dates and times asked and told two hours further east than the archive's own zone."""
    association = negotiated(address, b"\0\0\0\x01")
    seen = 0
    for heads in corpus.studies.values():
        head = heads[0]
        sent = text(head, "StudyDate") + text(head, "StudyTime")[:6]
        if len(sent) != 14 or len({text(one, "StudyTime") for one in heads}) > 1 or text(head, "TimezoneOffsetFromUTC"):
            continue
        # One file has a time of nine places behind the second, which is no time (PS3.5 section 6.2) and is not moved.
        if len(text(head, "StudyTime")) > len("HHMMSS.FFFFFF"):
            continue
        wanted = datetime.datetime.strptime(sent, "%Y%m%d%H%M%S") + datetime.timedelta(hours=2)
        identifier = Dataset()
        identifier.QueryRetrieveLevel, identifier.TimezoneOffsetFromUTC = "STUDY", "+0900"
        identifier.StudyInstanceUID, identifier.StudyTime = text(head, "StudyInstanceUID"), f"{wanted:%H}00-{wanted:%H}59"
        identifier.StudyDate = f"{wanted:%Y%m%d}"
        (pending, match), (final, _) = rested(association).send_c_find(
            identifier, StudyRootQueryRetrieveInformationModelFind
        )
        assert (pending.Status, final.Status) == (0xFF00, 0), f"{pending.Status:04X}"
        assert text(match, "StudyDate") + text(match, "StudyTime")[:6] == f"{wanted:%Y%m%d%H%M%S}", f"{sent}: {match}"
        assert text(match, "TimezoneOffsetFromUTC") == "+0900"
        seen += 1
    rested(association).release()
    return f"{seen} studies"


class Corpus:
    """What the archive holds, as pydicom reads it."""

    def __init__(self, listing):
        files = [line for line in pathlib.Path(listing).read_text().splitlines() if line]
        self.heads = [pydicom.dcmread(file, force=True, stop_before_pixels=True) for file in files]
        # Transfer syntax and data set by SOP Instance UID, of the files that say what they are.
        whole = [(head, file) for head, file in zip(self.heads, files) if text(head.file_meta, "TransferSyntaxUID")]
        self.files = [file for head, file in whole if text(head.file_meta, "MediaStorageSOPInstanceUID")]
        self.paths = {text(head, "SOPInstanceUID"): file for head, file in whole}
        self.stored = {text(head, "SOPInstanceUID"): data_set(file) for head, file in whole}
        self.studies = collections.defaultdict(list)
        for head in self.heads:
            self.studies[text(head, "StudyInstanceUID")].append(head)

    def series(self, study):
        found = collections.defaultdict(list)
        for head in self.studies[study]:
            found[text(head, "SeriesInstanceUID")].append(head)
        return found

    def patients(self):
        return {text(head, "PatientID") for head in self.heads} - {""}


def findscu(address, model, keys):
    """DCMTK: one file for each match."""
    host, port = address
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["findscu", model, "-aec", TITLE, "-aet", "FINDSCU", "-X", "-od", folder]
        for keyword, value in keys.items():
            arguments += ["-k", f"{keyword}={value}"]
        done = subprocess.run([*arguments, host, str(port)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-500:]
        return [pydicom.dcmread(path, force=True) for path in sorted(pathlib.Path(folder).iterdir())]


def pynetdicom_find(address, model, keys):
    """pynetdicom: every pending answer, and the final status, which must be success."""
    classes = {"-P": PatientRootQueryRetrieveInformationModelFind, "-S": StudyRootQueryRetrieveInformationModelFind}
    ae = AE("PYNETDICOM")
    ae.add_requested_context(classes[model])
    association = ae.associate(*address, ae_title=TITLE)
    assert association.is_established, "no association"
    try:
        identifier = Dataset()
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        answers = list(association.send_c_find(identifier, classes[model]))
    finally:
        rested(association).release()
    *pending, (final, _) = answers
    assert all(status.Status in (0xFF00, 0xFF01) for status, _ in pending), "a status that is not pending"
    assert final.Status == 0, f"final status {final.Status:04X}"
    return [found for _, found in pending]


def check_find(find, address, corpus):
    """All levels of both models against the corpus."""
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "PatientName": "", "ModalitiesInStudy": ""}
    keys |= {"NumberOfStudyRelatedSeries": "", "NumberOfStudyRelatedInstances": "", "InstanceAvailability": ""}
    found = {text(match, "StudyInstanceUID"): match for match in find(address, "-S", keys)}
    assert set(found) == set(corpus.studies), f"{len(found)} studies instead of {len(corpus.studies)}"
    for study, match in found.items():
        heads = {text(head, "SOPInstanceUID") for head in corpus.studies[study]}
        assert int(match.NumberOfStudyRelatedInstances) == len(heads), f"instances of {study}"
        assert int(match.NumberOfStudyRelatedSeries) == len(corpus.series(study)), f"series of {study}"
        assert text(match, "InstanceAvailability") == "ONLINE" and text(match, "RetrieveAETitle") == TITLE
    patients = find(address, "-P", {"QueryRetrieveLevel": "PATIENT", "PatientID": "", "PatientName": ""})
    ids = [text(match, "PatientID") for match in patients]
    assert set(ids) - {""} == corpus.patients(), "the patients"
    for study in sorted(corpus.studies)[:10]:
        series = corpus.series(study)
        keys = {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": study, "SeriesInstanceUID": ""}
        found = {text(match, "SeriesInstanceUID") for match in find(address, "-S", {**keys, "Modality": ""})}
        assert found == set(series), f"series of {study}"
        for uid, heads in sorted(series.items())[:3]:
            keys = {"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": study, "SeriesInstanceUID": uid}
            found = {text(match, "SOPInstanceUID") for match in find(address, "-S", {**keys, "SOPInstanceUID": ""})}
            assert found == {text(head, "SOPInstanceUID") for head in heads}, f"instances of {uid}"
    wanted = next(head for head in corpus.heads if text(head, "PatientID") and text(head, "StudyDate"))
    keys = {"QueryRetrieveLevel": "STUDY", "PatientID": text(wanted, "PatientID"), "StudyInstanceUID": ""}
    date = text(wanted, "StudyDate")
    matches = find(address, "-S", {**keys, "StudyDate": f"{date}-{date}"})
    assert text(wanted, "StudyInstanceUID") in {text(match, "StudyInstanceUID") for match in matches}, "by ID and date"
    return f"{len(corpus.studies)} studies, {len(corpus.patients())} patients"


def check_movescu(address, corpus, archive):
    with storescp("STORESCP", "+xa") as (port, folder):
        archive.destination("STORESCP", port)
        refused = 0
        for study in corpus.studies:
            keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
            arguments = ["movescu", "-S", "-aec", TITLE, "-aet", "MOVESCU", "-aem", "STORESCP", *keys]
            done = subprocess.run([*arguments, address[0], str(address[1])], capture_output=True, timeout=120)
            refused += done.returncode != 0
        said = told(corpus, folder_of(folder))
        equal, converted, missing = compared(corpus, folder_of(folder))
        assert bool(missing) == bool(refused), f"{refused} moves not clean, {len(missing)} missing"
        return said


def check_pynetdicom_move(address, corpus, archive):
    received = {}

    def store(event):
        received[str(event.request.AffectedSOPInstanceUID)] = (
            str(event.context.transfer_syntax),
            event.request.DataSet.getvalue(),
        )
        assert str(event.request.MoveOriginatorApplicationEntityTitle).strip() == "PYNETDICOM"
        return 0x0000

    ae = AE("PYNETDICOM")
    syntaxes = sorted({syntax for syntax, _ in corpus.stored.values()})
    for uid in sorted({text(head, "SOPClassUID") for head in corpus.heads}):
        ae.add_supported_context(uid, syntaxes)
    ae.maximum_pdu_size = 0
    known = {context.abstract_syntax for context in AllStoragePresentationContexts}
    port = free_port()
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        archive.destination("PYNETDICOM", port)
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
        association = ae.associate(*address, ae_title=TITLE)
        assert association.is_established, "no association"
        for study, heads in corpus.studies.items():
            uids = {text(head, "SOPInstanceUID") for head in heads}
            # pynetdicom aborts over UIDs that break the rules and over classes it does not know.
            if not all(pydicom.uid.UID(uid).is_valid for uid in uids) or not known.issuperset(
                text(head, "SOPClassUID") for head in heads
            ):
                continue
            identifier = Dataset()
            identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study
            model = StudyRootQueryRetrieveInformationModelMove
            *_, (final, _) = association.send_c_move(identifier, "PYNETDICOM", model)
            counts = (final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations)
            assert final.Status == 0 and counts == (len(uids), 0), f"{study}: {final}"
        rested(association).release()
    finally:
        server.shutdown()
    return told(corpus, received)


def check_getscu(address, corpus):
    with tempfile.TemporaryDirectory() as folder:
        for study in corpus.studies:
            keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
            arguments = ["getscu", "-S", "-aec", TITLE, "-aet", "GETSCU", "+B", "-od", folder, *keys]
            subprocess.run([*arguments, address[0], str(address[1])], capture_output=True, timeout=120)
        received = folder_of(folder)
        _, _, missing = compared(corpus, received)
        # It proposes uncompressed syntaxes alone, and the storage classes it knows.
        assert received, "nothing arrived"
        return told(corpus, received) + "; it proposes uncompressed syntaxes only"


def pynetdicom_app(name, *arguments):
    return [sys.executable, "-m", "pynetdicom", name, *arguments]


def check_apps(address, corpus, archive):
    """pynetdicom's own programs: findscu, movescu to storescp, getscu."""
    host, port = address[0], str(address[1])
    known = {context.abstract_syntax for context in AllStoragePresentationContexts}
    plain = lambda head: text(head.file_meta, "TransferSyntaxUID") in UNCOMPRESSED and text(head, "SOPClassUID") in known
    heads = max((heads for heads in corpus.studies.values() if all(map(plain, heads))), key=len)
    uids, study = {text(head, "SOPInstanceUID") for head in heads}, text(heads[0], "StudyInstanceUID")
    keys = ["-S", "-aec", TITLE, "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    said = run(*pynetdicom_app("findscu", host, port, *keys, "-k", "NumberOfStudyRelatedInstances"))
    assert f"[{len(uids)}]" in said, said[-500:]
    target = free_port()
    with tempfile.TemporaryDirectory() as moved, tempfile.TemporaryDirectory() as got:
        storing = subprocess.Popen(pynetdicom_app("storescp", str(target), "-aet", "APP", "-od", moved, "-q"))
        try:
            until("storescp listens", lambda: listens(target))
            archive.destination("APP", target)
            run(*pynetdicom_app("movescu", host, port, *keys, "-aem", "APP"))
            run(*pynetdicom_app("getscu", host, port, *keys, "-od", got))
            for folder in (moved, got):
                received = folder_of(folder)
                assert set(received) == uids, f"{len(received)} of {len(uids)}"
                for uid, (syntax, data) in received.items():
                    assert syntax != corpus.stored[uid][0] or data == corpus.stored[uid][1], f"{uid} differs"
        finally:
            storing.kill()
            storing.wait()
    return f"a study of {len(uids)} found, moved and fetched"


def check_pynetdicom_get(address, corpus):
    received = {}

    def store(event):
        received[str(event.request.AffectedSOPInstanceUID)] = (
            str(event.context.transfer_syntax),
            event.request.DataSet.getvalue(),
        )
        return 0x0000

    pairs = collections.defaultdict(set)
    for head in corpus.heads:
        if text(head, "SOPInstanceUID") in corpus.stored:
            pairs[text(head, "SOPClassUID")].add(corpus.stored[text(head, "SOPInstanceUID")][0])
    contexts = [build_context(uid, syntax) for uid, syntaxes in sorted(pairs.items()) for syntax in sorted(syntaxes)]
    lost = {(context.abstract_syntax, context.transfer_syntax[0]) for context in contexts[127:]}
    get = StudyRootQueryRetrieveInformationModelGet
    ae = AE("PYNETDICOM")
    roles = [build_role(uid, scp_role=True, scu_role=True) for uid in pairs]
    association = ae.associate(
        *address,
        ae_title=TITLE,
        contexts=[build_context(get), *contexts[:127]],
        ext_neg=roles,
        evt_handlers=[(evt.EVT_C_STORE, store)],
    )
    assert association.is_established, "no association"
    for study in corpus.studies:
        identifier = Dataset()
        identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study
        *_, (final, _) = association.send_c_get(identifier, get)
        assert final.Status in (0, 0xB000), f"{study}: {final}"
    rested(association).release()
    assert lost or not compared(corpus, received)[2], "some did not come"
    return told(corpus, received)


def check_commitment(address, corpus):
    """pynetdicom asks for everything and for one object that is not there; the report comes on the same association."""
    reports = []

    def event_report(event):
        reports.append((event.event_type, event.event_information))
        return 0x0000, None

    ae = AE("COMMITTER")
    ae.add_requested_context(StorageCommitmentPushModel)
    handlers = [(evt.EVT_N_EVENT_REPORT, event_report)]
    association = ae.associate(*address, ae_title=TITLE, evt_handlers=handlers)
    assert association.is_established, "no association"
    known = {text(head, "SOPInstanceUID"): text(head, "SOPClassUID") for head in corpus.heads}
    lost = pydicom.uid.generate_uid()
    for objects, expected in ((known, (1, 0)), ({**known, lost: "1.2.840.10008.5.1.4.1.1.7"}, (2, 1))):
        asked = Dataset()
        asked.TransactionUID = pydicom.uid.generate_uid()
        asked.ReferencedSOPSequence = []
        for instance, sop_class in objects.items():
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
            asked.ReferencedSOPSequence.append(item)
        before = len(reports)
        well_known = "1.2.840.10008.1.20.1.1"
        status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, well_known)
        assert status.Status == 0, f"{status}"
        until("the report", lambda: len(reports) > before)
        kind, report = reports[-1]
        failed = report.get("FailedSOPSequence", [])
        assert (kind, len(failed)) == expected, f"event {kind}, {len(failed)} failed"
        assert report.TransactionUID == asked.TransactionUID
        assert len(report.ReferencedSOPSequence) == len(known)
        assert all(item.FailureReason == 0x0112 for item in failed)
    rested(association).release()
    return f"{len(known)} objects committed, an unknown one refused"


def check_echo(address):
    done = subprocess.run(["echoscu", "-aec", TITLE, address[0], str(address[1])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ae = AE("PYNETDICOM")
    ae.add_requested_context(Verification)
    association = ae.associate(*address, ae_title=TITLE)
    assert association.is_established and association.send_c_echo().Status == 0
    rested(association).release()
    return "echoscu and pynetdicom"


def check_send(corpus, archive):
    """The program's own clients, to DCMTK's storescp."""
    with storescp("STORESCP", "+xa") as (port, folder):
        archive.run("echo", f"127.0.0.1:{port}", "--called", "STORESCP")
        arguments = ["send", f"127.0.0.1:{port}", "--called", "STORESCP", *corpus.files]
        done = subprocess.run([archive.program, *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode in (0, 3), done.stderr
        return told(corpus, folder_of(folder))


def rows(address, corpus, archive):
    """Service, tool and check of each row."""
    return [
        ("C-ECHO", "DCMTK, pynetdicom", lambda: check_echo(address)),
        ("C-FIND", "DCMTK findscu", lambda: check_find(findscu, address, corpus)),
        ("C-FIND", "pynetdicom", lambda: check_find(pynetdicom_find, address, corpus)),
        ("C-FIND, combined date-time matching", "pynetdicom", lambda: check_combined(address, corpus)),
        ("C-FIND, timezone adjustment", "pynetdicom", lambda: check_zone(address, corpus)),
        ("C-MOVE", "DCMTK movescu, storescp", lambda: check_movescu(address, corpus, archive)),
        ("C-MOVE", "pynetdicom", lambda: check_pynetdicom_move(address, corpus, archive)),
        ("C-GET", "DCMTK getscu", lambda: check_getscu(address, corpus)),
        ("C-GET", "pynetdicom", lambda: check_pynetdicom_get(address, corpus)),
        ("C-FIND, C-MOVE, C-GET", "pynetdicom's findscu, movescu, storescp, getscu", lambda: check_apps(address, corpus, archive)),
        ("Storage commitment", "pynetdicom", lambda: check_commitment(address, corpus)),
        ("C-ECHO, C-STORE as user", "DCMTK storescp", lambda: check_send(corpus, archive)),
    ]


def main():
    address, listing, program, data = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    right = print_table(
        ("service", "tool", "result"), rows((host, int(port)), Corpus(listing), Archive(program, data))
    )
    sys.exit(not right)


if __name__ == "__main__":
    main()
