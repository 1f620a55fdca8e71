#!/usr/bin/env python3
"""Instances of a DICOMweb server in every transfer syntax it makes, sample by sample against other software.

    transcode_matrix.py BASE_URL LISTING [--rows FILE]

BASE_URL is a DICOMweb root that holds the files LISTING names, one path a line. Each is asked for by WADO-RS in every
target; what comes is decoded by pydicom, DCMTK or GDCM (scripts/pixels.py) and compared with what the same software
makes of the file, and every other attribute with the file's. Prints a Markdown table: transfer syntax and kind of pixels
by target, with how many files were equal. FILE carries rows from one run to the next. Exit code 1 when a sample or an
attribute differs, an answer is an error of the server, or what is decoded and encoded elsewhere is refused.
"""

import argparse
import collections
import concurrent.futures
import functools
import json
import pathlib
import sys
import tempfile
import urllib.error
import urllib.request
import warnings

import numpy as np
import pydicom

import pixels

warnings.simplefilter("ignore")

TARGETS = {
    "1.2.840.10008.1.2.1": "Explicit LE",
    "1.2.840.10008.1.2.1.99": "Deflated LE",
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
    "1.2.840.10008.1.2.4.202": "HTJ2K RPCL",
    "1.2.840.10008.1.2.8.1": "Deflated frames",
}
NATIVE = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in [*range(50, 57), *range(59, 65), 111]}
# What a change of form may change, and derived images that are left out with the syntax they were compressed in.
FORM = [0x00280004, 0x00280006, 0x00280100, 0x00280102, 0x00282110, 0x00282114, 0x00880200]
# Decoders of what is lossy round differently.
TOLERANCE = {**dict.fromkeys(LOSSY, 2), "1.2.840.10008.1.2.4.91": 1, "1.2.840.10008.1.2.4.203": 1}


