"""pynetdicom as user of Unified Procedure Steps against a running archive, over DIMSE.

    interop_ups.py table DICOM_ADDRESS KHOANH DATA   every service: one row each, and what came of it; exit 1 if any failed
    interop_ups.py plan DICOM_ADDRESS                subscribes to everything, then plans steps and takes every second one,
                                                     one line for each answer, until the archive dies
    interop_ups.py check DICOM_ADDRESS < LINES       what `plan` was answered must be there, and its events come
"""

import collections
import itertools
import socket
import subprocess
import sys
import time
import warnings

import pydicom.config
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    UnifiedProcedureStepEvent,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    UnifiedProcedureStepQuery,
    UnifiedProcedureStepWatch,
)

from associations import rested
from interop_table import print_table

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE

GLOBAL = "1.2.840.10008.5.1.4.34.5"
FILTERED = "1.2.840.10008.5.1.4.34.5.1"
CLASSES = [
    UnifiedProcedureStepPush,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepWatch,
    UnifiedProcedureStepQuery,
]


def until(what, ready):
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)


def code(value):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "99TEST", value
    return item


def step(patient="P1"):
    planned = Dataset()
    planned.SpecificCharacterSet = "ISO_IR 192"
    planned.PatientName, planned.PatientID = "Nguyễn^Ánh", patient
    planned.ProcedureStepState, planned.InputReadinessState = "SCHEDULED", "READY"
    planned.ScheduledProcedureStepPriority, planned.ProcedureStepLabel = "HIGH", "Read the CT"
    planned.ScheduledProcedureStepStartDateTime = "20260115093000"
    planned.ScheduledWorkitemCodeSequence = [code("READ")]
    return planned


def performed():
    item = Dataset()
    item.PerformedWorkitemCodeSequence = item.PerformedStationNameCodeSequence = [code("READ")]
    item.PerformedProcedureStepStartDateTime, item.PerformedProcedureStepEndDateTime = "20260115093000", "20260115100000"
    item.OutputInformationSequence = []
    changes = Dataset()
    changes.UnifiedProcedureStepPerformedProcedureSequence = [item]
    return changes


class User:
    """An association for all classes; with `events` also that of events."""

    def __init__(self, address, title, events=False):
        self.events = []
        ae = AE(title)
        for sop_class in CLASSES + [UnifiedProcedureStepEvent] * events:
            ae.add_requested_context(sop_class)
        self.association = ae.associate(*address, ae_title="KHOANH", evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.heard)])
        assert self.association.is_established, "no association"

    @property
    def peer(self):
        """The association, once its own thread has let go of the last operation: else it may take the next answer."""
        return rested(self.association)

    def heard(self, event):
        information = event.event_information
        self.events.append((str(event.request.AffectedSOPInstanceUID), event.event_type, information))
        return 0x0000, None

    def create(self, planned, uid=None):
        uid = uid or generate_uid()
        status, _ = self.peer.send_n_create(planned, UnifiedProcedureStepPush, uid)
        return uid, status.get("Status")

    def act(self, uid, action, information, meta):
        # Of an empty one pynetdicom says that it follows, and sends nothing.
        information = information if len(information) else None
        status, _ = self.peer.send_n_action(information, action, UnifiedProcedureStepPush, uid, meta_uid=meta)
        return status.get("Status")

    def change(self, uid, state, transaction):
        wanted = Dataset()
        wanted.ProcedureStepState = state
        if transaction:
            wanted.TransactionUID = transaction
        return self.act(uid, 1, wanted, UnifiedProcedureStepPull)

    def cancel(self, uid):
        return self.act(uid, 2, Dataset(), UnifiedProcedureStepPush)

    def subscribe(self, uid, receiver, lock=False, action=3, keys=None):
        wanted = keys or Dataset()
        wanted.ReceivingAE = receiver
        if action == 3:
            wanted.DeletionLock = "TRUE" if lock else "FALSE"
        return self.act(uid, action, wanted, UnifiedProcedureStepWatch)

    def set(self, uid, changes, transaction=None):
        if transaction:
            changes.TransactionUID = transaction
        pull = UnifiedProcedureStepPull
        status, _ = self.peer.send_n_set(changes, UnifiedProcedureStepPush, uid, meta_uid=pull)
        return status.get("Status")

    def get(self, uid, tags=()):
        pull = UnifiedProcedureStepPull
        status, found = self.peer.send_n_get(list(tags), UnifiedProcedureStepPush, uid, meta_uid=pull)
        return status.get("Status"), found

    def find(self, keys, sop_class=UnifiedProcedureStepPull):
        answers = list(self.peer.send_c_find(keys, sop_class))
        return answers[-1][0].get("Status"), [found for status, found in answers if status.Status in (0xFF00, 0xFF01)]

    def states(self, uid):
        return [str(said.get("ProcedureStepState", "")) for about, kind, said in self.events if (about, kind) == (uid, 1)]


def expect(**answers):
    for name, (found, wanted) in answers.items():
        assert found == wanted, f"{name}: {found if not isinstance(found, int) else hex(found)}"


