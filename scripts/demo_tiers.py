#!/usr/bin/env python3
"""The clients of scripts/demo-tiers: a DICOMweb client that stores and compares, and an S3 client that deletes.

  demo_tiers.py store HTTP FOLDER NOTES      stores every file, notes where each can be read
  demo_tiers.py one HTTP NOTES               stores one more object: a noted one under a UID of its own
  demo_tiers.py compare HTTP NOTES           reads everything back and compares the data sets byte by byte
  demo_tiers.py sums NOTES FOLDER            every extracted file must be one that was sent, by SHA-256
  demo_tiers.py fetch JSON PREFIX PACK FILE  gets the object of a pack
  demo_tiers.py flip FOLDER COUNT SEED       flips one bit in each of so many files, prints how many there were
  demo_tiers.py delete-locked JSON PREFIX    tries to delete a locked version; fails unless that is refused

Standard library only. It prints numbers and paths, never what is in a file.
"""
import hashlib, hmac, json, os, random, re, sys, time, urllib.error, urllib.parse, urllib.request

EXPLICIT = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN"}


def meta_end(file):
    """Where the data set begins: behind preamble and file meta information."""
    at = 132 if file[128:132] == b"DICM" else 0
    while file[at:at + 2] == b"\x02\x00":
        long = file[at + 4:at + 6] in EXPLICIT
        length = int.from_bytes(file[at + 8:at + 12] if long else file[at + 6:at + 8], "little")
        at += (12 if long else 8) + length
    return at


