#!/usr/bin/env python3
"""Checks proofs of the archive's ledger, offline, with nothing but Python.

    verify_proof.py [--trusted KEY] [--tombstone FILE] PROOF...

PROOF is a JSON document from `khoanh ledger prove` (docs/FORMAT.md, "Ledger"). KEY is the ledger's public key, got
from elsewhere than the proof: 64 hexadecimal digits or a PEM file (`openssl pkey -in KEYFILE -pubout`).
FILE is the tombstone of a destroyed study: its SHA-256 must be the seal in one of the proven entries.
Prints what was proven; exit 1 with the reason when anything does not hold.
Merkle proofs: RFC 9162, section 2.1. Ed25519: RFC 8032, section 5.1.7.
"""

import argparse
import base64
import datetime
import hashlib
import json
import os
import sys


class Refused(Exception):
    """Why a proof does not hold."""


def demand(holds, why):
    if not holds:
        raise Refused(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# Ed25519: the curve -x² + y² = 1 + d·x²·y² over 2^255 - 19, points as (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def point(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    demand(y < P, "a point of the signature or key is not on the curve")
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    demand((x * x - square) % P == 0 and not (x == 0 and sign), "a point of the signature or key is not on the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def add(one, two):
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % P, (one[1] + one[0]) * (two[1] + two[0]) % P
    c, d = 2 * one[3] * two[3] * D % P, 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, base):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, base)
        base, number = add(base, base), number >> 1
    return result


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed(key, message, signature):
    s = int.from_bytes(signature[32:], "little")
    demand(s < ORDER, "the signature's number is out of range")
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left, right = times(s, BASE), add(point(signature[:32]), times(challenge, point(key)))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def sides(at, last, path):
    """The siblings on the way from a leaf or subtree to the root, and whether each stands on the left."""
    for sibling in path:
        demand(last > 0, "the path is longer than the tree is high")
        yield sibling, at & 1 or at == last
        while at == last and not at & 1 and at:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    demand(last == 0, "the path is shorter than the tree is high")


def check_inclusion(index, size, leaf, path, root):
    demand(index < size, f"entry {index} cannot be in a tree of {size}")
    for sibling, is_left in sides(index, size - 1, path):
        leaf = sha256(b"\1", sibling, leaf) if is_left else sha256(b"\1", leaf, sibling)
    demand(leaf == root, "the entry and its path do not lead to the signed root")


def check_consistency(first, second, old_root, new_root, path):
    demand(first <= second, f"a ledger of {second} entries cannot continue one of {first}")
    if first in (0, second):
        expected = new_root if first == second else sha256()
        demand(not path and old_root == expected, "two heads of the same size, or of none, have different roots")
        return
    path = [old_root] * (first & (first - 1) == 0) + path
    demand(path, "the path is empty")
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling, is_left in sides(at, last, path[1:]):
        old = sha256(b"\1", sibling, old) if is_left else old
        new = sha256(b"\1", sibling, new) if is_left else sha256(b"\1", new, sibling)
    demand(old == old_root, "the path does not lead to the older signed root")
    demand(new == new_root, "the path does not lead to the newer signed root")


def unhex(text, length, what):
    digits = isinstance(text, str) and len(text) == 2 * length and set(text) <= set("0123456789abcdef")
    demand(digits, f"{what} is not {2 * length} hexadecimal digits")
    return bytes.fromhex(text)


def number(value, what):
    demand(type(value) is int and 0 <= value < 2**64, f"{what} is not a number")
    return value


def once(pairs):
    demand(len(dict(pairs)) == len(pairs), "a member stands twice in the document")
    return dict(pairs)


def check_head(head, key):
    """The head's size and root, after its signature was checked."""
    size, root = number(head["size"], "size"), unhex(head["root"], 32, "root")
    sequence, time = number(head["sequence"], "sequence"), number(head["time"], "time")
    text = (f"khoanh ledger head 1\nlog {sha256(key).hex()}\nsize {size}\nroot {root.hex()}\n"
            f"sequence {sequence}\ntime {time}\n")
    demand(signed(key, text.encode(), unhex(head["signature"], 64, "signature")), "the head's signature is wrong")
    when = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=time)
    return size, root, f"{size} entries, root {root.hex()}, signed {when:%Y-%m-%d %H:%M:%S} UTC"


