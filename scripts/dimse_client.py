"""A DIMSE client for tests, made of pynetdicom: what it was answered goes to standard output as one line of JSON.

    dimse_client.py move ADDRESS STUDY DESTINATION   C-MOVE of a study: status and counts
    dimse_client.py ask ADDRESS TRANSACTION CLASS INSTANCE   storage commitment, gone before the report
    dimse_client.py hear ADDRESS   waits for a report of storage commitment on a new association
    dimse_client.py tell ADDRESS STUDY   Instance Availability Notification of a study, its UID left to the archive
"""

import json
import os
import sys
import threading
import time

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelMove,
)

TITLE = "KHOANH"
# Seconds after which the client ends, whatever it waits for.
LONGEST = 300


def associate(address, sop_class, handlers=()):
    host, port = address.rsplit(":", 1)
    ae = AE("CLIENT")
    ae.dimse_timeout = 120
    ae.add_requested_context(sop_class)
    association = ae.associate(host, int(port), ae_title=TITLE, evt_handlers=list(handlers))
    assert association.is_established, "no association"
    return association


def move(address, study, destination):
    association = associate(address, StudyRootQueryRetrieveInformationModelMove)
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study
    model = StudyRootQueryRetrieveInformationModelMove
    *_, (final, failed) = association.send_c_move(identifier, destination, model)
    association.release()
    return {
        "status": final.Status,
        "completed": final.NumberOfCompletedSuboperations,
        "failed": final.NumberOfFailedSuboperations,
        "listed": len(failed.FailedSOPInstanceUIDList or []) if failed else 0,
    }


def tell(address, study):
    association = associate(address, InstanceAvailabilityNotification)
    instance, series, told = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", study + ".1.1"
    instance.InstanceAvailability, instance.RetrieveAETitle = "NEARLINE", "ELSEWHERE"
    series.SeriesInstanceUID, series.ReferencedSOPSequence = study + ".1", [instance]
    told.StudyInstanceUID, told.ReferencedSeriesSequence = study, [series]
    told.ReferencedPerformedProcedureStepSequence = []
    named = []
    raw = [(evt.EVT_DIMSE_RECV, lambda event: named.append(str(event.message.command_set.get("AffectedSOPInstanceUID"))))]
    association.bind(*raw[0])
    status, _ = association.send_n_create(told, InstanceAvailabilityNotification, None)
    association.release()
    return {"status": status.Status if "Status" in status else None, "instance": named[0] if named else None}


def ask(address, transaction, sop_class, instance):
    # The report may come at once: it is never answered, which means that it was not heard.
    handlers = [(evt.EVT_N_EVENT_REPORT, lambda event: threading.Event().wait())]
    association = associate(address, StorageCommitmentPushModel, handlers)
    item, asked = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    asked.TransactionUID, asked.ReferencedSOPSequence = transaction, [item]
    status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
    return {"status": status.Status if "Status" in status else None}


def hear(address):
    reports = []

    def report(event):
        reports.append({"event": event.event_type, "transaction": str(event.event_information.TransactionUID)})
        return 0x0000, None

    association = associate(address, StorageCommitmentPushModel, [(evt.EVT_N_EVENT_REPORT, report)])
    end = time.monotonic() + 60
    while not reports and association.is_established and time.monotonic() < end:
        time.sleep(0.01)
    # No release: pynetdicom waits for ever where one begins while the report is being answered.
    return {"reports": reports}


def main():
    watchdog = threading.Timer(LONGEST, lambda: os._exit(3))
    watchdog.daemon = True
    watchdog.start()
    wanted, *arguments = sys.argv[1:]
    print(json.dumps({"move": move, "ask": ask, "hear": hear, "tell": tell}[wanted](*arguments)), flush=True)
    # Threads of associations that are still open would keep the program.
    os._exit(0)


main()
