"""The documentation: its links lead somewhere, its commands run, and each block says whether it is run.

A fenced block of a shell, SQL or Python has a line before it: `<!-- test: … -->` if a test runs it, or
`<!-- not run: … -->` with the reason. Kinds that this file runs, each page in a folder of its own with a lake in
data/lake: `sh` (bash, with `sessionlake` and a `duckdb` command that is the Python module), `duckdb` and
`python`. test_readme.py runs the others, and test_iceberg.py those of its page.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from harness import place
from harness.lake import connect

PAGES = sorted(place.ROOT.glob("docs/**/*.md"))
ALL = [place.ROOT / "README.md", place.ROOT / "CHANGELOG.md", place.ROOT / "tests/data/README.md", *PAGES]
# Pages whose blocks test_readme.py, test_iceberg.py, test_packages.py and test_image.py run, in their own way.
ELSEWHERE = {"README.md", "installing.md", "delta.md", "iceberg.md", "views.md", "flat-tables.md"}
# Pages that make their lake themselves.
FROM_NOTHING = {"getting-started.md"}

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (?:test: ([\w ]+)|not run: ([^>]+)) -->\n+ *$")
DUCKDB = """import sys, duckdb
text = sys.argv[sys.argv.index("-c") + 1] if "-c" in sys.argv else sys.stdin.read()
print(duckdb.connect().execute(text).fetchall())
"""


def name(page):
    return str(page.relative_to(place.ROOT))


def blocks(page):
    """Of each block of a page: its language, the mark before it, and its text."""
    text = page.read_text()
    for found in FENCE.finditer(text):
        mark = MARK.search(text, 0, found.start())
        indent, language, code = found.groups()
        code = "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))
        yield language, mark and mark.groups(), code


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for title in re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        number = 0
        while (one := slug if number == 0 else f"{slug}-{number}") in found:
            number += 1
        found.add(one)
    return found


def links(page):
    """The links of a page within the repository, each with the file and the anchor that it leads to."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if not re.match(r"\w+:", target):
            path, _, anchor = target.partition("#")
            yield target, (page.parent / path).resolve() if path else page, anchor


def test_links_lead_somewhere():
    wrong = []
    for page in ALL:
        for target, there, anchor in links(page):
            if not there.exists():
                wrong.append(f"{name(page)}: {target}: no such file")
            elif anchor and anchor not in anchors(there):
                wrong.append(f"{name(page)}: {target}: no such heading")
    assert not wrong, "\n".join(wrong)


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [(place.ROOT / "README.md").resolve()]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            waiting += [there for _, there, _ in links(page)]
    missing = [name(page) for page in PAGES if page.resolve() not in reached]
    assert not missing, f"no link leads to {missing}: docs/README.md has the contents"


def test_every_block_is_run_or_says_why_not():
    wrong = []
    for page in ALL:
        for language, mark, code in blocks(page):
            if language in ("sh", "bash", "sql", "python") and mark is None:
                wrong.append(f"{name(page)}: {code.splitlines()[0]}")
            if mark and mark[0] and page.name not in ELSEWHERE and mark[0] not in ("sh", "duckdb", "python"):
                wrong.append(f"{name(page)}: nothing runs {mark[0]!r}")
    assert not wrong, "no mark `<!-- test: … -->` or `<!-- not run: … -->` before:\n" + "\n".join(wrong)


def test_messages_on_the_page_of_troubles_are_those_of_the_program():
    """Texts in the first column of tables, cut at `…`, are in the sources."""
    sources = "\n".join(
        re.sub(r"\\\n\s*", "", path.read_text()) for path in sorted((place.ROOT / "src").rglob("*.rs"))
    )
    sources = re.sub(r"\{[^{}\n]*\}", "…", sources)
    page = place.ROOT / "docs/troubleshooting.md"
    if not (place.ROOT / "src").exists() or not page.exists():
        pytest.skip("no sources here")
    wrong = []
    for text in re.findall(r"^\| `([^`]{12,})`", page.read_text(), re.MULTILINE):
        for piece in (one.strip() for one in text.split("…")):
            if len(piece) > 8 and piece not in sources:
                wrong.append(f"{piece!r} of {text!r}")
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with sessions in files, and a lake of some of them."""
    at = tmp_path_factory.mktemp("docs")
    commands = at / "bin"
    commands.mkdir()
    (commands / "duckdb").write_text(f"#!{sys.executable}\n{DUCKDB}")
    (commands / "duckdb").chmod(0o755)
    (commands / "sessionlake").symlink_to(place.binary().resolve())
    folder = at / "folder"
    folder.mkdir()

    def run(*arguments):
        subprocess.run([place.binary(), *arguments], cwd=folder, check=True, timeout=60, capture_output=True)

    run("simulate", "--seed", "3", "--sessions", "100", "--out", "made.ndjson")
    (folder / "examples-of").mkdir()
    for number in range(2):
        lines = (folder / "made.ndjson").read_text().splitlines()[number * 50 :][:50]
        dump = (json.dumps({"_index": "s", "_id": str(i), "_source": json.loads(one)}) for i, one in enumerate(lines))
        (folder / f"examples-of/dump-{number}.ndjson").write_text("".join(f"{line}\n" for line in dump))
    run("import", "made.ndjson")
    return at


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ELSEWHERE and any(m and m[0] for _, m, _ in blocks(page))],
    ids=name,
)  # fmt: skip
def test_the_commands_of_a_page(page, prepared, folder, monkeypatch):
    at = folder / "reader"
    if page.name in FROM_NOTHING:
        at.mkdir()
    else:
        shutil.copytree(prepared / "folder", at)
    monkeypatch.chdir(at)
    env = {**os.environ, "PATH": f"{prepared / 'bin'}:{os.environ['PATH']}"}
    connection = connect()
    names = {}
    for _, mark, code in blocks(page):
        match mark and mark[0]:
            case "sh":
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", code], cwd=at, env=env, timeout=60, text=True,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
                assert done.returncode == 0, f"{code}\n{done.stdout}"
            case "duckdb":
                for statement in connection.extract_statements(code):
                    connection.execute(statement).fetchall()
            case "python":
                exec(code, names)  # noqa: S102
