"""Partial files: locked, described, taken up again only when they are what they seem."""

from __future__ import annotations

import errno
import gc
import json
import multiprocessing
import os
import re
import resource
import threading
from contextlib import ExitStack, suppress
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import _parts, _renaming
from krea_aleph._digests import Digest
from krea_aleph._parts import Owner, Part, Whole, sweep
from krea_aleph._renaming import rename_new

from .transcript import CLIP

OWNER = Owner("job-1", 0)
WHOLE = Whole('"v1"', len(CLIP), None)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """What the names of parts begin with."""
    return tmp_path / "out.mp4"


@pytest.fixture
def kept(base: Path) -> Path:
    """A part with the first 1,000 bytes, left behind as a failed download leaves it."""
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(CLIP[:1000])
    path = part.leave()
    assert path is not None
    return path


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def note(part: Path) -> Path:
    """Return where the note about a part is."""
    return part.with_name(part.name + ".json")


def test_a_part_that_is_taken_up_again(kept: Path, base: Path) -> None:
    """What was kept is found again, with everything known about it, and goes on to the end."""
    assert names(base.parent) == ["out.mp4.part", "out.mp4.part.json"]
    part = Part.open(base, OWNER)
    assert (part.path, part.size, part.whole) == (kept, 1000, WHOLE)
    part.append(CLIP[1000:])
    assert (part.sha256(), part.intact()) == (sha256(CLIP).hexdigest(), True)
    assert part.head(12) == CLIP[:12]
    part.publish(base, "error")
    assert part.leave() is None
    assert (base.read_bytes(), names(base.parent)) == (CLIP, ["out.mp4"])


