"""Other people's programs against a running archive, and the archive's answers against pydicom's reading.

    interop.py TOOL DICOM_ADDRESS HTTP_ADDRESS LIST

TOOL sends the files that LIST names (one path a line) into the archive: `storescu` and `dcmsend` (DCMTK),
`pynetdicom` or `dicomweb-client`; `none` sends nothing, the files are there already, byte for byte.
Then every file is retrieved and compared with what was sent: value by value where the tool re-encodes,
its metadata with pydicom's reading and each frame with pydicom's. Prints what differs; exit 1 if anything does.
"""

import base64
import io
import math
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import warnings

import pydicom
import pydicom.config
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRBigEndian

from associations import rested

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
# What a sending tool may change without changing a value.
REWRITTEN = {0xFFFCFFFC}


class Differences(list):
    def add(self, path, text):
        self.append(f"{path}: {text}")


def tag_path(path, tag):
    return f"{path}/{tag:08X}"


def numbers(values):
    out = []
    for value in values:
        text = str(value).strip(" \0")
        try:
            out.append(float(text))
        except ValueError:
            out.append(text)
    return out


def listed(value):
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (MultiValue, list, tuple)) else [value]


def same_number(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-6)
    return a == b


def name_text(value):
    groups = [group.rstrip("^ \0") for group in str(value).split("=")]
    return "=".join(groups).rstrip("=")


def plain_text(value):
    return str(value).strip(" \0")


def same_values(vr, ours, theirs):
    """Whether two values of one VR mean the same."""
    if isinstance(ours, bytes) or isinstance(theirs, bytes):
        ours = b"" if ours in (None, "") else ours
        theirs = b"" if theirs in (None, "") else theirs
        if not (isinstance(ours, bytes) and isinstance(theirs, bytes)):
            return False
        return ours.rstrip(b"\0 ") == theirs.rstrip(b"\0 ")
    ours, theirs = listed(ours), listed(theirs)
    if vr in ("DS", "IS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"):
        ours, theirs = numbers(ours), numbers(theirs)
        return len(ours) == len(theirs) and all(map(same_number, ours, theirs))
    clean = name_text if vr == "PN" else plain_text
    ours, theirs = [clean(v) for v in ours], [clean(v) for v in theirs]
    while ours and ours[-1] == "":
        ours.pop()
    while theirs and theirs[-1] == "":
        theirs.pop()
    return ours == theirs


def compare(sent, found, differences, path=""):
    """Every element of one data set with the other's, as pydicom reads both."""
    skip = lambda tag: tag in REWRITTEN or tag & 0xFFFF == 0 or tag >> 16 == 2
    ours = {int(tag) for tag in sent.keys() if not skip(int(tag))}
    theirs = {int(tag) for tag in found.keys() if not skip(int(tag))}
    for tag in sorted(ours ^ theirs):
        differences.add(tag_path(path, tag), "missing" if tag in ours else "added")
    for tag in sorted(ours & theirs):
        one, other = sent[tag], found[tag]
        here = tag_path(path, tag)
        if one.VR == "SQ" and other.VR == "SQ":
            if len(one.value) != len(other.value):
                differences.add(here, f"{len(one.value)} items sent, {len(other.value)} found")
            for number, (a, b) in enumerate(zip(one.value, other.value)):
                compare(a, b, differences, f"{here}[{number}]")
        elif not same_values(one.VR, little(sent, one.VR, one.value), little(found, other.VR, other.value)):
            differences.add(here, f"{one.VR} {str(one.value)[:60]!r} sent, {str(other.value)[:60]!r} found")


# Files whose SOP UIDs DCMTK 3.6.7 misreads (it announces others than the data set has) because of group lengths
# of another VR or elements of odd length in front.
DCMTK_MISREADS = {
    "CTImage.dcm_JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81.dcm",
    "CTImage.dcm_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm",
    "explicit_VR-UN.dcm",
}
# Where pydicom's reading is not the standard's, and why.
PYDICOM_WRONG = {
    # It does not take the designation of GB2312 in a name's second group (PS3.3 section K.2).
    ("chrGB2312.dcm", "metadata/00100010"),
}


