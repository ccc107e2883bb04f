"""The backend on disk: what lies where, what survives, what the collector may take."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pycontainerd import faults
from pycontainerd.clock import SystemClock
from pycontainerd.content import local
from pycontainerd.content.ingest import directory_name
from pycontainerd.content.local import LocalContent
from pycontainerd.content.model import Digest
from pycontainerd.errors import NotFound, Unknown
from pycontainerd.threads import Threads

Body = Callable[[LocalContent], Awaitable[None]]


def run(root: Path, body: Body) -> None:
    async def main() -> None:
        with Threads("content", most=4) as threads:
            await body(LocalContent(root, threads, SystemClock()))

    asyncio.run(main())


def tree(root: Path) -> dict[str, int]:
    """Every file below *root* with its mode."""
    return {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()}


def stored(content: LocalContent, digest: Digest) -> bytes | None:
    """The bytes of the blob's file, None if there is none."""
    path = Path(content.path(digest))
    return path.read_bytes() if path.exists() else None


def damage_blob(content: LocalContent, digest: Digest) -> None:
    path = Path(content.path(digest))
    path.chmod(0o644)
    path.write_bytes(b"")


async def put(content: LocalContent, data: bytes, name: str = "ns/1/ref") -> Digest:
    writing = await content.begin(name, 0)
    await writing.write(data)
    async with content.committing(writing.digest):
        await writing.publish(writing.digest)
    return Digest.of(data)


