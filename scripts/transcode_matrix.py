#!/usr/bin/env python3
"""Instances of a DICOMweb server in every transfer syntax it makes, sample by sample against other software.

    transcode_matrix.py BASE_URL LISTING [--rows FILE]

BASE_URL is a DICOMweb root that holds the files LISTING names, one path a line. Each is asked for by WADO-RS in every
target; what comes is decoded by pydicom, DCMTK or GDCM (scripts/pixels.py) and compared with what the same software
makes of the file, and every other attribute with the file's. Targets that lose something have to stay within the bounds
that docs/CONFORMANCE.md states, and say of themselves what they are. Prints a Markdown table: transfer syntax and kind of
pixels by target, with how many files were equal or within the bound. FILE carries rows from one run to the next. Exit
code 1 when a sample or an attribute differs, an answer is an error of the server, or what is decoded and encoded
elsewhere is refused.
"""

import argparse
import collections
import concurrent.futures
import functools
import http.client
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
# What loses something, with its defined term.
LOSSY_TARGETS = {
    "1.2.840.10008.1.2.4.50": ("JPEG", "ISO_10918_1"),
    "1.2.840.10008.1.2.4.81": ("JPEG-LS near", "ISO_14495_1"),
    "1.2.840.10008.1.2.4.91": ("JPEG 2000 lossy", "ISO_15444_1"),
}
NAMES = TARGETS | {syntax: name for syntax, (name, _) in LOSSY_TARGETS.items()}
NATIVE = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in [*range(50, 57), *range(59, 65), 111]}
# What a change of form may change, and derived images that are left out with the syntax they were compressed in.
FORM = [0x00280004, 0x00280006, 0x00280100, 0x00280102, 0x00282110, 0x00282114, 0x00880200]
# What a compressed version has of its own: kind, instance, derivation, range of values, losses.
DERIVED = [0x00080008, 0x00080018, 0x00082111, 0x00082112, 0x00089215, 0x00280106, 0x00280107, 0x00282112]
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
    except http.client.HTTPException:
        return 0, "the answer broke off"


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


def unlike(before, after, form=FORM):
    """The first attribute that differs and should not."""
    moved, wrong = moved_overlays(before, after)
    if wrong is not None:
        return wrong

    def kept(element):
        nested = element.VR == "SQ" and element.tag.is_private
        return element.tag not in form and element.tag.group != 0x7FE0 and element.tag.element != 0 and not nested

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


def unlabelled(before, after, syntax):
    """What an image that was compressed with loss does not say of itself."""
    source = after.get("SourceImageSequence", [{}])[0].get("ReferencedSOPInstanceUID")
    code = after.get("DerivationCodeSequence", [{}])[0].get("CodeValue")
    kind = after.get("ImageType", [""])[0]
    said = (kind, source, code, after.get("LossyImageCompression"))
    if said != ("DERIVED", before.SOPInstanceUID, "113040", "01"):
        return f"it says {said}"
    if after.SOPInstanceUID == before.SOPInstanceUID or after.file_meta.MediaStorageSOPInstanceUID != after.SOPInstanceUID:
        return "the SOP Instance UID is not its own"
    losses = ("LossyImageCompressionMethod", "LossyImageCompressionRatio")
    methods, ratios = (np.atleast_1d(after.get(name, [])) for name in losses)
    if len(methods) == 0 or methods[-1] != LOSSY_TARGETS[syntax][1] or len(ratios) == 0:
        return f"methods {methods}, ratios {ratios}"
    return unlike(before, after, FORM + DERIVED)


def in_rgb(dataset, frames):
    """Luminance and colour differences as red, green and blue (PS3.3 C.7.6.3.1.2)."""
    if not dataset.get("PhotometricInterpretation", "").startswith("YBR_FULL"):
        return frames
    y, cb, cr = (frames[..., at].astype(float) - (0 if at == 0 else 128) for at in range(3))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.int64)


def near(before, after, expected, found, syntax):
    """Within the bound of a target that loses something, or by how much not; frame by frame."""
    if syntax == "1.2.840.10008.1.2.4.50" and expected.shape[-1] == 3:
        expected, found = in_rgb(before, expected), in_rgb(after, found)
    for one, other in zip(expected, found):
        error = np.abs(one - other)
        rms = float(np.sqrt((error.astype(float) ** 2).mean()))
        # Decoders round differently by one.
        bound = {"50": 8 + 1, "91": max(1.0, float(one.max() - one.min()) / 100) + 1}.get(syntax.rsplit(".", 1)[1])
        # At the ends of a signed range twice as much.
        if bound is None and error.max() > (4 if before.PixelRepresentation == 1 else 2):
            return f"samples differ by up to {error.max()}"
        if bound is not None and rms > bound:
            return f"the error is {rms:.1f}, at most {bound:.1f}"
    return "within"


def compared(path, dataset, stored, expected, body, syntax):
    """Equal, or what is not."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(body)
        file.flush()
        after = pydicom.dcmread(file.name, force=True)
        if str(after.file_meta.TransferSyntaxUID) != syntax:
            return f"it comes in {after.file_meta.TransferSyntaxUID}"
        if syntax in LOSSY_TARGETS:
            if (wrong := unlabelled(dataset, after, syntax)) is not None:
                return wrong
        elif after.SOPInstanceUID != dataset.SOPInstanceUID:
            return "another SOP Instance UID"
        elif (wrong := unlike(dataset, after)) is not None:
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
    if syntax in LOSSY_TARGETS:
        return near(dataset, after, expected, found, syntax)
    most = int(np.abs(found - expected).max())
    return "equal" if most <= TOLERANCE.get(stored, 0) else f"samples differ by up to {most}"


def rows_of(base, path):
    """What became of one file in every target."""
    rows = []
    dataset = pydicom.dcmread(path, force=True)
    stored = str(dataset.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    expected = pixels.frames(path)
    for syntax in NAMES:
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
    words = {"equal": "equal", "within": "within", "stored": "as stored", "406": "406", "no peer": "no peer"}
    return ", ".join(f"{count} {words[what]}" for what, count in counts.items() if what in words) or "wrong"


def table(rows):
    grouped = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in rows:
        grouped[(row["stored"], row["kind"])][row["target"]].append(row["said"])
    print(f"| stored | pixels | {' | '.join(NAMES.values())} |")
    print("|---|---|" + "---|" * len(NAMES))
    for (stored, what), cells in sorted(grouped.items()):
        print(f"| {name(stored)} | {what} | {' | '.join(cell(cells[target]) for target in NAMES)} |")
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
    fine = ("equal", "within", "stored", "no peer")
    wrong = [row for row in new if row["said"] not in fine and not row["said"].startswith("406")]
    # Uncompressed is what everything becomes that other software decodes.
    needless = [row for row in new if row["said"].startswith("406") and row["target"] == "1.2.840.10008.1.2.1"]
    needless = [row for row in needless if pixels.frames(row["file"]) is not None]
    for row in [*wrong, *needless]:
        print(f"WRONG {row['file']} ({row['stored']}) as {row['target']}: {row['said']}", file=sys.stderr)
    sys.exit(1 if wrong or needless else 0)


if __name__ == "__main__":
    main()
