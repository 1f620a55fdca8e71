#!/usr/bin/env python3
"""Frames and rendered images of a DICOMweb server against pydicom and DCMTK, sample by sample, as a table.

    compare_pictures.py BASE_URL [--files FOLDER] [--store] [--strict] [NAME...]

BASE_URL is a DICOMweb root. For every file of FOLDER (default ../shared/dicom) the first and the last frame are asked for
twice. As uncompressed samples they are compared with what other software decodes (scripts/pixels.py). As PNG they are
compared with what pydicom's values come to by the formulas of PS3.3 and, where DCMTK's dcmj2pnm writes a picture, with
that one. The table has the largest difference of samples; of pictures the largest difference and the share of pixels
that differ by more than 1, from both; it ends with what was refused and why. With --store the files are stored first.

Exit code 1, with --strict, when a sample of a lossless file differs at all (of a lossy one by more than the rounding of
decoders), when a picture differs by more than 2 in more than 0.1 % of its pixels from pydicom's, or from DCMTK's but for
the files of DCMTK_DIFFERS, when DCMTK agrees with one of those, or when something is missing that pydicom decodes.

Needs pydicom with its decoders, numpy and Pillow (scripts/requirements.txt).
"""

import argparse
import csv
import io
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
import warnings
import zlib

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_color_lut, apply_voi_lut

import pixels
from transcode_matrix import NATIVE, TOLERANCE

warnings.simplefilter("ignore")
PAD = 0x00280120
DEFLATED = "1.2.840.10008.1.2.1.99"
PADDED = "pixel padding counts there as a value, and is shown"
# Where DCMTK shows another picture, and why ours, which is pydicom's, is meant.
DCMTK_DIFFERS = {
    "modality/mg/example-mg.dcm": "the attributes say RGB over a JFIF image, which is YCbCr",
    "modality/rt/RI6XDosiGap.dcm": "its window is narrower than 1, which is taken by LINEAR_EXACT here and not at all there",
    **dict.fromkeys([f"syntax/{name}.dcm" for name in ("CT1_UNC", "CT1_RLE", "CT1_JPLL", "MR3_UNC", "MR3_JPLY")], PADDED),
}
# Refused when it is stored: the lengths of its sequences contradict each other, and a UID comes out that is none.
NOT_STORED = ["structure/bad_sequence.dcm"]


def renamed(data, syntax, old, new):
    """A file under another SOP Instance UID of the same length, every other byte kept."""
    def put(text, tags):
        for tag in tags:
            for order in ("<", ">"):
                group, element = (struct.pack(order + "H", part) for part in (tag >> 16, tag & 0xFFFF))
                head = re.escape(group + element) + b"(?:UI..|....)" + re.escape(old)
                text = re.sub(head, lambda found: found[0][: -len(old)] + new, text, count=1, flags=re.S)
        return text

    if syntax != DEFLATED:
        return put(data, [0x00020003, 0x00080018])
    end = 144 + struct.unpack("<I", data[140:144])[0]
    body = put(zlib.decompress(data[end:], -15), [0x00080018])
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflate.compress(body) + deflate.flush()
    return put(data[:end], [0x00020003]) + body + bytes(len(body) % 2)


