#!/usr/bin/env python3
"""What scripts/demo-retention needs: synthetic studies, questions, and a search for what is left of one.

  demo_retention.py make FOLDER                     three studies of three patients: due, held, young
  demo_retention.py answers HTTP STUDY STATUS...    asks for a study in three ways; each must answer so
  demo_retention.py search found|nothing STUDY DATA BACKUP JSON PREFIX...
                                                    looks for name, number and pixels in every file below two folders
                                                    and in every version of every object, in packs and zstd frames,
                                                    too, and says where it looked and where each was found

Needs `zstandard`. Patients are drawn, never real.
"""
import collections, functools, io, json, os, random, sys, zipfile

import zstandard

import demo_tiers
import read_pack

ROWS, INSTANCES = 128, 3
CT, EXPLICIT_LITTLE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
FRAME, ZIP = b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
HEADS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src/store/journal/heads-1.dict")


def element(group, number, kind, value):
    value = value if isinstance(value, bytes) else value.encode()
    value += (b"\0" if kind in ("UI", "OB") else b" ") * (len(value) % 2)
    tag = group.to_bytes(2, "little") + number.to_bytes(2, "little") + kind.encode()
    long = kind in ("OB", "OW")
    return tag + (b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")) + value


def short(number):
    return number.to_bytes(2, "little")


def part10(uids, patient, date, number, pixels):
    study, series, instance = uids
    meta = element(2, 1, "OB", b"\0\1") + element(2, 2, "UI", CT) + element(2, 3, "UI", instance)
    meta += element(2, 0x10, "UI", EXPLICIT_LITTLE) + element(2, 0x12, "UI", "2.25.1")
    head = bytes(128) + b"DICM" + element(2, 0, "UL", len(meta).to_bytes(4, "little")) + meta
    rows = [(8, 5, "CS", "ISO_IR 192"), (8, 0x16, "UI", CT), (8, 0x18, "UI", instance), (8, 0x20, "DA", date),
            (8, 0x30, "TM", "101500"), (8, 0x50, "SH", ""), (8, 0x60, "CS", "CT"), (0x10, 0x10, "PN", patient["name"]),
            (0x10, 0x20, "LO", patient["id"]), (0x10, 0x30, "DA", "19500101"), (0x10, 0x40, "CS", "O"),
            (0x20, 0xD, "UI", study), (0x20, 0xE, "UI", series), (0x20, 0x10, "SH", ""), (0x20, 0x11, "IS", "1"),
            (0x20, 0x13, "IS", str(number)), (0x28, 2, "US", short(1)), (0x28, 4, "CS", "MONOCHROME2"),
            (0x28, 0x10, "US", short(ROWS)), (0x28, 0x11, "US", short(ROWS)), (0x28, 0x100, "US", short(16)),
            (0x28, 0x101, "US", short(12)), (0x28, 0x102, "US", short(11)), (0x28, 0x103, "US", short(0)),
            (0x7FE0, 0x10, "OW", pixels)]
    return head + b"".join(element(*row) for row in rows)


def make(folder):
    drawn = random.Random(2036)
    uid = lambda: f"2.25.{drawn.getrandbits(120)}"
    for which, year in (("due", 2001), ("held", 2002), ("young", 2024)):
        letters = "".join(drawn.choices("ABCDEGHKLMNPQRSTUVXY", k=12))
        patient = {"name": f"{letters}^{letters[::-1]}", "id": f"KHO{drawn.getrandbits(48):015d}"}
        study, series, needles = uid(), uid(), []
        os.makedirs(os.path.join(folder, which))
        for number in range(1, INSTANCES + 1):
            pixels = b"".join(short(drawn.getrandbits(12)) for _ in range(ROWS * ROWS))
            needles.append(pixels[9000:9032].hex())
            with open(os.path.join(folder, which, f"{number}.dcm"), "wb") as out:
                out.write(part10((study, series, uid()), patient, f"{year}0615", number, pixels))
        told = {"name": patient["name"].encode().hex(), "number": patient["id"].encode().hex()}
        told |= {f"pixels {number}": piece for number, piece in enumerate(needles, 1)}
        with open(os.path.join(folder, which, "needles"), "w") as out:
            json.dump(told, out)
        with open(os.path.join(folder, which, "uid"), "w") as out:
            out.write(study)


def answers(http, study, *wanted):
    with open(os.path.join(study, "uid")) as file:
        address = f"{http}/dicom-web/studies/{file.read()}"
    for way in ("", "/metadata", "/rendered"):
        status, _, _ = demo_tiers.ask("GET", address + way, None, {"Accept": "*/*"})
        print(f"GET the {os.path.basename(study)} study{way}: HTTP {status}")
        if str(status) not in wanted:
            sys.exit(f"expected {' or '.join(wanted)}")


def texts(body):
    """The bytes as they are, what every zstd frame among them holds, and every file of a pack."""
    yield body
    at = body.find(FRAME)
    while at >= 0:
        for reader in readers():
            try:
                yield reader.stream_reader(body[at:]).read(1 << 28)
            except zstandard.ZstdError:
                pass
        at = body.find(FRAME, at + 1)
    if body.startswith(ZIP):
        pack = zipfile.ZipFile(io.BytesIO(body))
        if "manifest.json" in pack.namelist():
            for instance in json.loads(pack.read("manifest.json"))["instances"]:
                yield read_pack.file_of(pack, instance)


@functools.cache
def readers():
    """Of frames without a dictionary, and of the heads of journal records."""
    with open(HEADS, "rb") as file:
        return zstandard.ZstdDecompressor(), zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(file.read()))


