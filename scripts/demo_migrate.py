#!/usr/bin/env python3
"""scripts/demo-migrate without its building: demo_migrate.py PROGRAM STUDIES SEED"""
import hashlib, io, json, os, random, re, signal, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

OBJECTS = 4
SAMPLES = 200
# dcmqrscp keeps at most 500 studies under one AE title, whatever its configuration says.
AREA = 400
DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
WAYS = "dcmqrscp/get dcmqrscp/move orthanc/get orthanc/move orthanc/web"
NAMES = ["Nguyễn^Văn An", "Trần^Thị Bình", "Lê^Hoàng Cường", "Phạm^Thu Dung", "Hoàng^Minh Đức"]
CLASSES = [("CT", "1.2.840.10008.5.1.4.1.1.2"), ("MR", "1.2.840.10008.5.1.4.1.1.4"), ("CR", "1.2.840.10008.5.1.4.1.1.1")]

program, wanted, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
steps = 0


def say(text):
    global steps
    steps += 1
    print(f"\n{steps:2}. {text}", flush=True)


def tell(text):
    print(f"    {text}", flush=True)


def need(holds, what):
    if not holds:
        sys.exit(f"not as it should be: {what}")


def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, holds, seconds=600):
    end = time.monotonic() + seconds
    while not holds():
        need(time.monotonic() < end, f"{what} did not come")
        time.sleep(0.02)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def uid(*path):
    digest = hashlib.sha256(repr((seed,) + path).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big') + 1}"


def data_set(file):
    """The bytes behind preamble and file meta information."""
    length = int.from_bytes(file[140:144], "little")
    need(file[128:132] == b"DICM" and file[132:136] == b"\2\0\0\0", "a file begins with its group length")
    return file[144 + length:]


def read(file):
    return pydicom.dcmread(io.BytesIO(file))


def draw(number, folder):
    """Writes the objects of one study; answers their SOP Instance UIDs with study, series and file."""
    rng = random.Random(f"{seed}/{number}")
    (modality, sop_class), name = rng.choice(CLASSES), rng.choice(NAMES)
    date = f"{rng.randrange(2015, 2026)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
    written = {}
    for at in range(OBJECTS):
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid(number, at)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(number), uid(number, "series", at // 2)
        ds.PatientName, ds.PatientID = name, f"{number % 700:06}"
        ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = date, "101500", str(number), f"A{number:07}"
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, at // 2, at
        ds.ReferringPhysicianName = ""
        ds.Rows = ds.Columns = 16 + 8 * rng.randrange(4)
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
        ds.PixelData = b"".join(rng.randrange(4096).to_bytes(2, "little") for _ in range(ds.Rows * ds.Columns))
        ds["PixelData"].VR = "OW"
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = rng.choice([ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        path = folder / f"{number:06}-{at}.dcm"
        ds.save_as(path, enforce_file_format=True)
        written[str(ds.SOPInstanceUID)] = (str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), path)
    return written


class Process:
    """A program, ended with the demonstration, and whatever it started (dcmqrscp forks for every association)."""
    all = []

    def __init__(self, arguments, log):
        self.child = subprocess.Popen(arguments, stdout=open(log, "ab"), stderr=subprocess.STDOUT,
                                      start_new_session=True)
        Process.all.append(self)

    def kill(self):
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()


def dcmqrscp(dir, ours):
    """One AE title for each folder of files."""
    port, titles = free(), [f"QRSCP{area}" for area in range(-(-wanted // AREA))]
    for title in titles:
        (dir / title).mkdir()
    areas = "".join(f"{title} {dir / title} RW ({AREA + 10}, 64mb) ANY\n" for title in titles)
    (dir / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\n"
        f"khoanh = (KHOANH, 127.0.0.1, {ours})\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{areas}AETable END\n")
    Process(["dcmqrscp", "-c", dir / "dcmqrscp.cfg"], dir / "dcmqrscp.log")
    until("dcmqrscp", lambda: listens(port), 60)
    return [(title, f"127.0.0.1:{port}", None) for title in titles]


def orthanc(dir, ours):
    port, http, store = free(), free(), dir / "orthanc"
    store.mkdir()
    (dir / "orthanc.json").write_text(json.dumps({
        "Name": "migration", "StorageDirectory": str(store), "IndexDirectory": str(store), "DicomAet": "ORTHANC",
        "DicomPort": port, "HttpPort": http, "Plugins": [DICOMWEB], "AuthenticationEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomModalities": {"khoanh": ["KHOANH", "127.0.0.1", ours]},
        "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True, "DicomCheckModalityHost": False, "OverwriteInstances": False}))
    Process(["/usr/sbin/Orthanc", dir / "orthanc.json"], dir / "orthanc.log")
    until("Orthanc", lambda: listens(port) and listens(http), 60)
    return [("ORTHANC", f"127.0.0.1:{port}", f"http://127.0.0.1:{http}/dicom-web")]


class Archive:
    """The archive that is filled; it keeps its port over its deaths."""

    def __init__(self, dir, ours):
        self.dir, self.ours, self.peak = dir, ours, 0
        dir.mkdir()
        self.start()

    def start(self):
        ready = self.dir / "ready"
        ready.write_bytes(b"")
        self.process = Process([program, "serve", "--data", self.dir / "data", "--dicom", f"127.0.0.1:{self.ours}",
                                "--http", "127.0.0.1:0"], ready)
        until("the archive", lambda: b'"ready"' in ready.read_bytes(), 60)
        self.http = "http://" + re.search(rb'"http":"([^"]*)"', ready.read_bytes()).group(1).decode()

    def get(self, path, accept="application/json"):
        request = urllib.request.Request(self.http + path, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers, answer.read()

    def holds(self):
        status = Path(f"/proc/{self.process.child.pid}/status").read_text()
        self.peak = max(self.peak, int(re.search(r"VmHWM:\s*(\d+)", status).group(1)))
        return json.loads(self.get("/api/stats")[1])["total"]["instances"]

    def instances(self):
        """Every SOP Instance UID by QIDO-RS, page by page."""
        found = set()
        while True:
            query = f"/dicom-web/instances?limit=1000&offset={len(found)}"
            rows = json.loads(self.get(query, "application/dicom+json")[1] or "[]")
            if not rows:
                return found
            found.update(row["00080018"]["Value"][0] for row in rows)

    def file(self, study, series, instance):
        headers, body = self.get(f"/dicom-web/studies/{study}/series/{series}/instances/{instance}",
                                 'multipart/related; type="application/dicom"; transfer-syntax=*')
        mark = re.search(r'boundary="?([^";]+)', headers["Content-Type"]).group(1).encode()
        return body.split(b"--" + mark, 1)[1].split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--" + mark, 1)[0]


def migrate(archive, peer, way, log, more=()):
    title, address, root = peer
    source = [root] if way == "web" else [f"{title}@{address}", "--by", way]
    dates = ["--since", "2015-01-01", "--until", "2026-12-31", "--window-days", "30"]
    command = [program, "migrate", "--facility", "DEMO0", "--data", archive.dir / "data", *dates, *more, "--from", *source]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(log, "ab"))


def until_it_holds(point, archive, peers, way, log, more):
    """Copies one AE title after another; answers the command that runs when the archive holds so many objects."""
    for peer in peers:
        running = migrate(archive, peer, way, log, more)
        until(f"{point} objects", lambda: archive.holds() >= point or running.poll() is not None)
        if running.poll() != 0:
            break
    return running


def to_the_end(archive, peers, way, log):
    """Copies every AE title; answers the sum of their reports."""
    total = {}
    for peer in peers:
        running = migrate(archive, peer, way, log, ["--json"])
        out = running.communicate()[0]
        need(running.returncode == 0, f"the migration ended with {running.returncode}: {out.decode()}")
        for key, value in json.loads(out)["report"].items():
            if isinstance(value, int):
                total[key] = total.get(key, 0) + value
    return total


def show(dir, objects, total, name, ours, peers, rng):
    way = name.split("/")[1]
    archive = Archive(dir / name.replace("/", "-"), ours)
    begun, log = time.monotonic(), dir / "migrate.log"
    slow = ["--rate", f"{total // 8}B"] if len(objects) < 1000 else []
    for low, high in ((0.1, 0.45), (0.5, 0.9)):
        point = int(len(objects) * rng.uniform(low, high))
        running = until_it_holds(point, archive, peers, way, log, slow)
        archive.process.kill()
        running.wait()
        need(running.returncode != 0, "the command noticed the kill")
        archive.start()
        held = archive.holds()
        tell(f"killed beyond {point} objects; after the restart it holds {held}")
        need(held, log.read_text()[-1000:])
        need(point <= held < len(objects), "what was here is here, and it was killed on the way")
    report, seconds = to_the_end(archive, peers, way, log), time.monotonic() - begun
    tell(", ".join(f"{key} {report[key]}" for key in
                   ("studies", "finished_earlier", "found", "moved", "equal", "conflicts", "missing", "refused")))
    need(report["found"] == report["moved"] + report["equal"] == len(objects), "everything was found, and is here")
    need(report["missing"] == report["refused"] == report["conflicts"] == report["windows_not_done"] == 0, "no trouble")
    found = archive.instances()
    need(found == set(objects), f"the UIDs are equal: {len(found)} of {len(objects)}")
    some = rng.sample(sorted(objects), min(SAMPLES, len(objects)))
    in_bytes = 0
    for one in some:
        study, series, path = objects[one]
        sent, here = path.read_bytes(), archive.file(study, series, one)
        in_bytes += hashlib.sha256(data_set(sent)).digest() == hashlib.sha256(data_set(here)).digest()
        # DCMTK writes what it stores anew, and sends it in a syntax of its choice: the elements must be the same.
        need(read(sent) == read(here), f"the data set of {one} is equal")
    need(in_bytes == len(some) or name.startswith("dcmqrscp"), "the data sets are equal byte for byte")
    tell(f"{len(found)} SOP Instance UIDs equal; {len(some)} data sets equal, {in_bytes} of them byte for byte")
    tell(f"{seconds:.0f} s with both kills, most memory of the archive {archive.peak // 1024} MB")
    archive.process.kill()


def main(dir):
    rng = random.Random(seed)
    files, ours = dir / "files", free()
    files.mkdir()
    say(f"{wanted} studies of {OBJECTS} objects are made, seed {seed}")
    objects = {}
    for number in range(wanted):
        folder = files / f"{number // AREA:03}"
        folder.mkdir(exist_ok=True)
        objects.update(draw(number, folder))
    total = sum(path.stat().st_size for path in files.glob("*/*"))
    tell(f"{len(objects)} objects, {total / 1e6:.1f} MB")
    ways, peers = os.environ.get("WAYS", WAYS).split(), {}
    for name, start in (("dcmqrscp", dcmqrscp), ("orthanc", orthanc)):
        if not any(way.startswith(name) for way in ways):
            continue
        say(f"{name} starts and is filled")
        peers[name] = start(dir, ours)
        folders = sorted(files.iterdir()) if len(peers[name]) > 1 else [files]
        for (title, address, _), folder in zip(peers[name], folders, strict=True):
            sent = subprocess.run([program, "send", address, "--called", title, folder], capture_output=True, text=True)
            need(sent.returncode == 0, f"{name} takes everything: {sent.stderr[-500:]}")
            tell(sent.stdout.strip().splitlines()[-1])
    for way in ways:
        say(f"{way}: a fresh archive copies it, killed twice")
        show(dir, objects, total, way, ours, peers[way.split("/")[0]], rng)
    print("\nAll steps were as they should be.")


with tempfile.TemporaryDirectory() as folder:
    try:
        main(Path(folder))
    finally:
        for one in Process.all:
            one.kill()