def check_states(address):
    user, transaction = User(address, "PERFORMER"), generate_uid()
    uid, created = user.create(step())
    expect(created=(created, 0xB300), again=(user.create(step(), uid)[1], 0x0111))
    expect(
        unknown=(user.change(generate_uid(), "IN PROGRESS", transaction), 0xC307),
        early=(user.change(uid, "COMPLETED", transaction), 0xC310),
        back=(user.change(uid, "SCHEDULED", transaction), 0xC303),
        nothing=(user.change(uid, "IN PROGRESS", None), 0xC301),
        locked=(user.set(uid, performed(), transaction), 0xC310),
        taken=(user.change(uid, "IN PROGRESS", transaction), 0),
        twice=(user.change(uid, "IN PROGRESS", transaction), 0xC302),
        stranger=(user.change(uid, "COMPLETED", generate_uid()), 0xC301),
        unfinished=(user.change(uid, "COMPLETED", transaction), 0xC304),
        wrong=(user.set(uid, performed(), generate_uid()), 0xC301),
        keyless=(user.set(uid, performed()), 0xC301),
        set=(user.set(uid, performed(), transaction), 0),
        nobody=(user.cancel(uid), 0xC312),
        done=(user.change(uid, "COMPLETED", transaction), 0),
        remark=(user.change(uid, "COMPLETED", transaction), 0xB306),
        over=(user.change(uid, "CANCELED", transaction), 0xC300),
        late=(user.set(uid, performed(), transaction), 0xC300),
        cancel=(user.cancel(uid), 0xC311),
    )
    status, found = user.get(uid)
    assert status == 0 and found.ProcedureStepState == "COMPLETED" and "TransactionUID" not in found, found
    assert str(found.PatientName) == "Nguyễn^Ánh", found.PatientName
    some = user.get(uid, [0x00741000, 0x00100020])[1]
    assert len(some) - ("SpecificCharacterSet" in some) == 2, some
    expect(unknown_get=(user.get(generate_uid())[0], 0xC307), unlisted=(user.get(uid, [0x00081195])[0], 1))
    uid, _ = user.create(step())
    expect(canceled=(user.cancel(uid), 0), again=(user.cancel(uid), 0xB304))
    user.association.release()
    return "every state and status of the machine"


def check_attributes(address):
    user = User(address, "PLANNER")
    for keyword in ("ProcedureStepLabel", "ScheduledProcedureStepPriority", "InputReadinessState"):
        lacking, empty = step(), step()
        delattr(lacking, keyword)
        setattr(empty, keyword, "")
        expect(**{keyword: (user.create(lacking)[1], 0x0120), f"{keyword}_empty": (user.create(empty)[1], 0x0121)})
    started, odd = step(), step()
    started.ProcedureStepState, odd.ScheduledProcedureStepPriority = "IN PROGRESS", "SOON"
    expect(started=(user.create(started)[1], 0xC309), odd=(user.create(odd)[1], 0x0106))
    large = step()
    large.CommentsOnTheScheduledProcedureStep = "x" * 1_000_000
    large.add_new(0x00091001, "UT", "x" * 200_000)
    uid, status = user.create(large)
    assert status not in (0, 0xB300), hex(status)
    uid, _ = user.create(step())
    other = Dataset()
    other.PatientID = "P2"
    expect(patient=(user.set(uid, other), 0x0106))
    state = Dataset()
    state.ProcedureStepState = "CANCELED"
    expect(state=(user.set(uid, state), 0xC303))
    user.association.release()
    return "missing, empty, wrong and too large ones refused"


def check_find(address):
    user = User(address, "ASKER")
    for number in range(150):
        planned = step(f"FIND{number % 3}")
        planned.ScheduledProcedureStepStartDateTime = f"202602{number % 28 + 1:02}120000"
        user.create(planned)
    keys = Dataset()
    keys.PatientID, keys.PatientName, keys.ProcedureStepState = "FIND1", "nguyen*", "SCHEDULED"
    keys.SOPInstanceUID, keys.ScheduledProcedureStepStartDateTime = "", "20260201-20260214"
    inside = Dataset()
    inside.CodeValue = "READ"
    keys.ScheduledWorkitemCodeSequence = [inside]
    counts = []
    for sop_class in (UnifiedProcedureStepPull, UnifiedProcedureStepWatch, UnifiedProcedureStepQuery):
        status, found = user.find(keys, sop_class)
        assert status == 0, hex(status)
        assert all(one.PatientID == "FIND1" and one.SOPInstanceUID for one in found)
        assert all(one.ScheduledWorkitemCodeSequence[0].CodeValue == "READ" for one in found)
        counts.append(len(found))
    keys.PatientID, keys.ScheduledProcedureStepStartDateTime = "FIND*", ""
    everything = len(user.find(keys)[1])
    bad = Dataset()
    bad.ScheduledProcedureStepStartDateTime = "tomorrow"
    expect(bad=(user.find(bad)[0], 0xA900), all=(everything, 150), three=(counts, [counts[0]] * 3))
    assert counts[0] == sum(1 for n in range(150) if n % 3 == 1 and n % 28 < 14), counts
    user.association.release()
    return f"{everything} found, {counts[0]} by six keys, over three classes"


