"""Other people's DIMSE tools against a running archive: one row for each service and tool, and what came of it.

    interop_dimse.py DICOM_ADDRESS LIST

LIST names the files that the archive holds (one path a line); what tools find is compared with pydicom's reading of
them. Prints the table; exit 1 if any row failed. Tools are DCMTK's (findscu) and pynetdicom's.
"""

import collections
import pathlib
import subprocess
import sys
import tempfile
import warnings

import pydicom
import pydicom.config
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE

TITLE = "KHOANH"


def text(dataset, keyword):
    return str(dataset.get(keyword, "") or "").strip(" \0")


class Corpus:
    """What the archive holds, as pydicom reads it."""

    def __init__(self, listing):
        files = [line for line in pathlib.Path(listing).read_text().splitlines() if line]
        self.heads = [pydicom.dcmread(file, force=True, stop_before_pixels=True) for file in files]
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
        association.release()
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


def main():
    address, listing = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    address, corpus = (host, int(port)), Corpus(listing)
    rows = [
        ("C-FIND", "DCMTK findscu", lambda: check_find(findscu, address, corpus)),
        ("C-FIND", "pynetdicom", lambda: check_find(pynetdicom_find, address, corpus)),
    ]
    failed = False
    print("| service | tool | result |\n|---|---|---|")
    for service, tool, check in rows:
        try:
            result = f"ok: {check()}"
        except Exception as error:  # every row is to be seen
            failed, result = True, f"FAILED: {type(error).__name__}: {error}"
        print(f"| {service} | {tool} | {result} |", flush=True)
    sys.exit(failed)


main()