def test_a_committed_blob_is_all_that_remains(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        digest = await put(content, b"hello")
        assert tree(scratch) == {f"blobs/sha256/{digest.encoded}": 0o444}
        assert stored(content, digest) == b"hello"

    run(scratch, body)


def test_an_ingest_lies_where_the_original_puts_it(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        writing = await content.begin("ns/1/r/ä", 11)
        await writing.write(b"abc")
        await writing.close()
        directory = scratch / "ingest" / hashlib.sha256("ns/1/r/ä".encode()).hexdigest()
        assert sorted(os.listdir(directory)) == ["data", "ref", "startedat", "total", "updatedat"]
        assert (directory / "ref").read_text() == "ns/1/r/ä"
        assert (directory / "total").read_text() == "11"
        assert (directory / "data").read_bytes() == b"abc"

    run(scratch, body)


@pytest.mark.parametrize("size", [0, 1, local.INLINE_BYTES, local.INLINE_BYTES + 1, 300_000, 3_000_000])
def test_bytes_of_any_number_are_stored_and_hashed(scratch: Path, size: int) -> None:
    data = os.urandom(size)

    async def body(content: LocalContent) -> None:
        digest = await put(content, data)
        with content.open(digest) as blob:
            assert blob.size == size
            assert await blob.read(0, size + 1) == data
            assert await blob.read(size // 2, 10) == data[size // 2 : size // 2 + 10]
            assert await blob.read(size, 10) == b""

    run(scratch, body)


def test_a_resumed_ingest_knows_its_bytes_its_digest_and_its_beginning(tmp_path: Path) -> None:
    async def body(content: LocalContent) -> None:
        first = await content.begin("n", 6)
        await first.write(b"abc")
        await first.close()
        second = await content.begin("n", 0)
        assert (second.offset, second.digest, second.total) == (3, Digest.of(b"abc"), 6)
        assert second.started_ns == first.started_ns
        await second.write(b"def")
        assert second.digest == Digest.of(b"abcdef")
        await second.close()

    run(tmp_path, body)


def test_a_resume_with_another_total_begins_anew(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        first = await content.begin("n", 6)
        await first.write(b"abc")
        await first.close()
        second = await content.begin("n", 7)
        assert (second.offset, second.total, second.digest) == (0, 7, Digest.of(b""))
        await second.close()
        third = await content.begin("n", 0)
        assert third.offset == 0
        await third.close()

    run(scratch, body)


@pytest.mark.parametrize("damage", ["ref", "startedat"])
@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"other"])
def test_an_ingest_whose_small_files_a_crash_lost_begins_anew(scratch: Path, damage: str, text: bytes) -> None:
    async def body(content: LocalContent) -> None:
        first = await content.begin("n", 0)
        await first.write(b"abc")
        await first.close()
        (scratch / "ingest" / directory_name("n") / damage).write_bytes(text)
        second = await content.begin("n", 0)
        assert (second.offset, second.digest) == (0, Digest.of(b""))
        await second.close()

    run(scratch, body)


def test_a_status_tells_the_bytes_on_disk(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        writing = await content.begin("n", 9)
        await writing.write(b"abc")
        status = await content.status("n", "ref")
        assert (status.ref, status.offset, status.total) == ("ref", 3, 9)
        assert status.started_ns == writing.started_ns
        assert status.updated_ns >= status.started_ns
        await writing.discard()
        with pytest.raises(NotFound):
            await content.status("n", "ref")

    run(scratch, body)


def test_a_blob_that_a_disk_broke_is_mended_by_the_next_commit(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        digest = await put(content, b"hello")
        damage_blob(content, digest)
        await put(content, b"hello")
        assert stored(content, digest) == b"hello"

    run(scratch, body)


def test_a_digest_by_another_algorithm_reads_the_bytes_again(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        writing = await content.begin("n", 0)
        await writing.write(b"abc")
        assert (await writing.digest_by("sha512")).encoded == hashlib.sha512(b"abc").hexdigest()
        assert (await writing.digest_by("sha256")) == Digest.of(b"abc")
        await writing.discard()

    run(scratch, body)


def test_a_copied_blob_can_grow(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        digest = await put(content, b"hello")
        writing = await content.copy_into("m", digest)
        await writing.write(b"!")
        assert (writing.offset, writing.digest) == (6, Digest.of(b"hello!"))
        await writing.discard()

    run(scratch, body)


def test_the_collector_takes_what_nobody_uses(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        used, unused = await put(content, b"used"), await put(content, b"unused")
        assert not await content.remove_unless(used, lambda: True)
        assert await content.remove_unless(unused, lambda: False)
        assert await content.list_blobs() == [str(used)]

    run(scratch, body)


def test_the_collector_leaves_a_blob_whose_row_is_on_its_way(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        digest = await put(content, b"x")
        async with content.committing(digest), content.committing(digest):
            assert not await content.remove_unless(digest, lambda: False)
        assert await content.remove_unless(digest, lambda: False)

    run(scratch, body)


def test_a_commit_waits_for_the_removal_of_its_digest(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        digest = await put(content, b"x")
        async with asyncio.TaskGroup() as group:
            removed = group.create_task(content.remove_unless(digest, lambda: False))
            await asyncio.sleep(0)
            await put(content, b"x")
        assert removed.result()
        assert stored(content, digest) == b"x"

    run(scratch, body)


def test_only_ingests_without_a_row_are_removed(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        for name in ("kept", "orphan"):
            await (await content.begin(name, 0)).close()
        (scratch / "ingest" / "stray").mkdir()

        async def names() -> list[str]:
            return ["kept"]

        await content.remove_other_ingests(names)
        assert os.listdir(scratch / "ingest") == [directory_name("kept")]

    run(scratch, body)


def test_files_that_are_no_blobs_are_not_listed(scratch: Path) -> None:
    (scratch / "blobs" / "sha256").mkdir(parents=True)
    (scratch / "blobs" / "sha256" / "lost+found").write_text("")
    (scratch / "blobs" / "README").write_text("")

    async def body(content: LocalContent) -> None:
        assert await content.list_blobs() == []

    run(scratch, body)


def test_a_missing_blob_is_named(scratch: Path) -> None:
    async def body(content: LocalContent) -> None:
        with pytest.raises(NotFound, match=str(Digest.of(b"none"))):
            content.open(Digest.of(b"none"))

    run(scratch, body)


@pytest.mark.parametrize("point", sorted({*faults.points("content.commit.")} - {"content.commit.recorded"}))
def test_a_commit_that_fails_leaves_a_whole_blob_or_none(
    scratch: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(content: LocalContent) -> None:
        monkeypatch.setattr(faults, "_armed", {point: "fail"})
        with pytest.raises(Unknown, match=f"fault point {point}|input/output error"):
            await put(content, b"hello")
        assert stored(content, Digest.of(b"hello")) in {None, b"hello"}

    run(scratch, body)
