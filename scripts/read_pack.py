#!/usr/bin/env python3
"""Reads a pack without the archive: lists it, checks every digest, extracts the DICOM files as they were received.

    read_pack.py PACK                    list the instances
    read_pack.py PACK --check            read everything and compare every CRC-32 and SHA-256
    read_pack.py PACK --extract FOLDER   the same, and write the files and series.json
    --key FILE                           for a sealed pack: its data key, 64 hexadecimal digits

Needs Python 3.9 and `zstandard`; for sealed packs also `cryptography`, and `blake3` to compare the second digest of
what came in since packs of version 2. Format: docs/FORMAT.md, Pack and Coding.
"""

import argparse
import array
import hashlib
import hmac
import json
import pathlib
import sys
import tempfile
import zipfile

import zstandard


def unseal(sealed, key):
    """Opens the envelope: AES-256-GCM in chunks of 64 KiB, each followed by its tag."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    header, plain = sealed.read(64), tempfile.TemporaryFile()
    pseudorandom = hmac.new(header[32:64], key, hashlib.sha256).digest()
    cipher = AESGCM(hmac.new(pseudorandom, header + b"\1", hashlib.sha256).digest())
    number, chunk = 0, sealed.read(65552)
    while chunk:
        following = sealed.read(65552)
        nonce = bytes([not following, 0, 0, 0]) + number.to_bytes(8, "big")
        try:
            plain.write(cipher.decrypt(nonce, chunk, None))
        except InvalidTag:
            sys.exit("the envelope does not open: another key, or changed bytes")
        number, chunk = number + 1, following
    return plain


def expected(predictor, a, b, c, width):
    """What the neighbours left, above and above left suggest; 16 and 32 bits compare as signed numbers."""
    full = 1 << 8 * width
    half = full >> 1 if width > 1 else 0
    if predictor == 1:
        return a
    if predictor == 2:
        return b
    if predictor == 3:
        step = (b - a + half) % full - half if half else b - a
        return a + (step >> 1)
    if predictor == 5:
        low, high = sorted((a ^ half, b ^ half))
        c = min(max(c ^ half, low), high) ^ half
    return a + b - c


def restore(samples, columns, predictor, width):
    for at, folded in enumerate(samples):
        if at % columns == 0:
            guess = samples[at - columns] if at else 0
        elif at < columns:
            guess = samples[at - 1]
        else:
            guess = expected(predictor, samples[at - 1], samples[at - columns], samples[at - columns - 1], width)
        samples[at] = ((folded >> 1 ^ -(folded & 1)) + guess) % (1 << 8 * width)


def cells(coded):
    """The cells of a JPEG-LS codestream (pyjpegls); any other decoder of ISO 14495-1 gives the same."""
    import jpeg_ls  # Only where packs.compress had such packs written.

    decoded, _ = jpeg_ls.decode_buffer(bytes(coded[8:]))
    width, big_endian, bits, turned = coded[1] & 15, coded[1] & 16, coded[2], coded[3] & 16
    data = bytearray(decoded)
    if width == 2 and bits <= 8:
        data = bytearray(2 * len(decoded))
        data[::2] = decoded
    if turned:
        data[width - 1::width] = bytes(byte ^ 0x80 for byte in data[width - 1::width])
    if big_endian:
        data[::2], data[1::2] = data[1::2], data[::2]
    return bytes(data)


def decode(coded, length):
    """The bytes that a coded piece stands for."""
    if coded[0] == 1:
        return zstandard.ZstdDecompressor().decompress(coded[1:], length)
    if coded[0] == 3:
        return cells(coded)
    if coded[0] != 2:
        sys.exit(f"unknown form {coded[0]} of coded bytes")
    data = zstandard.ZstdDecompressor().decompress(coded[8:], length)
    width, big_endian, predictor, differences = coded[1] & 15, coded[1] & 16, coded[2] & 15, coded[2] & 16
    channels, columns = coded[3], int.from_bytes(coded[4:8], "little")
    plane = length // (columns * channels * width) * columns
    count = plane * channels
    little = bytearray(count * width)
    for byte in range(width):
        little[byte::width] = data[byte * count:(byte + 1) * count]
    samples = array.array({1: "B", 2: "H", 4: "I"}[width], bytes(little))
    if sys.byteorder == "big":
        samples.byteswap()
    planes = [samples[number * plane:(number + 1) * plane] for number in range(channels)]
    for channel in planes if predictor else []:
        restore(channel, columns, predictor, width)
    for channel in (planes[0], planes[2]) if differences else ():
        for at, middle in enumerate(planes[1]):
            channel[at] = (channel[at] + middle) % (1 << 8 * width)
    for number, channel in enumerate(planes):
        samples[number::channels] = channel
    if bool(big_endian) != (sys.byteorder == "big"):
        samples.byteswap()
    return samples.tobytes() + data[count * width:]


def is_digest(text, data):
    """Whether a digest is that of the data; BLAKE3, which Python lacks, is compared where `blake3` is installed."""
    kind, colon, digits = text.rpartition(":")
    if not colon:
        return hashlib.sha256(data).hexdigest() == digits
    try:
        import blake3
    except ImportError:
        # The SHA-256 of the whole file was compared: every byte is the one that was packed.
        if not hasattr(is_digest, "said"):
            is_digest.said = print("digests of data sets are not compared: `blake3` is missing", file=sys.stderr)
        return kind == "blake3"
    return kind == "blake3" and blake3.blake3(data).hexdigest() == digits


def file_of(pack, instance):
    """The file as it was received, every digest compared."""
    stored, at, data = pack.read(instance["name"]), 0, []
    for raw, length, _crc32c in instance["pieces"]:
        piece, at = stored[at:at + length], at + length
        data.append(piece if length == raw else decode(piece, raw))
    data = b"".join(data)
    received = instance["transfer_syntax"].encode() + b"\0" + data[instance["meta_len"]:]
    if hashlib.sha256(data).hexdigest() != instance["sha256"]:
        sys.exit(f"{instance['name']}: another SHA-256 than when it was packed")
    if not is_digest(instance["digest"], received):
        sys.exit(f"{instance['name']}: not the data set that was received")
    return data


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--extract", type=pathlib.Path)
    parser.add_argument("--key", type=pathlib.Path)
    options = parser.parse_args()
    file = open(options.pack, "rb")
    if options.key:
        file = unseal(file, bytes.fromhex(options.key.read_text().strip()))
    pack = zipfile.ZipFile(file)
    manifest = json.loads(pack.read("manifest.json"))
    if manifest["format"] != "khoanh pack" or manifest["version"] not in (1, 2):
        sys.exit("this is no pack of version 1 or 2")
    print(*(f"{name} {manifest[name]}" for name in ("facility", "study", "series", "part")), sep=", ")
    for instance in manifest["instances"]:
        print(f"{instance['sha256']} {instance['file_len']:>12} {instance['len']:>12} {instance['name']}")
        data = file_of(pack, instance) if options.check or options.extract else None
        if options.extract:
            options.extract.mkdir(parents=True, exist_ok=True)
            (options.extract / pathlib.Path(instance["name"].removesuffix(".khz")).name).write_bytes(data)
    series = zstandard.ZstdDecompressor().decompress(pack.read("series.json.zst"), manifest["series_json"]["raw"] or 1)
    if options.extract:
        options.extract.mkdir(parents=True, exist_ok=True)
        (options.extract / "series.json").write_bytes(series)


if __name__ == "__main__":
    try:
        main()
    except (zipfile.BadZipFile, zstandard.ZstdError) as error:
        sys.exit(f"the pack is damaged, or sealed and needs --key: {error}")