def check(document, trusted):
    """Sentences that say what the document proves."""
    demand(isinstance(document, dict), "the document is not a JSON object")
    key = unhex(document["public_key"], 32, "public_key")
    demand(trusted in (None, key), f"it is signed by the key {key.hex()}, not by the trusted one")
    path = [unhex(step, 32, "a step of the path") for step in document["path"]]
    if document["format"] == "khoanh ledger inclusion 1":
        size, root, head = check_head(document["head"], key)
        index, entry = number(document["index"], "index"), document["entry"]
        demand(isinstance(entry, str), "the entry is not text")
        check_inclusion(index, size, sha256(b"\0", entry.encode()), path, root)
        return [f"PROVEN: entry {index} is in the ledger. / ĐÃ CHỨNG MINH: mục {index} có trong sổ cái.",
                f"  entry / mục: {printable(entry)}", f"  head / mốc ký: {head}"]
    demand(document["format"] == "khoanh ledger consistency 1", "the document is of an unknown format")
    first, old_root, old = check_head(document["first"], key)
    second, new_root, new = check_head(document["second"], key)
    check_consistency(first, second, old_root, new_root, path)
    return ["PROVEN: nothing under the older head was changed or removed up to the newer one.",
            "ĐÃ CHỨNG MINH: không mục nào dưới mốc ký cũ bị sửa hay xóa cho đến mốc ký mới.",
            f"  older head / mốc cũ: {old}", f"  newer head / mốc mới: {new}"]


def printable(text):
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def check_tombstone(raw, entries):
    """Sentences that say what was destroyed, when an entry holds the seal of this very text."""
    seal = sha256(raw).hex()
    proven = [json.loads(entry, object_pairs_hook=once) for entry in entries if seal in entry]
    holds = any(entry.get("event") == "study-destroyed" and entry.get("seal") == seal for entry in proven)
    demand(holds, f"no proven entry holds its seal {seal}: it was changed, or belongs to another proof")
    stone = json.loads(raw, object_pairs_hook=once)
    when = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=number(stone["destroyed_at"], "time"))
    study = printable(f"{stone['study']['facility']}/{stone['study']['study']}")
    return [f"PROVEN: this is the tombstone of study {study}, destroyed {when:%Y-%m-%d %H:%M:%S} UTC.",
            f"ĐÃ CHỨNG MINH: đây là dấu vết hủy của ca chụp {study}.",
            f"  tombstone / dấu vết hủy: {printable(raw.decode())}"]


def read_key(text):
    if os.path.exists(text):
        with open(text, encoding="ascii") as file:
            text = file.read().strip()
        if text.startswith("-----BEGIN PUBLIC KEY-----"):
            text = base64.b64decode("".join(text.splitlines()[1:-1])).hex()
            demand(text.startswith("302a300506032b6570032100"), "the PEM file holds no Ed25519 public key")
            text = text[24:]
    return unhex(text, 32, "the trusted key")


def main():
    parser = argparse.ArgumentParser(description="Check proofs of the ledger, offline.")
    parser.add_argument("--trusted", metavar="KEY", help="the ledger's public key: hexadecimal digits or a PEM file")
    parser.add_argument("--tombstone", metavar="FILE", action="append", default=[], help="a tombstone and its seal")
    parser.add_argument("proofs", nargs="+", metavar="PROOF")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")
    name = "--trusted"
    try:
        trusted, entries = None if options.trusted is None else read_key(options.trusted), []
        for name in options.proofs:
            with open(name, encoding="utf-8") as file:
                print("\n".join(check(document := json.load(file, object_pairs_hook=once), trusted)))
            entries.append(document.get("entry", ""))
            if trusted is None:
                print(f"  The proof brings its own key {document['public_key']}: pin it with --trusted.")
        for name in options.tombstone:
            with open(name, "rb") as file:
                print("\n".join(check_tombstone(file.read(), entries)))
    except (Refused, OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        why = f"missing {error}" if isinstance(error, KeyError) else error
        sys.exit(f"{name}: NOT PROVEN / KHÔNG CHỨNG MINH ĐƯỢC: {why}")


if __name__ == "__main__":
    main()