@pytest.mark.parametrize(
    "change",
    [
        {"job": "job-2"},
        {"result": 1},
        {"etag": None},
        {"etag": 'W/"v1"'},
        {"etag": 7},
        {"etag": '"two\r\nlines"'},
        {"length": "long"},
        {"kind": "other"},
        {"size": 0},
        {"size": 1001},
        {"size": 999},
        {"sha256": "0" * 64},
        {"size": "many"},
        {"digest": ["md5", "no hex"]},
        {"digest": 7},
    ],
    ids=str,
)
def test_a_part_that_does_not_belong(change: dict[str, Any], kept: Path, base: Path) -> None:
    """Another job's part, one without a tag, or one whose note is wrong is begun anew."""
    facts = json.loads(note(kept).read_bytes()) | change
    note(kept).write_text(json.dumps(facts))
    part = Part.open(base, OWNER)
    assert (part.path, part.size, part.whole) == (kept, 0, Whole())
    assert part.leave() is None
    assert names(base.parent) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": 7}', "[" * 100_000])
def test_a_note_that_is_none(text: str, kept: Path, base: Path) -> None:
    """A note that a power cut has broken costs the part, and nothing else."""
    note(kept).write_text(text)
    part = Part.open(base, OWNER)
    assert part.size == 0
    part.leave()


@pytest.mark.parametrize("damage", ["zeros", "shorter", "gone"])
def test_a_part_that_has_been_damaged(damage: str, kept: Path, base: Path) -> None:
    """Bytes that are not those that were noted are never part of a result."""
    match damage:
        case "zeros":
            kept.write_bytes(bytes(1000))
        case "shorter":
            os.truncate(kept, 999)
        case _:
            kept.unlink()
    part = Part.open(base, OWNER)
    assert (part.size, part.whole) == (0, Whole())
    part.leave()


def _hashing() -> int:
    """Count the threads that hash; others are other tests'."""
    return sum(thread.name == "krea-hash" for thread in threading.enumerate())


def test_large_parts_leave_no_thread(base: Path) -> None:
    """What is hashed beside the download is all hashed, and the thread for it has ended."""
    part, data = Part.open(base, OWNER), os.urandom(5_000_001)
    part.restart(WHOLE)
    for start in range(0, len(data), 60_000):
        part.append(data[start : start + 60_000])
    assert _hashing() == 1
    assert part.leave() is not None
    assert _hashing() == 0
    part = Part.open(base, OWNER)
    assert (part.size, part.sha256()) == (len(data), sha256(data).hexdigest())
    part.append(data)
    part.restart(WHOLE)
    assert (part.size, part.sha256()) == (0, sha256(b"").hexdigest())
    part.append(data)
    part.publish(base, "error")
    assert part.sha256() == sha256(data).hexdigest()
    assert _hashing() == 0


def test_bytes_beyond_the_note_do_not_count(kept: Path, base: Path) -> None:
    """What a killed process had written since its last note is fetched again."""
    with kept.open("ab") as file:
        file.write(b"not noted")
    part = Part.open(base, OWNER)
    assert part.size == 1000
    part.append(CLIP[1000:])
    part.publish(base, "error")
    assert base.read_bytes() == CLIP


def test_notes_are_written_on_the_way(base: Path) -> None:
    """A process that is killed loses a MiB at most."""
    part = Part.open(base, OWNER)
    part.restart(Whole('"v1"', 2**22, None))
    for number in range(3):
        part.append(bytes([number]) * 700_000)
    part.sha256()  # waits for the thread that hashes and notes
    facts = json.loads(note(part.path).read_bytes())
    assert facts["size"] == 1_400_000
    digest = sha256(b"\0" * 700_000 + b"\1" * 700_000)
    assert facts["sha256"] == digest.hexdigest()
    part.leave()


@pytest.mark.parametrize(
    "whole", [Whole(), Whole(None, 9), Whole('"' + "x" * 900 + '"')], ids=["-", "no tag", "long"]
)
def test_what_nobody_could_take_up_again_is_removed(whole: Whole, base: Path) -> None:
    """A part without a strong tag, or one that cannot be noted, is not left behind."""
    part = Part.open(base, OWNER)
    part.restart(whole)
    part.append(CLIP)
    assert part.leave() is None
    assert names(base.parent) == []


def test_an_empty_part_is_removed(base: Path) -> None:
    """Before the first byte there is nothing to keep."""
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    assert part.leave() is None
    assert names(base.parent) == []


def test_a_part_in_use(base: Path) -> None:
    """Each of nine has its own name that is found again; one more is only removed again."""
    with ExitStack() as stack:
        parts = []
        for _ in range(10):
            parts.append(Part.open(base, OWNER))
            stack.callback(parts[-1].leave)
        found = [part.path.name for part in parts]
        assert found[:9] == ["out.mp4.part", *(f"out.mp4.{n}.part" for n in range(2, 10))]
        assert re.fullmatch(r"out\.mp4\.[0-9a-f]{8}\.part", found[9])
        parts[9].restart(WHOLE)
        parts[9].append(CLIP)
        assert parts[9].leave() is None
        parts[1].restart(WHOLE)
        parts[1].append(CLIP)
        assert parts[1].leave() == base.with_name("out.mp4.2.part")
    assert names(base.parent) == ["out.mp4.2.part", "out.mp4.2.part.json"]


def test_what_nobody_holds_is_swept_up(kept: Path, base: Path) -> None:
    """Who finishes a file removes the parts of it that failed or killed processes have left."""
    parts = [Part.open(base, OWNER) for _ in range(3)]  # the first one takes up what was kept
    for part in parts[1:]:
        part.restart(WHOLE)
        part.append(CLIP)
    parts[1].leave()
    (base.parent / "out.mp4.4.part").write_text("a stranger's")
    sweep(base)
    assert names(base.parent) == [
        "out.mp4.3.part",
        "out.mp4.3.part.json",
        "out.mp4.4.part",
        kept.name,
        note(kept).name,
    ]
    parts[0].leave()
    parts[2].leave()


def test_a_note_without_its_part_is_swept_up(kept: Path, base: Path) -> None:
    """Where a kill has left the note alone, it goes too."""
    kept.unlink()
    sweep(base)
    assert names(base.parent) == []


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "fifo"])
def test_what_is_no_part(kind: str, base: Path) -> None:
    """A partial file is never written through a link or into something else."""
    other, path = base.with_name("other"), base.with_name("out.mp4.part")
    match kind:
        case "link":
            other.write_text("mine")
            path.symlink_to(other)
        case "dangling link":
            path.symlink_to(other)
        case "folder":
            path.mkdir()
        case _:
            os.mkfifo(path)
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(CLIP)
    assert part.path.name == "out.mp4.2.part"
    part.publish(base, "error")
    assert base.read_bytes() == CLIP
    assert other.exists() == (kind == "link")
    assert not other.exists() or other.read_text() == "mine"


def test_a_name_that_also_is_a_final_file(kept: Path, base: Path) -> None:
    """Where a kill came between a link and the end of the old name, the final file stays whole."""
    os.link(kept, base)
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(b"other")
    assert base.read_bytes() == CLIP[:1000]
    part.publish(base, "replace")
    assert (base.read_bytes(), names(base.parent)) == (b"other", ["out.mp4"])