def ask(base, dataset, syntax):
    path = f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
    request = urllib.request.Request(f"{base}/{path}", headers={"Accept": f"application/dicom; transfer-syntax={syntax}"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        try:
            return error.code, json.loads(error.read()).get("detail", "")
        except ValueError:
            return error.code, ""


def kind(dataset):
    """The pixels in a few words."""
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        return "floating point"
    if "PixelData" not in dataset:
        return "no pixels"
    sign = "signed " if dataset.get("PixelRepresentation") == 1 else ""
    colour = dataset.get("PhotometricInterpretation", "MONOCHROME2").replace("MONOCHROME1", "grey").replace("MONOCHROME2", "grey")
    frames = ", frames" if int(dataset.get("NumberOfFrames") or 1) > 1 else ""
    return f"{sign}{dataset.get('BitsStored', '?')} of {dataset.get('BitsAllocated', '?')} bits, {colour}{frames}"


def moved_overlays(before, after):
    """The elements of overlays that left the unused bits of the cells for Overlay Data, and what is wrong with one."""
    moved = set()
    for group in range(0x6000, 0x6020, 2):
        if (group, 0x0010) not in before or (group, 0x3000) in before or (group, 0x3000) not in after:
            continue
        if before.file_meta.TransferSyntaxUID not in NATIVE:
            return moved, f"overlay {group:04X} of encoded pixels was moved"
        order = ">" if before.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.2" else "<"
        cells = np.frombuffer(before.PixelData, f"{order}u{before.BitsAllocated // 8}")
        size = before[group, 0x0010].value * before[group, 0x0011].value
        bits = (cells[:size] >> before[group, 0x0102].value) & 1
        if not np.array_equal(np.unpackbits(np.frombuffer(after[group, 0x3000].value, np.uint8), bitorder="little")[:size], bits):
            return moved, f"the bits of overlay {group:04X} differ"
        if (after[group, 0x0100].value, after[group, 0x0102].value) != (1, 0):
            return moved, f"overlay {group:04X} still points into the cells"
        moved |= {(group << 16) | 0x0100, (group << 16) | 0x0102}
    return moved, None


def unlike(before, after):
    """The first attribute that differs and should not."""
    moved, wrong = moved_overlays(before, after)
    if wrong is not None:
        return wrong

    def kept(element):
        nested = element.VR == "SQ" and element.tag.is_private
        return element.tag not in FORM and element.tag.group != 0x7FE0 and element.tag.element != 0 and not nested

    def plain(element, swap=False):
        if element.VR == "SQ":
            return [{e.tag: str(plain(e)) for e in item if e.tag.element != 0} for item in element.value]
        # pydicom leaves the words of big endian look-up tables as they are.
        if swap and element.VR == "OW":
            return np.frombuffer(element.value, ">u2").astype("<u2").tobytes()
        return element.value

    big = before.file_meta.get("TransferSyntaxUID") == "1.2.840.10008.1.2.2"
    found = {element.tag: plain(element) for element in after}
    for element in before:
        # What a file in big endian calls UN, pydicom reads as big endian numbers where it knows the element.
        if not kept(element) or (big and element.tag.is_private) or int(element.tag) in moved:
            continue
        if element.tag not in found:
            return f"{element.tag} is missing"
        if str(found[element.tag]) != str(plain(element, big)):
            return f"{element.tag} differs"
    return None


def compared(path, dataset, stored, expected, body, syntax):
    """Equal, or what is not."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(body)
        file.flush()
        after = pydicom.dcmread(file.name, force=True)
        if str(after.file_meta.TransferSyntaxUID) != syntax:
            return f"it comes in {after.file_meta.TransferSyntaxUID}"
        if after.SOPInstanceUID != dataset.SOPInstanceUID:
            return "another SOP Instance UID"
        if (wrong := unlike(dataset, after)) is not None:
            return wrong
        if stored in LOSSY and after.get("LossyImageCompression") != "01":
            return "lossy pixels are not labelled"
        if expected is None:
            return "equal" if "PixelData" not in dataset else "no peer"
        found = pixels.frames(file.name)
    if found is None:
        return "no peer decodes it"
    if found.shape != expected.shape:
        return f"{found.shape} samples in place of {expected.shape}"
    most = int(np.abs(found - expected).max())
    return "equal" if most <= TOLERANCE.get(stored, 0) else f"samples differ by up to {most}"


def rows_of(base, path):
    """What became of one file in every target."""
    rows = []
    dataset = pydicom.dcmread(path, force=True)
    stored = str(dataset.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    expected = pixels.frames(path)
    for syntax in TARGETS:
        status, body = ask(base, dataset, syntax)
        said = f"{status} {body}" if status != 200 else None
        if status == 200 and syntax != stored:
            said = compared(path, dataset, stored, expected, body, syntax)
        elif status == 200:
            said = "stored"
        rows.append({"file": str(path), "stored": stored, "kind": kind(dataset), "target": syntax, "said": said})
    return rows


def name(stored):
    return f"{pydicom.uid.UID(stored).name.split(' (')[0]} `{stored}`"


def cell(said):
    """A cell: how many files were equal, stored so, refused, or without another decoder."""
    counts = collections.Counter("406" if one.startswith("406") else one for one in said)
    words = {"equal": "equal", "stored": "as stored", "406": "406", "no peer": "no peer"}
    return ", ".join(f"{count} {words[what]}" for what, count in counts.items() if what in words) or "wrong"


def table(rows):
    grouped = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in rows:
        grouped[(row["stored"], row["kind"])][row["target"]].append(row["said"])
    print(f"| stored | pixels | {' | '.join(TARGETS.values())} |")
    print("|---|---|" + "---|" * len(TARGETS))
    for (stored, what), cells in sorted(grouped.items()):
        print(f"| {name(stored)} | {what} | {' | '.join(cell(cells[target]) for target in TARGETS)} |")
    refused = collections.Counter()
    for row in rows:
        if row["said"].startswith("406"):
            refused[(row["said"][4:].split(";")[0].strip(), row["kind"])] += 1
    if refused:
        print("\nRefused:\n")
        for (why, what), count in sorted(refused.items()):
            print(f"- {what}: {why} ({count})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("listing", type=pathlib.Path)
    parser.add_argument("--rows", type=pathlib.Path)
    wanted = parser.parse_args()
    rows = []
    if wanted.rows and wanted.rows.exists():
        rows = json.loads(wanted.rows.read_text())
    new = []
    paths = map(pathlib.Path, wanted.listing.read_text().splitlines())
    with concurrent.futures.ProcessPoolExecutor() as workers:
        for of_one in workers.map(functools.partial(rows_of, wanted.base.rstrip("/")), paths):
            new.extend(of_one)
    rows += new
    if wanted.rows:
        wanted.rows.write_text(json.dumps(rows))
    table(rows)
    fine = ("equal", "stored", "no peer")
    wrong = [row for row in new if row["said"] not in fine and not row["said"].startswith("406")]
    # Uncompressed is what everything becomes that other software decodes.
    needless = [row for row in new if row["said"].startswith("406") and row["target"] == "1.2.840.10008.1.2.1"]
    needless = [row for row in needless if pixels.frames(row["file"]) is not None]
    for row in [*wrong, *needless]:
        print(f"WRONG {row['file']} ({row['stored']}) as {row['target']}: {row['said']}", file=sys.stderr)
    sys.exit(1 if wrong or needless else 0)


if __name__ == "__main__":
    main()