class Reading:
    """One archive as its clients see it."""

    def __init__(self, http):
        self.http = http
        self.client = DICOMwebClient(f"http://{http}/dicom-web")
        self.client.set_http_retry_params(retry=False)

    def instance(self, ds):
        names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        path = "/dicom-web/studies/{}/series/{}/instances/{}".format(*names)
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        request = urllib.request.Request(f"http://{self.http}{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=60) as answer:
            boundary = answer.headers.get_param("boundary").encode()
            body = answer.read()
        part = body.split(b"--" + boundary, 1)[1].split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--" + boundary, 1)[0]
        # Files kept without preamble and meta, as sent, are files the client's own reading refuses.
        return pydicom.dcmread(io.BytesIO(part), force=True)

    def bulk(self, uri):
        # dicomweb-client sends its Host header without the port, and links in answers follow the Host header.
        path = urllib.parse.urlsplit(uri).path
        parts = self.client.retrieve_bulkdata(f"http://{self.http}{path}")
        return parts[0] if parts else b""

    def check_metadata(self, ds, differences):
        document = self.client.retrieve_instance_metadata(
            ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID
        )
        # The archive's own word on how the instance is stored, which is not in the file.
        stored = document.pop("00083002", {}).get("Value")
        if ds.file_meta.get("TransferSyntaxUID", stored[0] if stored else None) not in (stored or []):
            differences.add("metadata/00083002", f"{stored} is not the file's transfer syntax")
        ds.pop(0x00083002, None)
        self.check_json(ds, document, differences, "metadata")

    def check_json(self, ds, document, differences, path):
        read = {int(tag) for tag in ds.keys() if int(tag) & 0xFFFF and int(tag) >> 16 != 2}
        shown = {int(tag, 16) for tag in document}
        for tag in sorted(read ^ shown):
            differences.add(tag_path(path, tag), "not in the metadata" if tag in read else "only in the metadata")
        for tag in sorted(read & shown):
            entry, here = document[f"{tag:08X}"], tag_path(path, tag)
            if tag == 0x00080005:
                # The answer is UTF-8 whatever the file was (PS3.18 section F.2).
                if ds[tag].value and entry.get("Value") != ["ISO_IR 192"]:
                    differences.add(here, f"{entry} is not the answer's own character set")
                continue
            if path == "metadata" and tag in PIXELS:
                if ds[tag].value and "BulkDataURI" not in entry and "InlineBinary" not in entry:
                    differences.add(here, "no way to the pixels")
                continue
            self.check_entry(ds, tag, entry, differences, here)

    def check_entry(self, ds, tag, entry, differences, here):
        vr, raw = entry["vr"], ds.get_item(tag)
        if vr == "SQ":
            items, ours = entry.get("Value", []), ds[tag].value
            if ds[tag].VR != "SQ" or len(items) != len(ours):
                differences.add(here, f"{len(items)} items shown, pydicom reads {ds[tag].VR} of {len(ours)}")
                return
            for number, (item, shown) in enumerate(zip(ours, items)):
                self.check_json(item, shown or {}, differences, f"{here}[{number}]")
            return
        if "InlineBinary" in entry or "BulkDataURI" in entry:
            inline = entry.get("InlineBinary")
            bytes_shown = base64.b64decode(inline) if inline is not None else self.bulk(entry["BulkDataURI"])
            value = raw.value if isinstance(raw.value, bytes) else ds[tag].value
            value = value if isinstance(value, bytes) else plain_text(value).encode("utf-8")
            if little(ds, vr, value).rstrip(b"\0 ") != bytes_shown.rstrip(b"\0 "):
                differences.add(here, f"{vr} {value[:24]!r} read, {bytes_shown[:24]!r} shown")
            return
        shown = entry.get("Value", [])
        if vr == "UN" and not shown:
            return
        if vr == "PN":
            groups = lambda v: [v.get("Alphabetic", ""), v.get("Ideographic", ""), v.get("Phonetic", "")]
            shown = ["=".join(groups(v or {})).rstrip("=") for v in shown]
        shown = ["" if v is None else v for v in shown]
        if vr == "AT":
            shown = [int(v, 16) for v in shown]
            ours = [int(v) for v in listed(ds[tag].value)]
            if ours != shown:
                differences.add(here, f"{ours} read, {shown} shown")
            return
        if not same_values(vr, ds[tag].value, shown[0] if len(shown) == 1 else shown):
            differences.add(here, f"{vr} {str(ds[tag].value)[:60]!r} read, {str(shown)[:60]!r} shown")

    def check_frames(self, ds, differences):
        expected = frames(ds)
        for number, frame in enumerate(expected, start=1):
            if number > 40 and number != len(expected):
                continue
            shown = self.client.retrieve_instance_frames(
                ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, [number]
            )[0]
            if not same_frame(frame, shown):
                differences.add(f"frame {number}", f"{len(frame)} bytes read, {len(shown)} shown, or other bytes")
        if expected:
            try:
                beyond = self.client.retrieve_instance_frames(
                    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, [len(expected) + 1]
                )
                differences.add("frames", f"a frame beyond the last was answered with {len(beyond)} parts")
            except Exception as error:  # noqa: BLE001 - requests' errors differ by version
                if "404" not in str(error):
                    differences.add("frames", f"beyond the last: {error}")


def little(ds, vr, value):
    """Little-endian bytes of a value read from a big endian data set."""
    size = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}.get(vr, 1)
    if not isinstance(value, bytes) or ds.original_encoding[1] is not False or size == 1:
        return value
    return b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))


