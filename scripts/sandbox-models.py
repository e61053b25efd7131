#!/usr/bin/env python3
"""Extracts the API models the sandbox needs from botocore (PyPI, Apache-2.0).

Usage: pip install botocore && python3 scripts/sandbox-models.py

Reads src/sandbox/models/operations.txt ("service: Operation Operation ...") and writes one compact
src/sandbox/models/<service>.json each: the operations, the shapes reachable from them, and the paging
facts. Documentation is left out. The same botocore gives the same bytes.
"""

import gzip
import json
import pathlib
import re
import sys

import botocore

MODELS = pathlib.Path(__file__).resolve().parent.parent / "src" / "sandbox" / "models"
DATA = pathlib.Path(botocore.__file__).parent / "data"

METADATA = [
    "apiVersion", "awsQueryCompatible", "endpointPrefix", "jsonVersion", "protocol", "protocols",
    "serviceId", "signingName", "targetPrefix", "xmlNamespace",
]
SHAPE = [
    "type", "enum", "min", "max", "pattern", "required", "payload", "flattened", "locationName",
    "xmlNamespace", "timestampFormat", "event", "eventstream", "exception", "error", "union",
    "document", "streaming",
]
MEMBER = [
    "shape", "location", "locationName", "queryName", "flattened", "streaming", "xmlAttribute",
    "xmlNamespace", "timestampFormat", "jsonvalue", "idempotencyToken", "eventpayload", "eventheader",
    "eventstream",
]


def load(service, name):
    """The newest version of one of botocore's data files, or None."""
    versions = sorted((DATA / service).iterdir()) if (DATA / service).is_dir() else []
    for version in reversed(versions):
        for path in (version / f"{name}.json.gz", version / f"{name}.json"):
            if path.exists():
                raw = path.read_bytes()
                return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    return None


def pick(source, keys):
    return {key: source[key] for key in keys if key in source}


def route(model, operation):
    """An operation's method and URI, with the query parameters it requires."""
    uri = operation["http"]["requestUri"]
    if "input" in operation:
        shape = model["shapes"][operation["input"]["shape"]]
        for key in shape.get("required", []):
            member = shape["members"][key]
            if member.get("location") == "querystring":
                uri += ("&" if "?" in uri else "?") + member["locationName"]
    return f"{operation['http']['method']} {uri}"


def extract(service, wanted):
    model = load(service, "service-2")
    if model is None:
        sys.exit(f"{service}: botocore {botocore.__version__} has no such service")
    unknown = [name for name in wanted if name not in model["operations"]]
    if unknown:
        sys.exit(f"{service}: no such operations: {' '.join(unknown)}")
    paging = (load(service, "paginators-1") or {}).get("pagination", {})
    operations, pending = {}, []
    for name in sorted(set(wanted)):
        source = model["operations"][name]
        operation = {"http": source["http"]}
        for side in ("input", "output"):
            if side in source:
                operation[side] = pick(source[side], ["shape", "locationName", "resultWrapper", "xmlNamespace"])
                pending.append(source[side]["shape"])
        operation["errors"] = [error["shape"] for error in source.get("errors", [])]
        pending.extend(operation["errors"])
        if "httpChecksum" in source:
            operation["httpChecksum"] = source["httpChecksum"]
        if name in paging:
            operation["paging"] = {k: v for k, v in paging[name].items() if k != "non_aggregate_keys"}
        operations[name] = operation
    shapes = {}
    # An exception that no operation lists (for example a service's common ones) can still be answered.
    pending.extend(name for name, shape in model["shapes"].items() if shape.get("exception"))
    while pending:
        name = pending.pop()
        if name in shapes:
            continue
        source = model["shapes"][name]
        shape = pick(source, SHAPE)
        if "members" in source:
            shape["members"] = {key: pick(value, MEMBER) for key, value in source["members"].items()}
            pending.extend(value["shape"] for value in source["members"].values())
        for part in ("member", "key", "value"):
            if part in source:
                shape[part] = pick(source[part], MEMBER)
                pending.append(source[part]["shape"])
        shapes[name] = shape
    # What exists but is not simulated, so that a request for it is named and never mistaken for another.
    others = {
        name: route(model, source)
        for name, source in sorted(model["operations"].items())
        if name not in operations
    }
    return {
        "metadata": pick(model["metadata"], METADATA),
        "operations": operations,
        "others": others,
        "shapes": dict(sorted(shapes.items())),
    }


def main():
    text = (MODELS / "operations.txt").read_text()
    text = re.sub(r"#.*", "", text)
    wanted = {}
    for match in re.finditer(r"^([a-z0-9-]+):((?:[ \t]+\S+|\n[ \t]+\S+|\n)*)", text, re.M):
        wanted.setdefault(match.group(1), []).extend(match.group(2).split())
    for service, names in wanted.items():
        path = MODELS / f"{service}.json"
        path.write_text(json.dumps(extract(service, names), separators=(",", ":"), ensure_ascii=True) + "\n")
        print(f"{service}: {len(set(names))} operations, {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
