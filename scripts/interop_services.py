"""The parts of `interop-dimse`: which archives they start, and what they check beyond the other `interop_` scripts."""

import collections
import contextlib
import csv
import datetime
import json
import pathlib
import random
import ssl
import subprocess
import sys
import tempfile

import pydicom
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydicom.dataset import Dataset, FileMetaDataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

import interop_dimse
import interop_ups
import interop_ups_rs
import interop_worklist
from associations import rested
from interop_table import Running, Storescp, free_port, listens, print_rows, print_table, run, storescp, until

HERE = pathlib.Path(__file__).resolve().parent
CT = "1.2.840.10008.5.1.4.1.1.2"
# A UID with letters identifies nothing: refused although other software reads the file.
REFUSED = {"structure/bad_sequence.dcm"}
QUICK = '[index]\nquiet_after = "300ms"\n[forward]\nattempts = 3\npause = "100ms"\npause_max = "400ms"\n'


def lists(folder):
    """The readable files of the test data, split so that no two of a list share a SOP Instance UID."""
    found, seen = [], collections.Counter()
    with open(folder / "INDEX.csv", newline="") as index:
        for row in csv.DictReader(index):
            if row["file"].startswith("bad/") or row["pydicom"] != "ok" or row["file"] in REFUSED:
                continue
            path = folder / row["file"]
            uid = interop_dimse.text(pydicom.dcmread(path, force=True, stop_before_pixels=True), "SOPInstanceUID")
            if seen[uid] == len(found):
                found.append([])
            found[seen[uid]].append(path)
            seen[uid] += 1
    return found


@contextlib.contextmanager
def holding(options, files):
    """An archive that holds these files, and what pydicom reads in them."""
    with Running(options.program) as archive:
        archive.command("import", "--facility", "DEMO0", *map(str, files))
        listing = archive.folder / "files.list"
        listing.write_text("\n".join(map(str, files)))
        yield archive, interop_dimse.Corpus(listing), listing


def part_retrieve(options):
    first, *others = lists(options.dicom)
    with holding(options, first) as (archive, corpus, _):
        right = print_rows(interop_dimse.rows(archive.address, corpus, archive))
    for number, files in enumerate(others, start=2):
        with holding(options, files) as (archive, corpus, _):
            again = f"{len(corpus.stored)} files whose UIDs came before, list {number}"
            address, check = archive.address, interop_dimse
            rows = [
                (f"C-MOVE, {again}", "DCMTK movescu, storescp", lambda: check.check_movescu(address, corpus, archive)),
                (f"C-GET, {again}", "DCMTK getscu", lambda: check.check_getscu(address, corpus)),
                (f"C-GET, {again}", "pynetdicom", lambda: check.check_pynetdicom_get(address, corpus)),
            ]
            right &= print_rows(rows)
    return right


def part_store(options):
    """Senders of others; `interop.py` reads everything back and compares each value."""
    files = lists(options.dicom)[0]

    def check(tool):
        with Running(options.program) as archive:
            listing = archive.folder / "files.list"
            listing.write_text("\n".join(map(str, files)))
            said = run(sys.executable, HERE / "interop.py", tool, archive.dicom, archive.http, listing, limit=900)
            return said.strip().splitlines()[-1].partition(": ")[2]

    names = {"storescu": "DCMTK storescu", "dcmsend": "DCMTK dcmsend", "pynetdicom": "pynetdicom"}
    return print_rows([("C-STORE", name, lambda tool=tool: check(tool)) for tool, name in names.items()])


