"""What clients send to Content, and what ours and stock answer to it: the same, but for what is deliberate."""

from __future__ import annotations

import hashlib
import itertools
import queue
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from pycontainerd.api.containerd.services.content import v1_pb2 as pb
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.rpc.service import methods_of
from tests.harness.asking import OverSocket, outcome, over_socket
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.harness.differences import deliberate

CONTENT = pb.DESCRIPTOR.services_by_name["Content"]
LEASES = leases_pb2.DESCRIPTOR.services_by_name["Leases"]
W = pb.WriteContentRequest
HELLO, OTHER = b"hello world", b"something else"
HEX = "a" * 64

# Nobody holds these blobs: the collector would take them between two steps.
NO_COLLECTION = """
[plugins.'io.containerd.gc.v1.scheduler']
  deletion_threshold = 100000
  mutation_threshold = 100000
  startup_delay = '0s'
"""

_numbers = itertools.count(1)


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


KNOWN = digest_of(HELLO)
KNOWN_384 = digest_of(HELLO, "sha384")


@dataclass(frozen=True)
class Write:
    """One stream of Write: messages one after the other, in a namespace (a suffix of the test's), under a lease."""

    messages: Sequence[W]
    namespace: str = ""
    lease: str = ""


@dataclass(frozen=True)
class Ask:
    """One other call."""

    method: str
    request: Message
    namespace: str = ""
    lease: str = ""


def put(data: bytes, ref: str = "put", **call: str) -> Write:
    return Write([W(ref=ref, action=pb.WRITE, data=data), W(action=pb.COMMIT, offset=len(data))], **call)


def update(*paths: str, **labels: str) -> Ask:
    said = {key.replace("__", "."): value for key, value in labels.items()}
    info = pb.Info(digest=KNOWN, labels=said)
    return Ask("update", pb.UpdateRequest(info=info, update_mask=FieldMask(paths=paths)))


def everything(namespace: str = "") -> list[Ask]:
    """What a namespace has."""
    return [
        Ask("list", pb.ListContentRequest(), namespace),
        Ask("list_statuses", pb.ListStatusesRequest(), namespace),
    ]


BAD_DIGESTS = [
    "", "x", "sha256", "sha256:", ":aa", "sha256:zz", "sha256:" + HEX.upper(), "sha384:" + HEX, "md5:" + "a" * 32,
    "md5:&", "sha256:" + HEX + "b", "foo bar", "SHA256:" + HEX, "sha256:x:y", "sha256+b64:" + HEX, "日本:aa",
    "sha256:../../x", "a..b:cc", "sha256:" + HEX,
]  # fmt: skip