def check_watch(address):
    planner, watcher = User(address, "PLANNER"), User(address, "WATCHER", events=True)
    expect(global_=(planner.subscribe(GLOBAL, "WATCHER"), 0), bad=(planner.subscribe(GLOBAL, "x" * 17), 0xC308))
    missing = planner.act(GLOBAL, 3, Dataset(), UnifiedProcedureStepWatch)
    expect(missing=(missing, 0x0120), suspended=(planner.subscribe("1.2.3", "WATCHER", action=5), 0xC314))
    expect(unknown=(planner.subscribe(generate_uid(), "WATCHER"), 0xC307))
    expect(action=(planner.act(GLOBAL, 1, Dataset(), UnifiedProcedureStepWatch), 0x0123))
    uids = [planner.create(step())[0] for _ in range(10)]
    for uid in uids:
        transaction = generate_uid()
        planner.change(uid, "IN PROGRESS", transaction)
        progress, item = Dataset(), Dataset()
        item.ProcedureStepProgress = "50"
        progress.ProcedureStepProgressInformationSequence = [item]
        expect(progress=(planner.set(uid, progress, transaction), 0), asked=(planner.cancel(uid), 0))
        planner.set(uid, performed(), transaction)
        planner.change(uid, "COMPLETED", transaction)
    until("every event", lambda: all(watcher.states(uid)[-1:] == ["COMPLETED"] for uid in uids))
    for uid in uids:
        assert watcher.states(uid) == ["SCHEDULED", "IN PROGRESS", "COMPLETED"], watcher.states(uid)
        kinds = [kind for about, kind, _ in watcher.events if about == uid]
        assert kinds == [1, 1, 3, 2, 1], kinds
    expect(left=(planner.subscribe(GLOBAL, "WATCHER", action=4), 0))
    watcher.association.release()
    planner.association.release()
    return f"{len(watcher.events)} events in order on the subscriber's association"


def check_destination(address, khoanh, data):
    heard = collections.defaultdict(list)

    def event_report(event):
        heard[str(event.request.AffectedSOPInstanceUID)].append(event.event_type)
        return 0x0000, None

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    add = [khoanh, "destinations", "add", "LISTENER", f"127.0.0.1:{port}", "--any", "--data", data]
    done = subprocess.run(add, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    planner = User(address, "PLANNER")
    expect(subscribed=(planner.subscribe(GLOBAL, "LISTENER"), 0))
    uid, _ = planner.create(step())
    expect(canceled=(planner.cancel(uid), 0))
    # Nobody listens yet: the archive tries again.
    ae = AE("LISTENER")
    ae.add_supported_context(UnifiedProcedureStepEvent, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, event_report)])
    until("the events", lambda: len(heard[uid]) == 3)
    server.shutdown()
    expect(left=(planner.subscribe(GLOBAL, "LISTENER", action=4), 0))
    planner.association.release()
    return "three events after the listener came up"


def rows(address, khoanh, data):
    """Service and check of each row."""
    return [
        ("Push, Pull: states", lambda: check_states(address)),
        ("Push, Pull: attributes", lambda: check_attributes(address)),
        ("Pull, Watch, Query: C-FIND", lambda: check_find(address)),
        ("Watch, Event: association", lambda: check_watch(address)),
        ("Watch, Event: destination", lambda: check_destination(address, khoanh, data)),
    ]


def table(address, khoanh, data):
    named = [(f"UPS {service}", "pynetdicom", check) for service, check in rows(address, khoanh, data)]
    sys.exit(not print_table(("service", "tool", "result"), named))


def plan(address):
    user = User(address, "PLANNER")
    expect(subscribed=(user.subscribe(GLOBAL, "WATCHER"), 0))
    print("ready", flush=True)
    for number in itertools.count():
        try:
            uid, status = user.create(step())
            if status is None:
                return
            print(f"{uid} SCHEDULED", flush=True)
            if number % 2:
                transaction = generate_uid()
                if user.change(uid, "IN PROGRESS", transaction) is None:
                    return
                print(f"{uid} IN PROGRESS", flush=True)
        except (RuntimeError, OSError):
            return


def check(address):
    answered = collections.defaultdict(list)
    for line in sys.stdin:
        uid, _, state = line.strip().partition(" ")
        if state:
            answered[uid].append(state)
    user = User(address, "WATCHER", events=True)
    for uid, states in answered.items():
        status, found = user.get(uid)
        assert status == 0, f"{uid} is gone"
        # The last one may have been done without an answer.
        assert found.ProcedureStepState in (states[-1], "IN PROGRESS"), f"{uid}: {found.ProcedureStepState}"
    until("every event", lambda: all(user.states(uid)[: len(states)] == states for uid, states in answered.items()))
    user.association.release()
    print(len(answered))


def main():
    host, port = sys.argv[2].rsplit(":", 1)
    {"table": table, "plan": plan, "check": check}[sys.argv[1]]((host, int(port)), *sys.argv[3:])


if __name__ == "__main__":
    main()