class Authority:
    """Signs certificates for this machine."""

    def __init__(self, folder, name):
        self.folder, self.name, self.key = pathlib.Path(folder), name, ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.signed(name, self.key, self.key, name, authority=True)
        self.file = self.write(f"{name}.pem", self.certificate.public_bytes(serialization.Encoding.PEM))

    def write(self, name, data):
        (self.folder / name).write_bytes(data)
        return self.folder / name

    def signed(self, name, key, by, issuer, authority=False, expired=False):
        named = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=800 if expired else 1)
        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=300))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if not authority:
            names = [x509.DNSName("localhost")]
            uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        return builder.sign(by, hashes.SHA256())

    def sign(self, name, expired=False, itself=False):
        """Key and certificate of a machine, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        by, issuer = (key, name) if itself else (self.key, self.name)
        certificate = self.signed(name, key, by, issuer, expired=expired)
        plain = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        return self.write(f"{name}.key", pem), self.write(
            f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM)
        )


def part_tls(options):
    with tempfile.TemporaryDirectory() as folder:
        province, other = Authority(folder, "province"), Authority(folder, "other")
        key, certificate = province.sign("archive")
        config = f'[dicom.tls]\nlisten = "127.0.0.1:0"\ncertificate = "{certificate}"\nkey = "{key}"\n'
        config += f'authorities = "{province.file}"\n'
        files = study_files(pathlib.Path(folder) / "study", options.seed, 20)
        with Running(options.program, config) as archive:
            return print_rows(tls_rows(archive, province, other, files))


def tls_rows(archive, province, other, files):
    modality, trust = province.sign("CT01"), ["+cf", province.file]
    study, called = files.study, ["-aec", interop_dimse.TITLE]
    place = ["localhost", archive.tls]
    secure = lambda own: ["+tls", *own, *trust]
    keys = ["-S", *called, "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    ours = ["--tls", "--tls-authorities", province.file, "--tls-key", modality[0], "--tls-certificate", modality[1]]

    def store():
        run("echoscu", *secure(modality), *called, *place)
        run("storescu", *secure(modality), *called, *place, *files.paths)
        return f"{len(files.paths)} objects, both sides with certificates"

    context = ssl.create_default_context(cafile=str(province.file))
    context.load_cert_chain(modality[1], modality[0])
    wrapped = {"port": int(archive.tls), "tls_args": (context, "localhost")}

    def find():
        said = run("findscu", "-v", *secure(modality), *keys, "-k", "PatientName", *place)
        assert study in said, said[-300:]
        return "the study found"

    def get():
        fetched = got(archive, study, CT, **wrapped)
        wanted = {uid: interop_dimse.data_set(path) for uid, path in files.at.items()}
        assert fetched == wanted, f"{len(fetched)} of {len(wanted)}"
        return f"{len(fetched)} objects byte for byte"

    def move():
        with storescp("SECURE", "+xa", *map(str, secure(province.sign("viewer")))) as (port, folder):
            archive.run("destinations", "add", "SECURE", f"localhost:{port}", "--any", "--tls", "--data", archive.data)
            told = moved(archive, study, "SECURE", **wrapped)
            assert told[:3] == (0, len(files.paths), 0), told
            files.same(folder)
        return f"{told.completed} objects to a destination that wants our certificate"

    def user():
        with storescp("PEER", "+xa", *map(str, secure(province.sign("peer")))) as (port, got):
            called = [f"localhost:{port}", "--called", "PEER"]
            run(archive.program, "echo", *called, *ours)
            run(archive.program, "send", *called, *ours, *files.paths)
            files.same(got)
        with storescp("PEER", "+xa", *map(str, secure(other.sign("stranger")))) as (port, _):
            said = run(archive.program, "echo", f"localhost:{port}", "--called", "PEER", *ours, codes=(1,))
        return f"{len(files.paths)} objects; a stranger's certificate refused ({said.strip()[-90:]})"

    def refused():
        own = {
            "expired": secure(province.sign("old", expired=True)),
            "signed by itself": secure(province.sign("self", itself=True)),
            "of another authority": secure(other.sign("foreign")),
            "none": ["+tla", *trust],
        }
        for name, arguments in own.items():
            done = subprocess.run(["echoscu", *map(str, [*arguments, "-ta", "20", *called, *place])], capture_output=True)
            assert done.returncode != 0, f"a certificate {name} was taken"
        plain = subprocess.run(["echoscu", "-ta", "20", *called, *place], capture_output=True)
        assert plain.returncode != 0, "the TLS port speaks without TLS"
        return ", ".join(own) + ", and no TLS at all"

    return [
        ("C-ECHO, C-STORE over TLS, mutual", "DCMTK echoscu, storescu +tls", store),
        ("C-FIND over TLS, mutual", "DCMTK findscu +tls", find),
        ("C-GET over TLS, mutual", "pynetdicom", get),
        ("C-MOVE over TLS, mutual both ways", "pynetdicom, DCMTK storescp +tls", move),
        ("C-ECHO, C-STORE as user over TLS", "DCMTK storescp +tls", user),
        ("TLS, wrong certificates refused", "DCMTK echoscu +tls", refused),
    ]


class StudyFiles:
    """A drawn study as files, and whether a folder holds the same."""

    def __init__(self, folder, seed, count):
        folder.mkdir(parents=True)
        draw = random.Random(seed)
        uid = lambda: f"2.25.{draw.getrandbits(100) | 1 << 100}"
        self.study, self.paths, self.data = uid(), [], {}
        series = uid()
        for number in range(count):
            if number % 500 == 0:
                series = uid()
            instance, path = uid(), folder / f"{number:06}.dcm"
            one = Dataset()
            one.SOPClassUID, one.SOPInstanceUID, one.Modality = CT, instance, "CT"
            one.StudyInstanceUID, one.SeriesInstanceUID, one.InstanceNumber = self.study, series, number + 1
            one.StudyDate, one.PatientID, one.PatientName = "20260115", f"BN{seed:06}", "Nguyen^Van A"
            one.Rows = one.Columns = 16
            one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
            one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
            one.PixelData = bytes(value & 15 if at % 2 else value for at, value in enumerate(draw.randbytes(512)))
            one.file_meta = FileMetaDataset()
            one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            one.save_as(path, enforce_file_format=True)
            self.paths.append(path)
            self.data[instance] = path.stat().st_size
        self.at = {uid: path for uid, path in zip(self.data, self.paths)}

    def same(self, folder):
        """Fails unless the folder holds every object with the same bytes of data set."""
        found = {path.name.partition(".")[2].removesuffix(".dcm"): path for path in pathlib.Path(folder).rglob("*") if path.is_file()}
        if set(found) != set(self.at):
            found = {path.name.removesuffix(".dcm"): path for path in found.values()}
        assert set(found) == set(self.at), f"{len(found)} files instead of {len(self.at)}"
        for uid, path in found.items():
            assert interop_dimse.data_set(path) == interop_dimse.data_set(self.at[uid]), f"{uid} differs"


def study_files(folder, seed, count):
    return StudyFiles(folder, seed, count)


def client(*arguments):
    return json.loads(run(sys.executable, HERE / "dimse_client.py", *arguments))


def part_later(options):
    def killed():
        with tempfile.TemporaryDirectory() as folder, Running(options.program) as archive:
            files = study_files(pathlib.Path(folder) / "study", options.seed, 1)
            run(archive.program, "send", archive.dicom, "--called", interop_dimse.TITLE, *files.paths)
            (instance,) = files.data
            asked = client("ask", archive.dicom, "1.2.77", CT, instance)
            assert asked["status"] == 0, asked
            archive.killed()
            heard = client("hear", archive.dicom)
            assert heard["reports"] == [{"event": 1, "transaction": "1.2.77"}], heard
        return "asked, archive killed, restarted: the report came"

    def called_back():
        """The asker is gone; it is a destination, down at first, and gets its report on a new association."""
        reports, port = [], free_port()

        def report(event):
            reports.append(str(event.event_information.TransactionUID))
            return 0x0000, None

        with tempfile.TemporaryDirectory() as folder, Running(options.program) as archive:
            archive.destination("CLIENT", port)
            files = study_files(pathlib.Path(folder) / "study", options.seed, 1)
            run(archive.program, "send", archive.dicom, "--called", interop_dimse.TITLE, *files.paths)
            (instance,) = files.data
            client("ask", archive.dicom, "1.2.78", CT, instance)
            archive.killed()
            ae = AE("CLIENT")
            ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
            server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)])
            try:
                until("the report", lambda: "1.2.78" in reports, 120)
            finally:
                server.shutdown()
        return "asked, archive killed, restarted: reported on an association of its own"

    return print_rows(
        [
            ("Storage commitment over a kill", "pynetdicom", killed),
            ("Storage commitment to a destination", "pynetdicom", called_back),
        ]
    )


def part_forward(options):
    with tempfile.TemporaryDirectory() as folder, Running(options.program, QUICK) as archive:
        files = study_files(pathlib.Path(folder) / "study", options.seed, 300)
        return print_rows(
            [
                ("Forwarding", "DCMTK storescp", lambda: check_forwarding(archive, files)),
                ("Instance availability as user", "pynetdicom", lambda: check_notice(archive, folder, options.seed)),
                ("Instance availability as provider", "pynetdicom", lambda: check_told(archive)),
            ]
        )


def check_forwarding(archive, files):
    down = Storescp("FORWARD", "+xa")
    down.kill()
    try:
        archive.destination("FORWARD", down.port)
        archive.command("forward", "rules", "add", "all", "--to", "FORWARD", "--any")
        run(archive.program, "send", archive.dicom, "--called", interop_dimse.TITLE, *files.paths)
        archive.killed()
        down.start()
        until("all are there", lambda: down.count() == len(files.paths), 120)
        waiting = lambda: json.loads(archive.command("forward", "list", "--json"))["destinations"][0]["waiting"]
        until("nothing waits", lambda: waiting() == 0)
        files.same(down.folder)
    finally:
        down.end()
        archive.command("forward", "rules", "remove", "all")
    return f"{len(files.paths)} objects byte for byte to one that was down, archive killed between"


def check_notice(archive, folder, seed):
    told, port = [], free_port()

    def create(event):
        told.append(event.attribute_list)
        return 0x0000, event.attribute_list

    ae = AE("HEARER")
    ae.add_supported_context(InstanceAvailabilityNotification)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_CREATE, create)])
    try:
        archive.destination("HEARER", port)
        archive.command("forward", "rules", "add", "tell", "--to", "HEARER", "--any", "--notice")
        files = study_files(pathlib.Path(folder) / "told", seed + 1, 25)
        run(archive.program, "send", archive.dicom, "--called", interop_dimse.TITLE, *files.paths)
        objects = lambda notice: [one for series in notice.ReferencedSeriesSequence for one in series.ReferencedSOPSequence]
        mine = lambda: [notice for notice in told if notice.StudyInstanceUID == files.study]
        until("all are told", lambda: any(len(objects(notice)) == 25 for notice in mine()))
        whole = next(notice for notice in mine() if len(objects(notice)) == 25)
        assert {one.ReferencedSOPInstanceUID for one in objects(whole)} == set(files.data), "other objects"
        assert {one.InstanceAvailability for one in objects(whole)} == {"ONLINE"}, "not online"
        assert {one.RetrieveAETitle for one in objects(whole)} == {interop_dimse.TITLE}, "another title"
    finally:
        archive.command("forward", "rules", "remove", "tell")
        server.shutdown()
    return "a study of 25 told when it was complete"


def check_told(archive):
    told = client("tell", archive.dicom, "1.2.3.4")
    assert told["status"] == 0 and told["instance"].startswith("2.25."), told
    kept = json.loads(archive.command("forward", "notices", "--json"))["notices"]
    assert "1.2.3.4" in {notice["study"] for notice in kept}, kept
    return "kept and listed"


def part_steps(options):
    with Running(options.program) as archive:
        steps = interop_ups.rows(archive.address, archive.program, archive.data)
        right = print_rows([(f"UPS {service}", "pynetdicom", check) for service, check in steps])
    with Running(options.program) as archive:
        steps = interop_ups_rs.rows(archive.http, archive.dicom)
        named = lambda service: "requests, WebSocket" + (", pynetdicom" if "DIMSE" in service else "")
        return print_rows([(f"UPS-RS {service}", named(service), check) for service, check in steps]) and right


def part_worklist(options):
    with Running(options.program) as archive:
        return print_rows(interop_worklist.rows(archive))


@contextlib.contextmanager
def dcmqrscp(folder):
    """DCMTK's archive; gives its port."""
    port, store = free_port(), pathlib.Path(folder) / "store"
    store.mkdir()
    config = store.with_suffix(".cfg")
    config.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\nHostTable END\n"
        f"VendorTable BEGIN\nVendorTable END\nAETable BEGIN\nQRSCP {store} RW (400, 64mb) ANY\nAETable END\n"
    )
    running = subprocess.Popen(["dcmqrscp", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("dcmqrscp listens", lambda: listens(port))
        yield port
    finally:
        running.kill()
        running.wait()


def part_clients(options):
    with tempfile.TemporaryDirectory() as folder, dcmqrscp(folder) as port:
        files = study_files(pathlib.Path(folder) / "study", options.seed, 40)
        call = [f"127.0.0.1:{port}", "--called", "QRSCP"]

        def echo_and_send():
            run(options.program, "echo", *call)
            said = run(options.program, "send", *call, *files.paths)
            assert "40 sent" in said, said
            return "40 objects sent"

        def find():
            rows = run(options.program, "find", *call, "--json", f"StudyInstanceUID={files.study}", "PatientName")
            (row,) = [json.loads(line) for line in rows.splitlines() if line.startswith("{")]
            assert row["PatientName"] == "Nguyen^Van A", row
            key = [f"StudyInstanceUID={files.study}", "SeriesInstanceUID"]
            assert run(options.program, "find", *call, "--json", "--level", "series", *key).count("SeriesInstanceUID") == 1
            return "study and series"

        def get():
            into = pathlib.Path(folder) / "got"
            run(options.program, "get", *call, "--study", files.study, "--into", into)
            files.same(into)
            return "40 objects byte for byte"

        return print_rows(
            [
                ("C-ECHO, C-STORE as user", "DCMTK dcmqrscp", echo_and_send),
                ("C-FIND as user", "DCMTK dcmqrscp", find),
                ("C-GET as user", "DCMTK dcmqrscp", get),
            ]
        )


Told = collections.namedtuple("Told", "status completed failed warning listed pending")


def associated(archive, contexts, port=None, **more):
    ae = AE("MOVER")
    ae.dimse_timeout = 600
    host, plain = archive.address
    association = ae.associate(host, port or plain, ae_title=interop_dimse.TITLE, contexts=contexts, **more)
    assert association.is_established, "no association"
    return association


def of_study(study):
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study
    return identifier


def got(archive, study, sop_class, **more):
    """A C-GET by pynetdicom: transfer syntax and data set by SOP Instance UID."""
    received = {}

    def store(event):
        syntax, data = str(event.context.transfer_syntax), event.request.DataSet.getvalue()
        received[str(event.request.AffectedSOPInstanceUID)] = (syntax, data)
        return 0x0000

    model = StudyRootQueryRetrieveInformationModelGet
    contexts = [build_context(model), build_context(sop_class, pydicom.uid.ExplicitVRLittleEndian)]
    roles = [build_role(sop_class, scp_role=True, scu_role=True)]
    handlers = [(evt.EVT_C_STORE, store)]
    association = associated(archive, contexts, ext_neg=roles, evt_handlers=handlers, **more)
    *_, (final, _) = association.send_c_get(of_study(study), model)
    rested(association).release()
    assert final.Status == 0, f"{final}"
    return received


def moved(archive, study, destination, **more):
    """A C-MOVE by pynetdicom: the final answer, and every pending one must add up."""
    model = StudyRootQueryRetrieveInformationModelMove
    association = associated(archive, [build_context(model)], **more)
    pending, names = [], ("Completed", "Failed", "Warning", "Remaining")
    for status, failed in association.send_c_move(of_study(study), destination, model):
        counts = [status.get(f"NumberOf{name}Suboperations") for name in names]
        if status.Status in (0xFF00, 0xFF01):
            pending.append(counts)
    totals = {sum(counts) for counts in pending}
    assert len(totals) <= 1, f"pending answers add up to {totals}"
    done = [counts[0] + counts[1] + counts[2] for counts in pending]
    assert done == sorted(done), "a counter went back"
    listed = len(failed.get("FailedSOPInstanceUIDList") or []) if failed else 0
    rested(association).release()
    return Told(status.Status, *counts[:3], listed, len(pending))


def part_large(options):
    draw, total = random.Random(options.seed), options.objects
    with tempfile.TemporaryDirectory() as folder, Running(options.program) as archive:
        files = study_files(pathlib.Path(folder) / "study", options.seed, total)
        run(archive.program, "send", archive.dicom, "--called", interop_dimse.TITLE, files.paths[0].parent, limit=900)

        def whole():
            with storescp("LARGE", "+xa") as (port, got):
                archive.destination("LARGE", port)
                told = moved(archive, files.study, "LARGE")
                assert told[:5] == (0, total, 0, 0, 0), told
                files.same(got)
            return f"{total} completed, 0 failed, {told.pending} pending answers that add up, byte for byte"

        def killed(how):
            return check_killed(archive, files, draw.randrange(total // 10, total * 9 // 10), how)

        peer = "pynetdicom, DCMTK storescp"
        return print_rows(
            [
                (f"C-MOVE of {total} objects", peer, whole),
                ("the same, storescp killed midway and restarted at once", peer, lambda: killed("restarted")),
                ("the same, storescp killed midway and left down", peer, lambda: killed("down")),
            ]
        )


def check_killed(archive, files, after, how):
    """The destination is killed when it has so many; then the answer must be true, and the next move complete."""
    import threading

    total, peer = len(files.paths), Storescp("LARGE", "+xa")
    archive.destination("LARGE", peer.port)
    try:

        def kill():
            until("enough has arrived", lambda: peer.count() >= after, 300)
            peer.kill()
            if how == "restarted":
                peer.start()

        killing = threading.Thread(target=kill)
        killing.start()
        told = moved(archive, files.study, "LARGE")
        killing.join()
        held = peer.count()
        assert told.completed + told.failed == total and told.warning == 0, told
        assert told.listed == min(told.failed, 1_000), told
        assert told.completed <= held, f"{told.completed} told, {held} there"
        if how == "down":
            assert told.status == 0xB000 and told.failed > 0, told
            peer.start()
        else:
            assert told.status == (0xB000 if told.failed else 0), told
        again = moved(archive, files.study, "LARGE")
        assert again[:5] == (0, total, 0, 0, 0), again
        files.same(peer.folder)
    finally:
        peer.end()
    said = f"killed after {after}: {told.status:04X}, {told.completed} completed, {told.failed} failed, {held} there"
    return f"{said}; the retry: {again.completed} completed, byte for byte"


PARTS = {
    "retrieve": part_retrieve,
    "store": part_store,
    "tls": part_tls,
    "later": part_later,
    "forward": part_forward,
    "steps": part_steps,
    "worklist": part_worklist,
    "clients": part_clients,
    "large": part_large,
}


def table(options):
    """Prints the table; whether every row was right."""
    right = print_table(("service", "tool", "result"), [])
    for name in options.parts or PARTS:
        right &= PARTS[name](options)
    return right
