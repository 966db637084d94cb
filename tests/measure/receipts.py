"""What `verify` and `inspect` take on a lake of many receipts, as nodes leave it that write a file a
minute.

    tests/run receipts [--receipts 1000000] [--nodes 2] [--lake FOLDER]

The lake is made of one real file: a session, imported, and linked under the names of all rolls (a
copy for every 60,000 links, which is near the most that ext4 takes). A roll a minute and node, in
partitions by day; the receipts are files of their own. With --lake it is made there, or taken if it is
there already, and stays. Each command runs twice: the first run may find the disk's cache cold.
"""

import argparse
import datetime
import json
import os
import sys
from pathlib import Path

from common import measure, scratch

LINKS = 60_000
TABLE = "user_sessions"
TODAY = datetime.date(2026, 11, 27)


def template(folder):
    """Returns the Parquet file of one session, and its receipt."""
    from harness import place

    folder.mkdir()
    source = folder / "one.ndjson"
    made = [place.binary(), "simulate", "--seed", "3", "--sessions", "1", "--out", source]
    measure(made, folder / "log")
    landed = [place.binary(), "import", "--partition", "", "--lake", folder / "lake", source]
    measure(landed, folder / "log")
    (receipt,) = (folder / "lake/_receipts").glob("*/*.json")
    (data,) = (folder / "lake" / TABLE).glob("*.parquet")
    return data.read_bytes(), json.loads(receipt.read_text())


def make(lake, receipts, nodes, data, model):
    """Makes the lake: `receipts` in all, of `nodes` nodes."""
    (table,) = model["tables"]
    (file,) = table["files"]
    table["partition_template"] = "date={startTime:%Y-%m-%d}"
    rolls = receipts // nodes
    first = datetime.datetime.combine(TODAY, datetime.time(), datetime.UTC)
    first -= datetime.timedelta(minutes=rolls - 1440)
    links, original, folders = LINKS, None, set()
    for number in range(nodes):
        node = f"node-{number}"
        own = lake / "_receipts" / node
        own.mkdir(parents=True)
        for roll in range(1, rolls + 1):
            landed = first + datetime.timedelta(minutes=roll)
            day = landed.date().isoformat()
            partition = f"date={day}"
            folder = f"{TABLE}/{partition}"
            if folder not in folders:
                folders.add(folder)
                (lake / folder).mkdir(parents=True)
            path = f"{folder}/{node}-{roll:08}.parquet"
            if links == LINKS:
                original, links = lake / path, 0
                original.write_bytes(data)
            else:
                os.link(original, lake / path)
                links += 1
            model |= {"node": node, "roll": roll, "first_seq": roll, "last_seq": roll}
            file |= {"path": path, "partition": partition, "partition_values": {"date": day}}
            receipt = own / f"{roll:08}.json"
            receipt.write_text(json.dumps(model, indent=2))
            os.utime(receipt, (landed.timestamp(),) * 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", help="the program; without it, the release build")
    parser.add_argument("--receipts", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--only", action="append", help="run only the commands whose words hold this")
    wanted = parser.parse_args()
    if wanted.binary:
        os.environ["SESSIONLAKE_TEST_BIN"] = wanted.binary
    from harness import place

    with scratch() as folder:
        folder = Path(folder)
        lake = wanted.lake or folder / "lake"
        if not (lake / "_receipts").exists():
            make(lake, wanted.receipts, wanted.nodes, *template(folder / "template"))
        commands = [
            ("verify", lake),
            ("verify", lake, "--since", (TODAY - datetime.timedelta(days=1)).isoformat()),
            ("verify", lake, "--footers"),
            ("inspect", lake),
        ]
        print(f"{'':<40}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}")
        for words in commands:
            shown = " ".join(word for word in words if word != lake)
            if wanted.only and not any(only in shown for only in wanted.only):
                continue
            for _ in range(2):
                cost = measure([place.binary(), *map(str, words)], folder / "log")
                print(f"{shown:<40}{cost.wall_s:>9.2f}{cost.cpu_s:>9.2f}{cost.peak_mib:>10.0f}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
