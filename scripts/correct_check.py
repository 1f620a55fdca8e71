"""What a corrected study says to other software, as one line of JSON: pynetdicom asks and fetches, pydicom reads.

    correct_check.py DICOM_ADDRESS DICOMWEB_ROOT STUDY NAME...

The names are searched for by C-FIND; the first object of the study comes by C-GET, by WADO-RS in the syntax it is stored
in, as it was received, and in Explicit VR Little Endian, and as metadata.
"""

import email
import hashlib
import io
import json
import os
import sys
import threading
import urllib.request

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    ComputedRadiographyImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

# Seconds after which the check ends, whatever it waits for.
LONGEST = 120


def associate(address, contexts, **more):
    host, port = address.rsplit(":", 1)
    ae = AE("CLIENT")
    for context in contexts:
        ae.add_requested_context(context)
    association = ae.associate(host, int(port), ae_title="KHOANH", **more)
    assert association.is_established, "no association"
    return association


def found(address, name):
    association = associate(address, [StudyRootQueryRetrieveInformationModelFind])
    identifier = Dataset()
    identifier.SpecificCharacterSet = "ISO_IR 192"
    identifier.QueryRetrieveLevel, identifier.PatientName = "STUDY", name
    identifier.StudyInstanceUID, identifier.PatientID = "", ""
    answers = association.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind)
    rows = [row for status, row in answers if status.Status in (0xFF00, 0xFF01)]
    association.release()
    return [[str(row.StudyInstanceUID), str(row.PatientName), str(row.PatientID)] for row in rows]


def about(data_set, raw):
    """What is told of an object; `raw` are the bytes of its data set."""
    modified = [item.ModifiedAttributesSequence[0] for item in data_set.get("OriginalAttributesSequence", [])]
    return {
        "name": str(data_set.PatientName),
        "accession": str(data_set.get("AccessionNumber", "")),
        "before": [str(item.get("PatientName", "")) for item in modified],
        "reasons": [item.ReasonForTheAttributeModification for item in data_set.get("OriginalAttributesSequence", [])],
        "pixels": hashlib.sha256(data_set.PixelData).hexdigest(),
        "bytes": hashlib.sha256(raw).hexdigest(),
    }


def got(address, study):
    kept = []

    def store(event):
        kept.append((event.dataset, event.request.DataSet.getvalue()))
        return 0x0000

    roles = [build_role(ComputedRadiographyImageStorage, scp_role=True)]
    contexts = [StudyRootQueryRetrieveInformationModelGet, ComputedRadiographyImageStorage]
    association = associate(address, contexts, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, store)])
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study
    *_, (final, _) = association.send_c_get(identifier, StudyRootQueryRetrieveInformationModelGet)
    assert final.Status == 0, f"C-GET: {final.Status:04X}"
    association.release()
    first, raw = min(kept, key=lambda one: str(one[0].SOPInstanceUID))
    return about(first, raw)


def fetched(url, syntax):
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={syntax}'
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept})) as answer:
        head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + answer.read())
    parts = [part.get_payload(decode=True) for part in message.get_payload()]
    objects = [pydicom.dcmread(io.BytesIO(part)) for part in parts]
    first, part = min(zip(objects, parts), key=lambda one: str(one[0].SOPInstanceUID))
    return about(first, part)


def documents(url):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "application/dicom+json"})) as answer:
        return json.load(answer)


def named(document):
    return document["00100010"]["Value"][0]["Alphabetic"]


def main():
    watchdog = threading.Timer(LONGEST, lambda: os._exit(3))
    watchdog.daemon = True
    watchdog.start()
    address, root, study, *names = sys.argv[1:]
    url = f"{root}/studies/{study}"
    told = {
        "found": {name: found(address, name) for name in names},
        "get": got(address, study),
        "stored": fetched(url, "*"),
        "received": fetched(url + "?asreceived=true", "*"),
        "explicit": fetched(url, "1.2.840.10008.1.2.1"),
        "metadata": sorted({named(document) for document in documents(url + "/metadata")}),
        "metadata received": sorted({named(document) for document in documents(url + "/metadata?asreceived=true")}),
        "qido": [named(row) for row in documents(f"{root}/studies?StudyInstanceUID={study}&includefield=00100010")],
    }
    print(json.dumps(told), flush=True)
    os._exit(0)


main()
