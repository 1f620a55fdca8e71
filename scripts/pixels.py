"""Samples of DICOM files as other software decodes them: pydicom with its plugins, DCMTK's and GDCM's converters.

Used by the tools that compare what the archive decodes and encodes. Values come as stored, no colour converted, unused
bits cut off; what nobody here decodes is None.
"""

import pathlib
import subprocess
import tempfile
import warnings
import zlib

import numpy as np
import pydicom
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array

warnings.simplefilter("ignore")

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
ENCAPSULATED = "1.2.840.10008.1.2.1.98"
# By tools, not by pydicom: JPEG that it has no permissively licensed plugin for.
BY_TOOL = [f"1.2.840.10008.1.2.4.{number}" for number in [*range(50, 71), 80, 81]]


def stored(dataset, values):
    """The stored bits of cells, signed where they are."""
    bits = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    high = int(dataset.get("HighBit", bits - 1))
    cells = np.asarray(values).astype(np.int64) >> (high + 1 - bits)
    cells &= (1 << bits) - 1
    if dataset.get("PixelRepresentation") == 1:
        cells[cells >= 1 << (bits - 1)] -= 1 << bits
    return cells


def by_hand(dataset, syntax):
    """Syntaxes that pydicom has no decoder for: each fragment holds the cells of a frame."""
    count = int(dataset.get("NumberOfFrames") or 1)
    frames = generate_frames(dataset.PixelData, number_of_frames=count)
    if syntax == DEFLATED_FRAMES:
        frames = (zlib.decompressobj(-15).decompress(frame) for frame in frames)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    pixels = dataset.Rows * dataset.Columns
    allocated = int(dataset.BitsAllocated)
    arrays = []
    for frame in frames:
        if allocated == 1:
            cells = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[: pixels * samples]
        else:
            cells = np.frombuffer(frame[: pixels * samples * allocated // 8], f"<u{allocated // 8}")
        if samples > 1 and dataset.get("PlanarConfiguration") == 1:
            cells = cells.reshape(samples, pixels).T
        arrays.append(cells.reshape(dataset.Rows, dataset.Columns, samples))
    return np.stack(arrays)


def shaped(dataset, values):
    """Frames, rows, columns, samples: always four dimensions."""
    samples = int(dataset.get("SamplesPerPixel") or 1)
    return np.asarray(values).reshape(-1, dataset.Rows, dataset.Columns, samples)


def converted(path, command):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "plain.dcm"
        done = subprocess.run([*command, str(path), str(out)], capture_output=True, timeout=300)
        if done.returncode != 0 or not out.exists():
            return None
        dataset = pydicom.dcmread(out, force=True)
        return shaped(dataset, stored(dataset, pixel_array(dataset, raw=True)))


def frames(path):
    """Every sample of a file by frame, row, column and sample, or None."""
    dataset = pydicom.dcmread(path, force=True)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    if "PixelData" not in dataset:
        return None
    try:
        if syntax in (DEFLATED_FRAMES, ENCAPSULATED):
            return shaped(dataset, stored(dataset, by_hand(dataset, syntax)))
        return shaped(dataset, stored(dataset, pixel_array(dataset, raw=True)))
    except Exception:  # noqa: BLE001  whatever a plugin throws: the tools are asked next
        pass
    if syntax not in BY_TOOL:
        return None
    for command in (["dcmdjpeg", "+cn"], ["dcmdjpls", "+cn"], ["gdcmconv", "--raw"]):
        try:
            found = converted(path, command)
        except Exception:  # noqa: BLE001
            found = None
        if found is not None:
            return found
    return None
