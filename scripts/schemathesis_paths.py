#!/usr/bin/env python3
"""The OpenAPI document of an archive with the paths of objects that it holds: schemathesis_paths.py URL STORED DELETED

STORED gets every operation on a study, a series or an instance, for one stored instance of each kind; DELETED gets DELETE
alone, for a few of them.
"""

import copy
import json
import sys
import urllib.parse
import urllib.request

base, stored, deleted = sys.argv[1:4]
# At most so many instances; of each SOP class and transfer syntax the first.
KINDS_MAX = 12
ENUMS = {"frames": ["1", "2", "1,2", "0", "1,1", "999999999"], "path": ["7FE00010", "00420011", "54000100/1/54001010", "60003000"]}


def get(path):
    request = urllib.request.Request(base + path, headers={"Accept": "application/dicom+json, application/json;q=0.9"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def value(row, tag):
    return row[tag]["Value"][0]


document = get("/api/openapi.json")
kinds = {}
for row in get("/dicom-web/instances?limit=1000&includefield=AvailableTransferSyntaxUID"):
    names = {"study": value(row, "0020000D"), "series": value(row, "0020000E"), "instance": value(row, "00080018")}
    kinds.setdefault(value(row, "00080016"), names)
chosen = list(kinds.values())
step = max(1, len(chosen) // KINDS_MAX)
chosen = chosen[::step][:KINDS_MAX]

with_stored, with_deleted = {}, {}
for path, methods in document["paths"].items():
    if "{study}" not in path or path.startswith("/facilities"):
        continue
    for number, names in enumerate(chosen if "{instance}" in path else chosen[::4]):
        full = path
        for name, uid in names.items():
            full = full.replace("{" + name + "}", urllib.parse.quote(uid))
        for method, operation in methods.items():
            own = copy.deepcopy(operation)
            own["operationId"] += str(number)
            own["parameters"] = [one for one in own["parameters"] if one["in"] != "path" or one["name"] not in names]
            for one in own["parameters"]:
                if one["in"] == "path" and one["name"] in ENUMS:
                    one["schema"]["enum"] = ENUMS[one["name"]]
            kept = with_deleted if method == "delete" else with_stored
            kept.setdefault(full, {})[method] = own
for file, paths in ((stored, with_stored), (deleted, with_deleted)):
    with open(file, "w") as out:
        json.dump({**document, "paths": paths}, out)
print(f"{len(chosen)} instances, {sum(map(len, with_stored.values()))} operations", file=sys.stderr)
