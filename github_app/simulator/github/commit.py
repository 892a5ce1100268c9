"""The one commit of a push as a git repository: what `actions/checkout` leaves in `.git`.

https://git-scm.com/docs/gitformat-index, https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

# Every file is handed to the runner as an executable one.
_FILE, _FOLDER = b"100755", b"40000"
_INDEX_MODE = 0o100755
_LONGEST_NAME = 0xFFF


@dataclass
class Commit:
    """A commit and its objects, by their place in `.git`."""

    sha: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    index: bytes = b""

    def repository(self, ref: str, url: str) -> Mapping[str, bytes]:
        """The files of `.git` with the commit checked out, from a repository at `url`: a branch, or detached."""
        kind, _, name = ref.removeprefix("refs/").partition("/")
        head, here = f"{self.sha}\n", f"refs/{kind}/{name}"
        refs = {here: head}
        if kind == "heads":
            head, refs = f"ref: {ref}\n", {here: head, f"refs/remotes/origin/{name}": head}
        elif kind == "pull":
            refs = {f"refs/remotes/pull/{name}": head}
        config = (
            f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {url}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
        )
        texts = {"HEAD": head, "config": config, **refs}
        return {**{name: text.encode() for name, text in texts.items()}, **self.objects, "index": self.index}


def commit_of(files: Mapping[str, bytes], message: str, author: str, seconds: int) -> Commit:
    """The commit of these files, without a parent."""
    made = Commit()
    blobs = {name: _add(made, b"blob", content) for name, content in files.items()}
    made.index = _index(files, blobs)
    who = f"{author} <{author}@users.noreply.github.com> {seconds} +0000"
    text = f"tree {_tree(made, blobs).hex()}\nauthor {who}\ncommitter {who}\n\n{message}\n"
    made.sha = _add(made, b"commit", text.encode()).hex()
    return made


def _add(made: Commit, kind: bytes, content: bytes) -> bytes:
    whole = kind + b" %d\0" % len(content) + content
    sha = hashlib.sha1(whole, usedforsecurity=False)
    name = sha.hexdigest()
    made.objects[f"objects/{name[:2]}/{name[2:]}"] = zlib.compress(whole, 1)
    return sha.digest()


def _tree(made: Commit, blobs: Mapping[str, bytes]) -> bytes:
    here: dict[str, bytes] = {}
    below: dict[str, dict[str, bytes]] = {}
    for path, sha in blobs.items():
        name, is_folder, rest = path.partition("/")
        if is_folder:
            below.setdefault(name, {})[rest] = sha
        else:
            here[name] = sha
    entries = [(_bytes(name), _FILE, sha) for name, sha in here.items()]
    entries += [(_bytes(name), _FOLDER, _tree(made, inner)) for name, inner in below.items()]
    # git sorts a folder as if its name ended in a slash.
    entries.sort(key=lambda entry: entry[0] + (b"/" if entry[1] == _FOLDER else b""))
    return _add(made, b"tree", b"".join(mode + b" " + name + b"\0" + sha for name, mode, sha in entries))


def _index(files: Mapping[str, bytes], blobs: Mapping[str, bytes]) -> bytes:
    """What git believes is in the working tree; times of zero make it look at the files themselves."""
    parts = [b"DIRC" + struct.pack(">II", 2, len(files))]
    for name in sorted(files, key=_bytes):
        path, content, sha = _bytes(name), files[name], blobs[name]
        numbers = struct.pack(">10I", 0, 0, 0, 0, 0, 0, _INDEX_MODE, 0, 0, len(content) & 0xFFFFFFFF)
        entry = numbers + sha + struct.pack(">H", min(len(path), _LONGEST_NAME)) + path
        parts.append(entry + b"\0" * (8 - len(entry) % 8))
    whole = b"".join(parts)
    return whole + hashlib.sha1(whole, usedforsecurity=False).digest()


def _bytes(name: str) -> bytes:
    # A name that is no UTF-8 on disk.
    return name.encode("utf-8", "surrogateescape")
