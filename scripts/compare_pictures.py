#!/usr/bin/env python3
"""Rendered images of a DICOMweb server against pydicom and DCMTK, pixel by pixel, as a table.

    compare_pictures.py BASE_URL [--files FOLDER] [--store] [--strict] [NAME...]

BASE_URL is a DICOMweb root. For every file of FOLDER (default ../shared/dicom) that pydicom decodes, the first and the
last frame are asked for as PNG and compared with what pydicom's values come to by the formulas of PS3.3 and, where
DCMTK's dcm2pnm writes a picture, with that one. The table has the largest difference, and the share of pixels that
differ by more than 1, from both, and ends with what was refused and why. With --store the files are stored first. Exit code 1, with --strict, when a picture
differs from pydicom's by more than 2 in more than 0.1 % of its pixels, or is missing for pixels that pydicom decodes.

Needs pydicom with its decoders, numpy and Pillow (scripts/requirements.txt).
"""

import argparse
import csv
import io
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
import warnings

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_color_lut, apply_voi_lut

warnings.simplefilter("ignore")
PAD = 0x00280120


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


def dcmtk(path, frame):
    with tempfile.NamedTemporaryFile(suffix=".pnm") as out:
        # Windows of the image where it has any; dcmj2pnm reads JPEG, too.
        for more in (["+Wi", "1"], ["+Wl", "1"], ["+Wm"], []):
            call = ["dcmj2pnm", "-q", "+F", str(frame + 1), "-O", "-a", *more, path, out.name]
            try:
                done = subprocess.run(call, capture_output=True, timeout=60)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("--files", default=str(pathlib.Path(__file__).resolve().parents[2] / "shared/dicom"))
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    folder, bad, compared, refused = pathlib.Path(options.files), [], 0, []
    print("| file | transfer syntax | frame | largest difference / pixels off by more than 1: pydicom | DCMTK |")
    print("|---|---|---|---|---|")
    with open(folder / "INDEX.csv", newline="") as index:
        rows = [row for row in csv.DictReader(index) if row["rows_x_cols"] and not row["file"].startswith("bad/")]
    for row in rows:
        name = row["file"]
        if options.names and not any(part in name for part in options.names):
            continue
        data = (folder / name).read_bytes()
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        if "SOPInstanceUID" not in ds:
            continue
        # Some files of the corpus share their UID: each gets one of its own, as long as before.
        old = str(ds.SOPInstanceUID).encode()
        new = (b"2.25." + str(int(row["sha256"], 16)).encode())[:len(old)]
        data, ds.SOPInstanceUID = data.replace(old, new), (new if data.count(old) else old).decode()
        if options.store and store(options.base, data) not in (200, 202, 409):
            print(f"| {name} | | | not stored | |")
        if not any(name in ds for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            continue
        syntax = ds.file_meta.get("TransferSyntaxUID", "?")
        frames = int(ds.get("NumberOfFrames") or 1)
        for frame in sorted({0, frames - 1}):
            try:
                theirs = expected(ds, frame)
            except Exception as error:  # pylint: disable=broad-except
                theirs, why = None, f"{type(error).__name__}"
            url = f"{options.base}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
            request = urllib.request.Request(f"{url}/frames/{frame + 1}/rendered", headers={"Accept": "image/png"})
            try:
                ours = np.asarray(Image.open(io.BytesIO(urllib.request.urlopen(request).read())))
            except urllib.error.HTTPError as error:
                detail = error.read().decode(errors="replace")[:160].split('"detail":"')[-1].split('"')[0]
                print(f"| {name} | {syntax} | {frame + 1} | {error.code} {detail} | pydicom: {'yes' if theirs is not None else why} |")
                refused.append(f"- `{name}` ({syntax}), frame {frame + 1}: {error.code} {detail}")
                if theirs is not None:
                    bad.append(name)
                continue
            compared += 1
            text, share = differ(ours, theirs)
            if theirs is None:
                text = f"pydicom: {why}"
            elif share > 0.001:
                bad.append(name)
            print(f"| {name} | {syntax} | {frame + 1} | {text} | {differ(ours, dcmtk(str(folder / name), frame))[0]} |")
    print(f"\n{compared} pictures compared. Refused:\n")
    print("\n".join(refused or ["nothing"]))
    print(f"\n{compared} pictures compared, {len(set(bad))} files off or missing: {', '.join(sorted(set(bad)))}", file=sys.stderr)
    return 1 if options.strict and bad else 0


if __name__ == "__main__":
    sys.exit(main())
