"""File systems of the tests' own, mounted from an image. Needs root, and what each kind needs."""

import contextlib
import os
import shutil
import subprocess

IMAGE_BYTES = 128 << 20

# Kinds that take names for one that differ in the case of letters, as APFS and SMB shares do: the
# command that makes one in a file, the command that mounts it, and one for its directories.
FOLDING = {
    "ext4 with casefold": (
        ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"],
        ["mount", "-o", "loop"],
        ["chattr", "+F"],
    ),
    "FAT": (["mkfs.vfat"], ["mount", "-t", "vfat", "-o", "loop,utf8"], None),
    "NTFS by lowntfs-3g": (["mkfs.ntfs", "-q", "-F", "-Q"], ["lowntfs-3g", "-o", "ignore_case"], None),
}


def _run(*command):
    """Runs a command. Returns the reason why it failed, or None."""
    if not shutil.which(command[0]):
        return f"{command[0]} is missing"
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if ran.returncode == 0 else (ran.stderr.strip().splitlines() or ["it failed"])[0]


def _mount(kind, image, at):
    make, mount, prepare = FOLDING[kind]
    image.write_bytes(b"")
    os.truncate(image, IMAGE_BYTES)
    at.mkdir(exist_ok=True)
    return (
        _run(*make, str(image))
        or _run(*mount, str(image), str(at))
        or (prepare and _prepared(prepare, at))
    )


def _prepared(prepare, at):
    folder = at / "folding"
    folder.mkdir()
    return _run(*prepare, str(folder))


@contextlib.contextmanager
def folding(folder):
    """Yields a folder in which names are folded, and its kind; or None and the reasons why there is
    none."""
    why = {"all": "only root mounts file systems"} if os.geteuid() != 0 else {}
    mounted = None
    for number, kind in enumerate(() if why else FOLDING):
        at = folder / f"mount-{number}"
        reason = _mount(kind, folder / "image", at)
        if reason is None:
            mounted = at
            break
        subprocess.run(["umount", at], capture_output=True, check=False)
        why[kind] = reason
    if mounted is None:
        yield None, "; ".join(f"{kind}: {reason}" for kind, reason in why.items())
        return
    inside = mounted / "folding"
    inside.mkdir(exist_ok=True)
    try:
        yield inside, kind
    finally:
        subprocess.run(["umount", mounted], check=True, timeout=60)


@contextlib.contextmanager
def read_only(folder):
    """Nothing can be written to `folder` within. Yields None, or the reason why that cannot be had."""
    reason = "only root mounts file systems" if os.geteuid() != 0 else None
    reason = reason or _run("mount", "--bind", str(folder), str(folder))
    if reason is not None:
        yield reason
        return
    try:
        yield _run("mount", "-o", "remount,bind,ro", str(folder))
    finally:
        subprocess.run(["umount", "-l", folder], check=True, timeout=60)