def same_frame(read, shown):
    """Equal but for the padding of the last fragment."""
    return read == shown or (abs(len(read) - len(shown)) == 1 and read.rstrip(b"\0") == shown.rstrip(b"\0"))


def frames(ds):
    """Every frame's bytes as pydicom splits them."""
    if "PixelData" not in ds:
        return []
    count = int(ds.get("NumberOfFrames") or 1)
    syntax = ds.file_meta.TransferSyntaxUID if "TransferSyntaxUID" in ds.file_meta else None
    native = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
    if syntax is not None and syntax not in native:
        if syntax in ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.107"):
            # A video is one stream, whatever Number of Frames says (PS3.5 section 8.2.5).
            return list(generate_frames(ds.PixelData, number_of_frames=1))
        extended = None
        if "ExtendedOffsetTable" in ds:
            extended = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths)
        return list(generate_frames(ds.PixelData, number_of_frames=count, extended_offsets=extended))
    bits = ds.Rows * ds.Columns * ds.get("SamplesPerPixel", 1) * ds.BitsAllocated
    if ds.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3
    pixels = ds.PixelData
    if syntax == ExplicitVRBigEndian and ds["PixelData"].VR == "OW":
        pixels = b"".join(pixels[at : at + 2][::-1] for at in range(0, len(pixels), 2))
    if bits % 8 == 0:
        size = bits // 8
        return [pixels[at * size : (at + 1) * size] for at in range(count)]
    return bit_frames(pixels, bits, count)