def ask(method, url, body=None, headers=()):
    request = urllib.request.Request(url, body, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


def stow(http, file):
    """Stores one file; answers the path it can be read under, or None where it is refused."""
    mark = b"khoanh-demo-boundary"
    head = b"\r\n--" + mark + b"\r\nContent-Type: application/dicom\r\n\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=' + mark.decode()
    headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
    status, _, body = ask("POST", http + "/dicom-web/studies", head + file + b"\r\n--" + mark + b"--\r\n", headers)
    if status not in (200, 202):
        return None
    stored = json.loads(body).get("00081199", {}).get("Value", [])
    return urllib.parse.urlparse(stored[0]["00081190"]["Value"][0]).path if stored else None


def read(http, path):
    """The stored object under a path."""
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    status, told, body = ask("GET", http + path, None, headers)
    if status != 200:
        sys.exit(f"{path}: HTTP {status}")
    mark = re.search(r'boundary="?([^";]+)', told["Content-Type"]).group(1).encode()
    return body.split(b"--" + mark, 1)[1].split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--" + mark, 1)[0]


def store(http, folder, notes):
    noted, refused, again = {}, 0, 0
    for at, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            with open(os.path.join(at, name), "rb") as source:
                file = source.read()
            path = stow(http, file)
            if path is None:
                refused += 1
            elif path in noted:
                again += 1
            else:
                noted[path] = os.path.join(at, name)
    with open(notes, "w") as out:
        json.dump(noted, out)
    print(f"stored {len(noted)} objects; {again} files share a UID with another, {refused} are no objects to store")


def one(http, notes):
    with open(notes) as source:
        noted = json.load(source)
    for path, name in sorted(noted.items(), key=lambda row: os.path.getsize(row[1])):
        with open(name, "rb") as source:
            file = source.read()
        uid = path.rsplit("/", 1)[1].encode()
        other = uid[:-6] + b"%06d" % (int(time.time()) % 900000 + 100000)
        changed = file.replace(uid, other)
        if len(uid) < 12 or file.count(uid) < 1 or uid[-7:-6] == b".":
            continue
        path = stow(http, changed)
        if path and path not in noted and path.endswith(other.decode()):
            kept = notes + ".one"
            with open(kept, "wb") as out:
                out.write(changed)
            noted[path] = kept
            with open(notes, "w") as out:
                json.dump(noted, out)
            print("stored one more object")
            return
    sys.exit("no object could be stored under another UID")


def compare(http, notes):
    with open(notes) as source:
        noted = json.load(source)
    size = 0
    for path, name in noted.items():
        got = read(http, path)
        data_set = got[meta_end(got):]
        with open(name, "rb") as source:
            if not data_set or not source.read().endswith(data_set):
                sys.exit(f"{name} differs")
        size += len(data_set)
    print(f"read {len(noted)} objects, {size} bytes of data sets: every one equal to the last byte")


def sums(notes, folder):
    with open(notes) as source:
        sent = {hashlib.sha256(open(name, "rb").read()).hexdigest() for name in json.load(source).values()}
    names = [name for name in sorted(os.listdir(folder)) if name != "series.json"]
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
        if found not in sent:
            sys.exit(f"{name} is no file that was sent")
        print(f"{found}  {name}: as it was sent")
    if not names:
        sys.exit("nothing was extracted")


def flip(folder, count, seed):
    drawn = random.Random(int(seed))
    packs = sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    chosen = drawn.sample(packs, min(int(count), len(packs)))
    for path in chosen:
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:
            at = drawn.randrange(os.path.getsize(path))
            file.seek(at)
            byte = file.read(1)[0] ^ 1 << drawn.randrange(8)
            file.seek(at)
            file.write(bytes([byte]))
    print(len(chosen))


def s3(server, method, path, query=()):
    """One signed request without a body (Signature Version 4)."""
    quote = lambda text: urllib.parse.quote(text, safe="-_.~")
    empty, stamp = hashlib.sha256(b"").hexdigest(), time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{stamp[:8]}/{server['region']}/s3/aws4_request"
    asked = "&".join(f"{quote(key)}={quote(value)}" for key, value in sorted(query))
    headers = {"host": server["endpoint"].split("//")[1], "x-amz-content-sha256": empty, "x-amz-date": stamp}
    lines, names = "".join(f"{key}:{headers[key]}\n" for key in sorted(headers)), ";".join(sorted(headers))
    whole = hashlib.sha256(f"{method}\n{path}\n{asked}\n{lines}\n{names}\n{empty}".encode()).hexdigest()
    key = ("AWS4" + server["secret_key"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    sign = hmac.new(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{whole}".encode(), "sha256").hexdigest()
    who = f"AWS4-HMAC-SHA256 Credential={server['access_key']}/{scope}, SignedHeaders={names}, Signature={sign}"
    status, _, body = ask(method, f"{server['endpoint']}{path}?{asked}", None, {**headers, "authorization": who})
    return status, body


def versions(server, bucket, prefix):
    """Key and version of every object below a prefix, and how many marks of deletion there are."""
    found, markers, more = [], 0, []
    while True:
        asked = [("versions", ""), ("prefix", prefix), *more]
        status, body = s3(server, "GET", "/" + bucket, asked)
        if status != 200:
            sys.exit(f"the bucket is not listed: HTTP {status}")
        listing = body.decode()
        found += re.findall(r"<Version><Key>([^<]+)</Key><VersionId>([^<]+)</VersionId>", listing)
        markers += listing.count("<DeleteMarker>")
        key = re.search(r"<NextKeyMarker>([^<]+)</NextKeyMarker>", listing)
        version = re.search(r"<NextVersionIdMarker>([^<]+)</NextVersionIdMarker>", listing)
        if "<IsTruncated>true</IsTruncated>" not in listing or not key:
            return found, markers
        more = [("key-marker", key.group(1))] + ([("version-id-marker", version.group(1))] if version else [])


def fetch(server, prefix, pack, out):
    server = json.loads(server)
    keys = [key for key, _ in versions(server, server["bucket"], prefix + "/packs/")[0] if pack[:32] in key]
    if not keys:
        sys.exit("the pack is not in the bucket")
    status, body = s3(server, "GET", f"/{server['bucket']}/{keys[0]}")
    if status != 200:
        sys.exit(f"{keys[0]}: HTTP {status}")
    with open(out, "wb") as file:
        file.write(body)
    print(f"GET {keys[0]}: {len(body)} bytes")


def delete_locked(server, prefix):
    server = json.loads(server)
    found, _ = versions(server, server["bucket"], prefix + "/packs/")
    if not found:
        sys.exit("no version of a pack lies in the bucket")
    key, version = found[0]
    status, body = s3(server, "DELETE", f"/{server['bucket']}/{key}", [("versionId", version)])
    said = re.search(r"<Code>([^<]+)</Code>", body.decode())
    print(f"DELETE {key} version {version}: HTTP {status} {said.group(1) if said else ''}")
    if status in (200, 204):
        sys.exit("the locked version was deleted")


if __name__ == "__main__":
    commands = {"store": store, "one": one, "compare": compare, "delete-locked": delete_locked}
    commands |= {"sums": sums, "fetch": fetch, "flip": flip}
    commands[sys.argv[1]](*sys.argv[2:])