def bodies(data, backup, server, prefixes):
    """Where it is, in a word, its name, and what it holds."""
    for folder, word in ((data, None), (backup, "backup")):
        for at, _, names in os.walk(folder):
            part = os.path.relpath(at, folder).split(os.sep)[0]
            for name in names:
                try:
                    with open(os.path.join(at, name), "rb") as file:
                        yield word or (part if part != "." else "data"), os.path.join(at, name), file.read()
                except OSError:
                    pass  # it went meanwhile, or is a socket
    for prefix in prefixes:
        found, markers = demo_tiers.versions(server, server["plain_bucket"], prefix + "/")
        for key, version in found:
            status, body = demo_tiers.s3(server, "GET", f"/{server['plain_bucket']}/{key}", [("versionId", version)])
            if status != 200:
                sys.exit(f"{key}: HTTP {status}")
            yield f"versions under {prefix}/", key, body
        if markers:
            sys.exit(f"{markers} marks of deletion lie below {prefix}")


def listed(counts):
    return ", ".join(f"{where} {count}" for where, count in sorted(counts.items())) or "nowhere"


def search(wanted, study, data, backup, server, *prefixes):
    with open(os.path.join(study, "needles")) as file:
        needles = {name: bytes.fromhex(text) for name, text in json.load(file).items()}
    looked, found = collections.Counter(), {name: collections.Counter() for name in needles}
    for where, name, body in bodies(data, backup, json.loads(server), prefixes):
        looked[where] += 1
        read = list(texts(body))
        for needle in (one for one, needle in needles.items() if any(needle in text for text in read)):
            found[needle][where] += 1
            if wanted == "nothing":
                print(f"{needle} in {name}", file=sys.stderr)
    print(f"searched for the {os.path.basename(study)} study's data: {listed(looked)}")
    for needle, counts in found.items():
        print(f"  its {needle}: {listed(counts)}")
    if any(found.values()) if wanted == "nothing" else not all(found.values()):
        sys.exit(f"expected to find {'nothing' if wanted == 'nothing' else 'all of it'}")


if __name__ == "__main__":
    {"make": make, "answers": answers, "search": search}[sys.argv[1]](*sys.argv[2:])