CASES: dict[str, list[Write | Ask]] = {
    "a blob": [
        Write(
            [
                W(ref="r", total=11, expected=KNOWN),
                W(action=pb.WRITE, data=HELLO),
                W(action=pb.COMMIT, offset=11, total=11, expected=KNOWN, labels={"a": "b", "empty": ""}),
            ]
        ),
        Ask("info", pb.InfoRequest(digest=KNOWN)),
        *everything(),
    ],
    "nothing": [Write([])],
    "no ref": [Write([W()])],
    "what is there": [put(HELLO), Write([W(ref="r", total=11, expected=KNOWN)]), *everything()],
    "an offset that is none": [
        Write([W(ref="r"), W(action=pb.WRITE, data=b"hello"), W(action=pb.WRITE, offset=9)]),
        Write([W(ref="n", action=pb.COMMIT, offset=5)]),
        Write([W(ref="m", action=pb.WRITE, data=b"abc"), W(action=pb.WRITE, data=b"d", offset=-1)]),
        *everything(),
    ],
    "a wrong size": [
        Write([W(ref="r", action=pb.WRITE, data=b"hello"), W(action=pb.COMMIT, offset=5, total=9)]),
        Write([W(ref="r")]),
        *everything(),
    ],
    "a wrong digest": [
        Write([W(ref="r", action=pb.WRITE, data=b"hello"), W(action=pb.COMMIT, offset=5, expected=f"sha256:{HEX}")]),
        Write([W(ref="s", action=pb.WRITE, data=b"hello"), W(action=pb.COMMIT, offset=5, expected="sha256:zz")]),
        Write([W(ref="t", expected="junk", action=pb.WRITE, data=b"x")]),
        *everything(),
    ],
    "an expected digest that comes by another way": [
        put(HELLO),
        Write([W(ref="r", action=pb.WRITE, data=b"x"), W(action=pb.STAT, expected=KNOWN)]),
        *everything(),
    ],
    "a second commit": [put(HELLO), put(HELLO, "again"), *everything()],
    "a truncation": [
        Write(
            [
                W(ref="r", action=pb.WRITE, data=b"12345"),
                W(action=pb.WRITE, data=b"ab"),
                W(action=pb.COMMIT, offset=2, expected=digest_of(b"ab")),
            ]
        ),
        *everything(),
    ],
    "a commit that drops what was written": [
        Write([W(ref="r", action=pb.WRITE, data=b"12345"), W(action=pb.COMMIT)]),
        *everything(),
    ],
    "labels that are too long": [
        Write([W(ref="r", action=pb.WRITE, data=b"abc"), W(action=pb.COMMIT, offset=3, labels={"k": "v" * 5000})]),
        *everything(),
    ],
    "an unknown action": [Write([W.FromString(W(ref="r").SerializeToString() + b"\x08\x07")])],
    "a changing total": [
        Write([W(ref="r", total=10), W(action=pb.WRITE, data=b"abc"), W(action=pb.STAT, total=7), W()]),
        *everything(),
    ],
    "other algorithms": [
        Write([W(ref="r", action=pb.COMMIT, expected=digest_of(b"", "sha512"))]),
        Write(
            [
                W(ref="r", action=pb.WRITE, data=HELLO),
                W(action=pb.COMMIT, offset=11, expected=digest_of(HELLO, "sha384")),
            ]
        ),
        *everything(),
    ],
    "an odd ref": [Write([W(ref="\x00\n/../é" + "x" * 5000)]), *everything()],
    "a shared blob": [
        put(HELLO),
        Write([W(ref="s", expected=KNOWN, total=11), W()], "-2"),
        *everything("-2"),
        Write([W(ref="s", expected=KNOWN, total=11), W(action=pb.COMMIT, offset=11, total=11)], "-2"),
        *everything("-2"),
    ],
    "a shared blob that grows": [
        put(HELLO),
        Write([W(ref="s", expected=KNOWN, total=11), W(action=pb.WRITE, data=b"!", offset=11), W()], "-2"),
        *everything("-2"),
        Write([W(ref="s", expected=KNOWN), W()], "-2"),
    ],
    "a shared blob that is replaced": [
        put(HELLO),
        Write([W(ref="s", expected=KNOWN), W(action=pb.WRITE, data=b"zz"), W()], "-2"),
        Write([W(ref="e", expected=KNOWN), W(action=pb.WRITE), W(action=pb.WRITE, offset=5)], "-2"),
        Write([W(ref="f", expected=KNOWN), W(action=pb.WRITE, offset=11), W()], "-2"),
        *everything("-2"),
    ],
    "a shared blob that is committed as another": [
        put(HELLO),
        Write([W(ref="s", expected=KNOWN), W(action=pb.COMMIT)], "-2"),
        Write([W(ref="t", expected=KNOWN), W(action=pb.COMMIT, offset=11, expected=f"sha256:{HEX}")], "-2"),
        Write([W(ref="u", expected=KNOWN), W(action=pb.COMMIT, offset=11, total=12)], "-2"),
        Write([W(ref="v", expected=KNOWN, total=12), W()], "-2"),
    ],
    "a lease": [
        Ask("create", leases_pb2.CreateRequest(id="l")),
        Write([W(ref="r", action=pb.WRITE, data=b"leased")], lease="l"),
        Ask("list_resources", leases_pb2.ListResourcesRequest(id="l")),
        Write([W(ref="r", action=pb.COMMIT, offset=6)], lease="l"),
        put(HELLO),
        Write([W(ref="s", expected=KNOWN)], lease="l"),
        put(OTHER),
        put(OTHER, "again", lease="l"),
        Ask("list_resources", leases_pb2.ListResourcesRequest(id="l")),
        Ask("delete", pb.DeleteContentRequest(digest=KNOWN), lease="l"),
        Ask("delete", pb.DeleteContentRequest(digest=digest_of(OTHER)), lease="none"),
        Ask("list_resources", leases_pb2.ListResourcesRequest(id="l")),
    ],
    "a missing lease": [
        put(HELLO),
        Write([W(ref="r")], lease="none"),
        Write([W(ref="r", expected=KNOWN)], lease="none"),
        *everything(),
    ],
    "no namespace": [Write([W(ref="r")], "!"), Write([W(ref="r")], "! !")],
    "parts of a blob": [
        put(HELLO),
        *(
            Ask("read", pb.ReadContentRequest(digest=KNOWN, offset=offset, size=size))
            for offset, size in ((0, 0), (-5, 3), (11, 0), (12, 0), (3, 2), (3, 100), (3, -1), (-1, -1))
        ),
    ],
    "labels": [
        put(HELLO),
        update(x="1"),
        update("labels.y", y="2"),
        update("labels.x"),
        update("labels", q__r="3", z=""),
        update("labels.b.c/d", **{"b__c/d": "4"}),
        update("size"),
        update("labels."),
        update("labels.q.r", "size"),
        update(k="v" * 5000),
        Ask("list", pb.ListContentRequest(filters=['labels."b.c/d"==4'])),
    ],
    "digests that are none": [
        *(Ask("info", pb.InfoRequest(digest=text)) for text in BAD_DIGESTS),
        *(Ask("delete", pb.DeleteContentRequest(digest=text)) for text in BAD_DIGESTS),
        *(Ask("read", pb.ReadContentRequest(digest=text)) for text in BAD_DIGESTS),
        *(Ask("update", pb.UpdateRequest(info=pb.Info(digest=text))) for text in BAD_DIGESTS),
    ],
    "ingests": [
        *(Write([W(ref=ref, action=pb.WRITE, data=b"abc", total=9)]) for ref in ("b", "a", "c")),
        Ask("status", pb.StatusRequest(ref="b")),
        Ask("status", pb.StatusRequest(ref="none")),
        Ask("status", pb.StatusRequest()),
        Ask("list_statuses", pb.ListStatusesRequest(filters=["ref==b"])),
        Ask("list_statuses", pb.ListStatusesRequest(filters=["a=="])),
        Ask("abort", pb.AbortRequest(ref="b")),
        Ask("abort", pb.AbortRequest(ref="b")),
        Ask("abort", pb.AbortRequest()),
        *everything(),
    ],
    "filters": [
        put(HELLO),
        put(OTHER),
        Ask("list", pb.ListContentRequest(filters=[f"digest=={KNOWN}", "labels.x"])),
        Ask("list", pb.ListContentRequest(filters=["digest~=^sha256:b"])),
        Ask("list", pb.ListContentRequest(filters=["size"])),
        Ask("list", pb.ListContentRequest(filters=[""])),
        Ask("list", pb.ListContentRequest(filters=["a=="])),
    ],
}


