"""The notices of third parties: what is linked into the program, with the texts of its licences."""

import hashlib
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("license", "licence", "copying", "notice", "copyright", "unlicense")
HEAD = """\
# Notices of third parties

The program has these libraries linked into it. After the list, the texts of their licences and notices, each
once, with the libraries that come with it.

"""


def crates():
    """The crates that are in the program: what it depends on, without what only tests and builds need."""
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"],
            cwd=ROOT, check=True, stdout=subprocess.PIPE,
        ).stdout
    )  # fmt: skip
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found, waiting = set(), [root]
    while waiting:
        for dep in nodes[waiting.pop()]["deps"]:
            linked = any(kind["kind"] is None for kind in dep["dep_kinds"])
            if linked and dep["pkg"] not in found:
                found.add(dep["pkg"])
                waiting.append(dep["pkg"])
    return sorted((packages[one] for one in found), key=lambda one: (one["name"], one["version"]))


def texts(crate):
    """The files of licences and notices of a crate, and of the sources in C that it brings."""
    folder = Path(crate["manifest_path"]).parent
    for path in sorted(folder.rglob("*")):
        if path.name.lower().split(".")[0].split("-")[0] in NAMES and path.is_file() and path.suffix != ".rs":
            yield path.read_text(errors="replace").strip()


def text():
    lines, by_text = [], {}
    for crate in crates():
        name = f"{crate['name']} {crate['version']}"
        lines.append(f"- {name}: {crate['license'] or 'see below'}, {crate['repository'] or 'no address'}\n")
        for one in texts(crate):
            of = by_text.setdefault(hashlib.sha256(one.encode()).hexdigest(), (one, []))[1]
            if name not in of:
                of.append(name)
    parts = sorted(by_text.values(), key=lambda part: part[1])
    return HEAD + "".join(lines) + "".join(f"\n---\n\n{', '.join(of)}:\n\n{one}\n" for one, of in parts)


if __name__ == "__main__":
    print(text(), end="")