def test_a_final_file_is_not_replaced(base: Path) -> None:
    """A name that is taken stays what it is, and the whole part can still have another one."""
    base.write_text("mine")
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(CLIP)
    with pytest.raises(FileExistsError):
        part.publish(base, "error")
    assert base.read_text() == "mine"
    assert part.leave() is not None
    again = Part.open(base, OWNER)
    assert again.size == len(CLIP)
    again.publish(base, "replace")
    assert base.read_bytes() == CLIP


def test_a_name_that_it_cannot_have(base: Path) -> None:
    """What cannot be renamed is kept: a folder may have been made in its place."""
    base.mkdir()
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(CLIP)
    with pytest.raises(IsADirectoryError):
        part.publish(base, "replace")
    assert part.leave() == base.with_name("out.mp4.part")


@pytest.mark.parametrize("way", [_renaming._renamed_at_once, _renaming._linked, rename_new])
def test_renaming_without_replacing(way: Any, tmp_path: Path) -> None:
    """Each way leaves one name, refuses one that is taken, and says so where it does not work."""
    part, final = tmp_path / "part", tmp_path / "\N{SNOWMAN}.mp4"
    part.write_bytes(CLIP)
    assert way(part, final) in {True, None}
    assert names(tmp_path) == [final.name]
    part.write_text("later")
    with pytest.raises(FileExistsError):
        way(part, final)
    assert final.read_bytes() == CLIP
    missing = tmp_path / "missing"
    if way is rename_new:
        with pytest.raises(FileNotFoundError):
            way(missing, tmp_path / "new")
    else:
        assert way(missing, tmp_path / "new") is False


@pytest.mark.parametrize(
    ("algorithm", "value", "intact"),
    [
        ("sha256", sha256(CLIP).digest(), True),
        ("sha256", sha256(b"").digest(), False),
        ("md5", md5(CLIP, usedforsecurity=False).digest(), True),
        ("md5", bytes(16), False),
    ],
)
def test_a_part_knows_whether_it_is_intact(
    algorithm: str, value: bytes, intact: bool, base: Path
) -> None:
    """What the host has announced is compared, by another process than began it, too."""
    part = Part.open(base, OWNER)
    part.restart(WHOLE._replace(digest=Digest(algorithm, value)))
    part.append(CLIP[:1000])
    part.leave()
    part = Part.open(base, OWNER)
    part.append(CLIP[1000:])
    assert part.intact() is intact
    part.publish(base, "error")
    assert base.read_bytes() == CLIP


def test_a_thread_that_comes_too_late(base: Path) -> None:
    """A worker thread whose task has been cancelled writes nothing any more."""
    part = Part.open(base, OWNER)
    part.restart(WHOLE._replace(digest=Digest("md5", bytes(16))))
    part.append(CLIP[:1000])
    kept = part.leave()
    assert kept is not None
    for work in (
        lambda: part.append(b"late"),
        lambda: part.restart(WHOLE),
        lambda: part.publish(base, "error"),
        lambda: part.head(1),
        part.intact,
    ):
        with pytest.raises(OSError, match="closed"):
            work()
    assert kept.read_bytes() == CLIP[:1000]


def test_a_forked_process_leaves_the_part_to_its_parent(base: Path) -> None:
    """What a child does with the part that it has inherited does not concern the parent."""
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(CLIP[:1000])
    child = os.fork()
    if child == 0:
        part.leave()
        os._exit(0)
    os.waitpid(child, 0)
    other = Part.open(base, OWNER)  # still locked
    assert other.path.name == "out.mp4.2.part"
    other.leave()
    part.append(CLIP[1000:])
    part.publish(base, "error")
    assert base.read_bytes() == CLIP


def _hold(folder: str, found: Any, done: Any) -> None:
    part = Part.open(Path(folder) / "out.mp4", OWNER)
    part.restart(WHOLE)
    part.append(CLIP[:500])
    found.put(part.path.name)
    done.wait()


