"""The list of what is in the program, in the form of CycloneDX 1.5 (JSON)."""

import json
import re
import time

import notices


def checksums():
    """Of each crate, its SHA-256 in the lock file."""
    lock = (notices.ROOT / "Cargo.lock").read_text()
    entry = r'name = "(.+)"\nversion = "(.+)"\n(?:source = ".+"\n)?checksum = "(.+)"'
    return {(name, version): checksum for name, version, checksum in re.findall(entry, lock)}


def purl(name, version):
    return f"pkg:cargo/{name}@{version.replace('+', '%2B')}"


def component(crate, sums):
    found = {
        "type": "library",
        "bom-ref": purl(crate["name"], crate["version"]),
        "name": crate["name"],
        "version": crate["version"],
        "purl": purl(crate["name"], crate["version"]),
    }
    if crate["license"]:
        # Of old, `/` is written for OR.
        found["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", crate["license"])}]
    if checksum := sums.get((crate["name"], crate["version"])):
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if crate["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": crate["repository"]}]
    return found


def text(version, epoch):
    program = {
        "type": "application",
        "bom-ref": purl("sessionlake", version),
        "name": "sessionlake",
        "version": version,
        "licenses": [{"expression": "Apache-2.0"}],
    }
    sums = checksums()
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "component": program,
        },
        "components": [component(crate, sums) for crate in notices.crates()],
    }
    return json.dumps(bom, indent=1) + "\n"