def bit_frames(pixels, bits, count):
    """Frames of a length that is no whole number of bytes, each moved to begin at its first byte's low bit."""
    whole = int.from_bytes(pixels, "little")
    mask = (1 << bits) - 1
    return [((whole >> (at * bits)) & mask).to_bytes((bits + 7) // 8, "little") for at in range(count)]


def read(path):
    ds = pydicom.dcmread(path, force=True)
    if not hasattr(ds, "file_meta") or "TransferSyntaxUID" not in ds.file_meta:
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    return ds


def send_dcmtk(tool, dicom, files):
    """DCMTK's senders, as they come: one call for files of one transfer syntax."""
    host, port = dicom.split(":")
    if tool == "dcmsend":
        run(["dcmsend", "-aec", "KHOANH", "--decompress-never", host, port, *files])
        return
    options = {
        "1.2.840.10008.1.2": "-xi", "1.2.840.10008.1.2.1": "-xe", "1.2.840.10008.1.2.2": "-xb",
        "1.2.840.10008.1.2.1.99": "-xd", "1.2.840.10008.1.2.4.50": "-xy", "1.2.840.10008.1.2.4.51": "-xx",
        "1.2.840.10008.1.2.4.70": "-xs", "1.2.840.10008.1.2.4.80": "-xt", "1.2.840.10008.1.2.4.81": "-xu",
        "1.2.840.10008.1.2.4.90": "-xv", "1.2.840.10008.1.2.4.91": "-xw", "1.2.840.10008.1.2.5": "-xr",
        "1.2.840.10008.1.2.4.100": "-xm",
    }
    groups = {}
    for path in files:
        groups.setdefault(options.get(read(path).file_meta.TransferSyntaxUID), []).append(path)
    for option, paths in groups.items():
        if option is not None:
            # It knows the SOP classes of its time: without -nh it stops at the first that is newer.
            run(["storescu", "-nh", "-R", "-aec", "KHOANH", option, host, port, *paths])


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{' '.join(command[:8])} ...: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        sys.exit(1)


def send_pynetdicom(dicom, files):
    from pynetdicom import AE

    host, port = dicom.split(":")
    run([sys.executable, "-m", "pynetdicom", "echoscu", host, port, "-aec", "KHOANH"])
    run([sys.executable, "-m", "pynetdicom", "storescu", host, port, files[0], "-aec", "KHOANH", "-cx"])
    for start in range(0, len(files), 40):
        chunk = [read(path) for path in files[start : start + 40]]
        ae = AE(ae_title="PYNETDICOM")
        ae.dimse_timeout = 120
        wanted = sorted({(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in chunk})
        for sop_class, syntax in wanted:
            ae.add_requested_context(sop_class, syntax)
        association = ae.associate(host, int(port), ae_title="KHOANH")
        assert association.is_established, "no association"
        for ds in chunk:
            ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            status = rested(association).send_c_store(ds)
            assert status and status.Status == 0x0000, f"{ds.filename}: {status}"
        rested(association).release()


def send_web(http, files):
    client = DICOMwebClient(f"http://{http}/dicom-web")
    for start in range(0, len(files), 20):
        chunk = []
        for path in files[start : start + 20]:
            ds = read(path)
            # The client writes whole files: it needs a file meta of its own making.
            ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            chunk.append(ds)
        answer = client.store_instances(chunk)
        assert "FailedSOPSequence" not in answer, answer
        assert len(answer.ReferencedSOPSequence) == len(chunk), answer


def check_searches(http, datasets):
    """dicomweb-client's search calls, unmodified."""
    client = DICOMwebClient(f"http://{http}/dicom-web")
    ds = datasets[0]
    value = lambda row, tag: row[tag]["Value"][0]
    studies = client.search_for_studies(search_filters={"StudyInstanceUID": ds.StudyInstanceUID})
    assert [value(row, "0020000D") for row in studies] == [ds.StudyInstanceUID], studies
    series = client.search_for_series(ds.StudyInstanceUID, search_filters={"SeriesInstanceUID": ds.SeriesInstanceUID})
    assert [value(row, "0020000E") for row in series] == [ds.SeriesInstanceUID], series
    instances = client.search_for_instances(search_filters={"SOPInstanceUID": ds.SOPInstanceUID})
    assert [value(row, "00080018") for row in instances] == [ds.SOPInstanceUID], instances
    every = client.search_for_instances(limit=5000, fields=["all"])
    assert len(every) == len({d.SOPInstanceUID for d in datasets}), f"{len(every)} of {len(datasets)} instances"
    paged = client.search_for_studies(limit=3, offset=2, fuzzymatching=True, fields=["StudyDescription"])
    assert len(paged) <= 3
    for row in client.search_for_studies(limit=5000):
        Dataset.from_json(row)
    metadata = client.retrieve_series_metadata(ds.StudyInstanceUID, ds.SeriesInstanceUID)
    assert ds.SOPInstanceUID in [value(row, "00080018") for row in metadata]
    assert len(client.retrieve_study_metadata(ds.StudyInstanceUID)) >= len(metadata)
    whole = client.retrieve_series(ds.StudyInstanceUID, ds.SeriesInstanceUID, media_types=(("application/dicom", "*"),))
    assert len(whole) == len(metadata)


def can_send(tool, path):
    """What a tool can send at all: some refuse files the archive takes. Each reason is the tool's own."""
    ds = read(path)
    syntax = ds.file_meta.TransferSyntaxUID
    if tool == "none":
        return True
    meta = ds.file_meta.get("MediaStorageSOPInstanceUID")
    if tool in ("storescu", "dcmsend"):
        # They announce the UIDs of the file meta, which are then not the data set's: refused by right.
        named = ds.file_meta.get("MediaStorageSOPClassUID") == ds.SOPClassUID and meta == ds.SOPInstanceUID
        if path.rsplit("/", 1)[-1] in DCMTK_MISREADS:
            return False
        if not named or b"DICM" != open(path, "rb").read(132)[128:]:
            return False
        if tool == "storescu" and not ds.SOPClassUID.startswith("1.2.840.10008."):
            return False
        # SOP classes and syntaxes DCMTK 3.6.7 does not know or does not read.
        dumped = subprocess.run(["dcmdump", "-q", path], capture_output=True).returncode == 0
        known = syntax in pydicom.uid.AllTransferSyntaxes and not str(syntax).startswith("1.2.840.10008.1.2.4.20")
        private = str(syntax) in ("1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.4.111")
        return dumped and known and not private
    try:
        pydicom.dcmwrite(io.BytesIO(), ds)
    except (ValueError, NotImplementedError):
        return False
    return True


def main():
    tool, dicom, http, listing = sys.argv[1:]
    files = [path for path in open(listing).read().splitlines() if path and can_send(tool, path)]
    if tool in ("storescu", "dcmsend"):
        send_dcmtk(tool, dicom, files)
    elif tool == "pynetdicom":
        send_pynetdicom(dicom, files)
    elif tool == "dicomweb-client":
        send_web(http, files)
    reading, failures, stored, skipped = Reading(http), 0, [], 0
    for path in files:
        started = time.time()
        ds, differences = read(path), Differences()
        try:
            found = reading.instance(ds)
        except Exception as error:  # noqa: BLE001
            if tool == "storescu" and "404" in str(error):
                skipped += 1  # no option of storescu proposes its syntax, or it does not know the SOP class
                continue
            differences.add("retrieve", repr(error))
        else:
            compare(ds, found, differences)
            if tool == "none":
                for check in (reading.check_metadata, reading.check_frames):
                    try:
                        check(read(path), differences)
                    except Exception as error:  # noqa: BLE001
                        differences.add(check.__name__, repr(error))
        name = path.rsplit("/", 1)[-1]
        differences = [line for line in differences if (name, line.split(":")[0]) not in PYDICOM_WRONG]
        stored.append(path)
        if time.time() - started > 5:
            print(f"{path}: took {time.time() - started:.0f} s")
        if differences:
            failures += 1
            print(f"{path}: {len(differences)} differences")
            for line in differences[:6]:
                print(f"    {line}")
    if stored and not failures:
        check_searches(http, [read(path) for path in stored])
    print(f"{tool}: {len(stored)} files compared, {failures} differ, {skipped} not sent")
    sys.exit(1 if failures or not stored or skipped > 20 else 0)


if __name__ == "__main__":
    main()