def test_another_process(base: Path) -> None:
    """Processes do not share a part; one that is killed leaves it to the next that asks."""
    context = multiprocessing.get_context("fork")
    found, done = context.Queue(), context.Event()
    child = context.Process(target=_hold, args=(str(base.parent), found, done))
    child.start()
    assert found.get(timeout=30) == "out.mp4.part"
    ours = Part.open(base, OWNER)
    assert ours.path.name == "out.mp4.2.part"
    ours.leave()
    child.kill()
    child.join()
    ours = Part.open(base, OWNER)
    assert (ours.path.name, ours.size) == ("out.mp4.part", 0)  # no MiB had come, so no note
    ours.leave()
    found.close()
    found.join_thread()


class _NoLocks:
    """What stands in for fcntl on a file system without locks, as some network ones are."""

    LOCK_EX = LOCK_NB = LOCK_UN = 0

    def flock(self, *_: object) -> None:
        raise OSError(errno.ENOSYS, "not implemented")


def test_a_file_system_without_locks(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There every download has a part of its own, which is removed when it fails."""
    monkeypatch.setattr(_parts, "fcntl", _NoLocks())
    taken = base.with_name("out.mp4.part")
    taken.write_text("somebody's")
    parts = [Part.open(base, OWNER) for _ in range(2)]
    assert taken.read_text() == "somebody's"
    taken.unlink()
    parts.append(Part.open(base, OWNER))
    parts.pop().leave()
    for part in parts:
        part.restart(WHOLE)
        part.append(CLIP)
    assert len(names(base.parent)) == 2
    parts[0].publish(base, "error")
    assert parts[1].leave() is None
    assert names(base.parent) == ["out.mp4"]


def test_what_fails_to_open_is_closed(base: Path) -> None:
    """A folder that is gone is the error of that, and no file stays open."""
    with pytest.raises(FileNotFoundError):
        Part.open(base.parent / "gone" / "out.mp4", OWNER)
    gc.collect()


def test_a_part_that_cannot_be_read(base: Path) -> None:
    """What goes wrong while a part is looked at is raised, and nothing stays open."""
    file = _parts._created(base)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        Part._of(base, file, OWNER)


def test_a_lock_on_a_file_that_is_not_there_any_more(tmp_path: Path) -> None:
    """A lock on a file that has lost its name meanwhile is worth nothing."""
    path = tmp_path / "out.mp4.part"
    with path.open("a+b", buffering=0) as file:
        assert _parts._still_at(path, file)
        path.rename(tmp_path / "out.mp4")
        assert not _parts._still_at(path, file)
        path.touch()
        assert not _parts._still_at(path, file)


def test_a_note_that_cannot_be_written(base: Path) -> None:
    """Without a note nobody could take a part up again: it is removed."""
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(CLIP)
    note(part.path).unlink()
    note(part.path).mkdir()
    assert part.leave() is None
    assert names(base.parent) == ["out.mp4.part.json"]


def test_a_disk_without_room_for_a_note(base: Path) -> None:
    """A note that is cut off is none, and says so."""
    part = Part.open(base, OWNER)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            part.restart(WHOLE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert part.leave() is None
    assert names(base.parent) == []


def test_a_system_that_cannot_rename_without_replacing(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a link does the same, and where there are no links either, a look comes first."""
    monkeypatch.setattr(_renaming, "_rename_without_replacing", lambda: (None, 0))
    part = Part.open(base, OWNER)
    part.append(CLIP)
    part.publish(base, "error")
    assert base.read_bytes() == CLIP
    other = base.with_name("other.part")
    other.touch()
    with pytest.raises(FileExistsError):
        rename_new(other, base)


def test_a_lost_note_does_not_cost_the_part(base: Path) -> None:
    """Where somebody removes the note, it is written anew when the part is left."""
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(CLIP[:1000])
    with suppress(FileNotFoundError):
        note(part.path).unlink()
    assert part.leave() is not None
    again = Part.open(base, OWNER)
    assert again.size == 1000
    again.leave()


@pytest.mark.parametrize("instead", ["nothing", "a file", "a link"])
def test_a_part_that_is_taken_away(instead: str, base: Path, tmp_path: Path) -> None:
    """What somebody has put in its place never gets the final name, and is left alone."""
    part = Part.open(base, OWNER)
    part.restart(WHOLE)
    part.append(CLIP)
    part.path.unlink()
    if instead == "a file":
        part.path.write_bytes(b"somebody else's")
    elif instead == "a link":
        part.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="removed or replaced"):
        part.publish(base, "replace")
    assert part.leave() is None
    left = [] if instead == "nothing" else ["out.mp4.part", "out.mp4.part.json"]
    assert names(tmp_path) == left