def samples(ds, syntax, body):
    """A frame's own samples, from the bytes of an uncompressed answer."""
    bits, count = int(ds.BitsAllocated), int(ds.Rows) * int(ds.Columns) * int(ds.get("SamplesPerPixel") or 1)
    if "PixelData" not in ds:
        return np.frombuffer(body, f"<f{bits // 8}")[:count].reshape(ds.Rows, ds.Columns, -1)
    if bits == 1:
        cells = np.unpackbits(np.frombuffer(body, np.uint8), bitorder="little")[:count]
    else:
        cells = np.frombuffer(body[: count * bits // 8], f"<u{bits // 8}")
    if syntax not in NATIVE:
        # Decoded: samples of a pixel together, in the lowest bits.
        ds.HighBit = int(ds.get("BitsStored") or bits) - 1
    elif ds.get("PlanarConfiguration") == 1 and int(ds.SamplesPerPixel) > 1:
        cells = cells.reshape(int(ds.SamplesPerPixel), -1).T
    return pixels.stored(ds, cells).reshape(ds.Rows, ds.Columns, -1)


def frame_differs(url, ds, syntax, theirs, frame):
    """The largest difference of a frame's samples, and whether that is wrong."""
    accept = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/frames/{frame + 1}", headers={"Accept": accept})) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        return f"{error.code}", theirs is not None
    if theirs is None:
        return "no peer", False
    ours = samples(ds, syntax, body)
    if ours.shape != theirs[frame].shape:
        return f"{ours.shape} for {theirs[frame].shape}", True
    if ours.dtype.kind == "f":
        same = np.array_equal(ours, theirs[frame], equal_nan=True)
        return "0" if same else "differs", not same
    most = int(np.abs(ours - theirs[frame]).max())
    return str(most), most > TOLERANCE.get(syntax, 0)


def decoded(path, ds):
    """Every sample as other software decodes them."""
    if "PixelData" not in ds:
        return ds.pixel_array.reshape(-1, ds.Rows, ds.Columns, 1)
    return pixels.frames(path)


def store(base, data):
    boundary = uuid.uuid4().hex
    body = b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n--%s--\r\n" % (boundary.encode(), data, boundary.encode())
    request = urllib.request.Request(f"{base}/studies", body, {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'})
    try:
        urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def group(ds, frame, name):
    """A functional group of a frame: its own, else the shared one."""
    for sequence, at in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = ds.get(sequence)
        if items and at < len(items) and items[at].get(name):
            return items[at].get(name)[0]
    return None


def grey(ds, values, frame):
    """Brightness by PS3.4 N.2: modality, VOI, polarity."""
    stored = values.astype(np.float64)
    transform = group(ds, frame, "PixelValueTransformationSequence") or ds
    angiography = str(ds.get("SOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.12.")
    keep = angiography and ds.get("PixelIntensityRelationship") in ("LOG", "DISP")
    if keep:
        real = stored
    elif ds.get("ModalityLUTSequence"):
        real = pydicom.pixels.apply_modality_lut(values, ds).astype(np.float64)
    else:
        real = stored * float(transform.get("RescaleSlope") or 1) + float(transform.get("RescaleIntercept") or 0)
    voi = group(ds, frame, "FrameVOILUTSequence") or ds
    padded = np.zeros(values.shape, bool)
    if PAD in ds and ds[PAD].value is not None:
        low = high = int(ds[PAD].value)
        limit = ds.get("PixelPaddingRangeLimit")
        if limit is not None:
            low, high = min(low, int(limit)), max(high, int(limit))
        padded = (values >= low) & (values <= high)
    if ds.get("VOILUTSequence"):
        item = ds.VOILUTSequence[0]
        bits = int(item.LUTDescriptor[2])
        share = apply_voi_lut(real.astype(np.int64), ds).astype(np.float64) / (2 ** bits - 1)
    elif voi.get("WindowCenter") not in (None, ""):
        first = lambda value: float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)
        center, width = first(voi.WindowCenter), first(voi.WindowWidth)
        kind = voi.get("VOILUTFunction") or "LINEAR"
        if kind == "SIGMOID":
            share = 1 / (1 + np.exp(-4 * (real - center) / width))
        elif kind == "LINEAR_EXACT" or width < 1:
            share = np.clip((real - center) / width + 0.5, 0, 1)
        elif width > 1:
            share = np.clip((real - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
        else:
            share = (real > center - 0.5).astype(np.float64)
    else:
        bits = int(ds.BitsStored)
        if bits <= 8:
            signed = int(ds.get("PixelRepresentation") or 0)
            ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2 ** bits - 1], np.float64)
            low, high = ends * float(transform.get("RescaleSlope") or 1) + float(transform.get("RescaleIntercept") or 0)
        else:
            low, high = real[~padded].min(), real[~padded].max()
        share = np.clip((real - low) / (high - low), 0, 1) if high > low else np.zeros(real.shape)
    if ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        share = 1 - share
    share[padded] = 0
    return np.clip(np.rint(share * 255), 0, 255).astype(np.uint8)


def reals(ds, values, frame):
    """Float and Double Float Pixel Data: by their window, else from the smallest to the largest number."""
    transform = group(ds, frame, "PixelValueTransformationSequence") or ds
    values = values.astype(np.float64) * float(transform.get("RescaleSlope") or 1)
    values += float(transform.get("RescaleIntercept") or 0)
    voi = group(ds, frame, "FrameVOILUTSequence") or ds
    low, high = np.nanmin(values), np.nanmax(values)
    if voi.get("WindowCenter") not in (None, ""):
        center, width = float(voi.WindowCenter), float(voi.WindowWidth)
        exact = voi.get("VOILUTFunction") == "LINEAR_EXACT" or width < 1
        middle, reach = (center, width) if exact else (center - 0.5, width - 1)
        low, high = middle - reach / 2, middle + reach / 2
    share = (values - low) / (high - low) if high > low else (values > low).astype(np.float64)
    return np.clip(np.rint(np.nan_to_num(share) * 255), 0, 255).astype(np.uint8)


def expected(ds, frame):
    values = ds.pixel_array
    if int(ds.get("NumberOfFrames") or 1) > 1:
        values = values[frame]
    if values.dtype.kind == "f":
        return reals(ds, values, frame)
    kind = ds.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        colours = apply_color_lut(values, ds)
        bits = int(ds.RedPaletteColorLookupTableDescriptor[2])
        return (colours >> 8 if bits > 8 and colours.max() > 255 else colours).astype(np.uint8)
    if int(ds.SamplesPerPixel) == 3:
        # pydicom gives RGB for every YBR by itself.
        bits = int(ds.BitsStored)
        return (values >> (bits - 8) if bits > 8 else values).astype(np.uint8)
    return grey(ds, values, frame)


def windows(ds, frame):
    """How DCMTK is asked for the window that counts, the likeliest way first."""
    voi, transform = group(ds, frame, "FrameVOILUTSequence"), group(ds, frame, "PixelValueTransformationSequence")
    if voi and voi.get("WindowCenter") is not None:
        # It reads no windows of functional groups, and shared transformations only: else the window in stored values.
        own = ds.get("PerFrameFunctionalGroupsSequence") or [{}]
        own = transform if "PixelValueTransformationSequence" in own[min(frame, len(own) - 1)] else {}
        slope, intercept = float(own.get("RescaleSlope", 1)), float(own.get("RescaleIntercept", 0))
        first = lambda value: float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)
        return [["+Ww", f"{(first(voi.WindowCenter) - intercept) / slope:.6f}", f"{first(voi.WindowWidth) / slope:.6f}"]]
    # Bytes without a window are shown as they are, more bits, and single ones, by their range.
    bits = int(ds.BitsStored)
    return [["+Wi", "1"], ["+Wl", "1"], *([["+Wm"]] if bits > 8 or bits == 1 else []), []]


def dcmtk(path, ds, frame):
    with tempfile.NamedTemporaryFile(suffix=".pnm") as out:
        # dcmj2pnm reads JPEG, too.
        for more in windows(ds, frame) if "BitsStored" in ds else [[]]:
            call = ["dcmj2pnm", "-q", "+F", str(frame + 1), "-O", "-a", *more, path, out.name]
            try:
                done = subprocess.run(call, capture_output=True, timeout=60, check=False)
            except FileNotFoundError:
                return None
            if done.returncode == 0:
                return np.asarray(Image.open(out.name))
    return None


def differ(ours, theirs):
    if theirs is None:
        return "–", 0.0
    if theirs.ndim == 3 and ours.ndim == 2:
        theirs = theirs[..., 0]
    if ours.ndim == 3 and theirs.ndim == 2:
        theirs = np.repeat(theirs[..., None], 3, 2)
    if ours.shape != theirs.shape:
        return f"{theirs.shape}", 1.0
    gap = np.abs(ours.astype(int) - theirs.astype(int))
    return f"{gap.max()} / {(gap > 1).mean() * 100:.2f} %", float((gap > 2).mean())


class Compared:
    """What was found so far."""

    def __init__(self):
        self.pictures, self.frames, self.bad, self.refused = 0, 0, {}, []

    def wrong(self, name, what):
        self.bad.setdefault(name, []).append(what)

    def frame(self, name, url, ds, syntax, theirs, frame):
        text, wrong = frame_differs(url, ds, syntax, theirs, frame)
        self.frames += text.isdigit() and theirs is not None
        if wrong:
            self.wrong(name, f"frame {frame + 1}: {text}")
        return text

    def picture(self, name, url, ds, path, frame):
        """The cells of a rendered frame: against pydicom, against DCMTK."""
        try:
            theirs, why = expected(ds, frame), ""
        except Exception as error:  # pylint: disable=broad-except
            theirs, why = None, f"pydicom: {type(error).__name__}"
        request = urllib.request.Request(f"{url}/frames/{frame + 1}/rendered", headers={"Accept": "image/png"})
        try:
            ours = np.asarray(Image.open(io.BytesIO(urllib.request.urlopen(request).read())))
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:200].split('"detail":"')[-1].split('"')[0]
            self.refused.append(f"- `{name}`, frame {frame + 1}: {error.code} {detail}")
            if theirs is not None:
                self.wrong(name, f"picture {frame + 1}: {error.code}")
            return f"{error.code}", why
        self.pictures += 1
        text, share = differ(ours, theirs)
        if theirs is not None and share > 0.001:
            self.wrong(name, f"picture {frame + 1}: {text}")
        other, share = differ(ours, dcmtk(path, ds, frame))
        if other != "–" and (share > 0.001) != (name in DCMTK_DIFFERS):
            self.wrong(name, f"picture {frame + 1}, DCMTK: {other}")
        return why or text, other


def prepared(options, folder):
    """Every file with a picture, stored where that is asked, as name, data set, path."""
    with open(folder / "INDEX.csv", newline="", encoding="utf-8") as index:
        rows = [row for row in csv.DictReader(index) if row["rows_x_cols"] and not row["file"].startswith("bad/")]
    taken = set()
    for row in rows:
        name = row["file"]
        if name in NOT_STORED or options.names and not any(part in name for part in options.names):
            continue
        data = (folder / name).read_bytes()
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        if "SOPInstanceUID" not in ds:
            continue
        # Some files of the corpus share their UID: all but the first get one of their own.
        if ds.SOPInstanceUID in taken:
            old = str(ds.SOPInstanceUID).encode()
            new = (b"2.25." + str(int(row["sha256"], 16)).encode())[:len(old)]
            data = renamed(data, str(ds.file_meta.get("TransferSyntaxUID", "")), old, new)
            ds = pydicom.dcmread(io.BytesIO(data), force=True)
        taken.add(ds.SOPInstanceUID)
        if options.store and (status := store(options.base, data)) != 200:
            print(f"| {name} | | | not stored: {status} | | |")
        if any(element in ds for element in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            yield name, ds, str(folder / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("--files", default=str(pathlib.Path(__file__).resolve().parents[2] / "shared/dicom"))
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    found = Compared()
    print("| file | transfer syntax | frame | samples | largest difference / pixels off by more than 1: pydicom | DCMTK |")
    print("|---|---|---|---|---|---|")
    for name, ds, path in prepared(options, pathlib.Path(options.files)):
        syntax, frames = str(ds.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2")), int(ds.get("NumberOfFrames") or 1)
        url = f"{options.base}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
        theirs = decoded(path, ds)
        for frame in sorted({0, frames - 1}):
            picture, other = found.picture(name, url, ds, path, frame)
            text = found.frame(name, url, pydicom.dcmread(path, force=True), syntax, theirs, frame)
            print(f"| {name} | {syntax} | {frame + 1} | {text} | {picture} | {other} |")
    print(f"\n{found.frames} frames and {found.pictures} pictures compared. Refused:\n")
    print("\n".join(found.refused or ["nothing"]))
    for name, what in sorted(found.bad.items()):
        print(f"{name}: {'; '.join(what)}", file=sys.stderr)
    print(f"{found.frames} frames and {found.pictures} pictures compared, {len(found.bad)} files off or missing", file=sys.stderr)
    return 1 if options.strict and (found.bad or not found.pictures) else 0


if __name__ == "__main__":
    sys.exit(main())