@pytest.fixture(scope="module")
def both(session_base: Path) -> Iterator[tuple[OverSocket, OverSocket]]:
    """Stock and ours."""
    with ExitStack() as stack:
        stock = stack.enter_context(Daemon.start(STOCK, session_base / "content-stock", config=NO_COLLECTION))
        ours = stack.enter_context(Daemon.start(OURS, session_base / "content-ours", config=NO_COLLECTION))
        yield stack.enter_context(over_socket(stock.address)), stack.enter_context(over_socket(ours.address))


@pytest.mark.parametrize("case", CASES)
def test_ours_answers_as_stock_does(both: tuple[OverSocket, OverSocket], case: str) -> None:
    namespace = f"content-{next(_numbers)}"
    for step in CASES[case]:
        stock, ours = (answers(side, step, namespace) for side in both)
        assert ours == stock


def test_a_resume_with_another_total_begins_anew(both: tuple[OverSocket, OverSocket]) -> None:
    deliberate("resume-begins-anew")
    steps = [
        Write([W(ref="r", total=10), W(action=pb.WRITE, data=b"abc")]),
        Write([W(ref="r", total=20)]),
        Write([W(ref="r")]),
    ]
    stock, ours = ([answers(side, step, "resume") for step in steps] for side in both)
    assert ours[:2] == stock[:2]
    assert "offset: 3" in stock[2][0]
    assert "offset" not in ours[2][0]


def test_an_expected_text_without_an_algorithm_does_not_end_the_daemon(both: tuple[OverSocket, OverSocket]) -> None:
    deliberate("bad-expected-refused")
    _, ours = both
    found = answers(ours, Write([W(ref="r", action=pb.COMMIT, expected="garbage")]), "garbage")
    assert found[-1].startswith("INVALID_ARGUMENT")


def answers(side: OverSocket, step: Write | Ask, namespace: str) -> list[str]:
    """What came of *step*, without what differs from run to run."""
    where = step.namespace.removeprefix("!") if step.namespace.startswith("!") else namespace + step.namespace
    if isinstance(step, Ask):
        contract = LEASES if step.method in {"create", "list_resources"} else CONTENT
        found = outcome(side, contract, step.method, step.request, namespace=where, lease=step.lease)
        if contract is LEASES:
            return sorted(normalized(found).splitlines())
        # Stock lists ingests in no order.
        return sorted(normalized(found).split("statuses {"))
    return [normalized(answer) for answer in written(side, step, where)]


def written(side: OverSocket, step: Write, namespace: str) -> Iterator[str]:
    wire = methods_of(CONTENT)["write"]
    requests: queue.Queue[W | None] = queue.Queue()
    make = side.channel.stream_stream(wire.path, lambda message: message.SerializeToString(), wire.response.FromString)
    metadata = [("containerd-namespace", namespace)] if namespace else []
    metadata += [("containerd-lease", step.lease)] if step.lease else []
    call: Any = make(iter(requests.get, None), metadata=tuple(metadata))
    try:
        for message in step.messages:
            requests.put(message)
            yield str(next(call))
        requests.put(None)
        for _ in call:
            pass  # stock repeats its last answer
        yield "OK"
    except grpc.RpcError as error:
        yield f"{error.code().name}: {error.details()}"
    finally:
        requests.put(None)


def normalized(text: str) -> str:
    text = re.sub(r"(seconds|nanos): \d+", r"\1", text)
    text = re.sub(r"stat \S+/ingest/[0-9a-f]{64}", "stat INGEST", text)
    # Maps come in no order.
    return re.sub(
        r"(  labels \{\n    key: .*\n(?:    value: .*\n)?  \}\n)+",
        lambda match: "".join(sorted(re.findall(r"  labels \{[^}]*\}\n", match[0]))),
        text,
    )
