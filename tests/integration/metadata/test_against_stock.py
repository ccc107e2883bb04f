"""Namespaces, leases, images and containers answer as stock's do: code, message, reply."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.containerd.services.leases import v1_pb2 as ls
from pycontainerd.api.containerd.services.namespaces import v1_pb2 as ns
from pycontainerd.errors import Error, InvalidArgument
from pycontainerd.rpc.status import to_status
from tests.harness.asking import Asker, over_socket
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.harness.differences import deliberate
from tests.integration.metadata.chains import CHAINS, WITHOUT_PART
from tests.integration.metadata.questions import LEASES, NAMESPACES, OWN, Question, create_image, image, list_images

THIS_DECADE = range(1_700_000_000, 2_000_000_000)


@pytest.fixture(scope="module")
def stock(session_base: Path) -> Iterator[Asker]:
    with Daemon.start(STOCK, session_base / "md-stock") as daemon, over_socket(daemon.address) as asker:
        yield asker


@pytest.fixture(scope="module")
def ours(session_base: Path) -> Iterator[Asker]:
    with Daemon.start(OURS, session_base / "md-ours") as daemon, over_socket(daemon.address) as asker:
        yield asker


def answer(asker: Asker, question: Question, own: str) -> Any:
    """The reply without the times of the test, or the status."""
    namespace = own if question.namespace == OWN else question.namespace or ""
    try:
        reply = asker.ask(
            question.service, question.method, question.request, namespace=namespace, lease=question.lease
        )
    except Error as error:
        status = to_status(error)
        return status.code, status.message
    for message in reply if isinstance(reply, list) else [reply]:
        without_times(message)
    return reply


def without_times(message: Message) -> None:
    """Makes all times of today the same."""
    if isinstance(message, Timestamp) and message.seconds in THIS_DECADE:
        message.seconds, message.nanos = 1, 0
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in [value] if isinstance(value, Message) else value:
            without_times(each)


@pytest.mark.parametrize("name", CHAINS)
def test_every_answer_is_the_one_of_stock(name: str, stock: Asker, ours: Asker) -> None:
    different = []
    for question in CHAINS[name]:
        theirs, own = answer(stock, question, name), answer(ours, question, name)
        if theirs != own:
            different.append(f"{question}\n  stock: {theirs}\n  ours:  {own}")
    assert different == []


PIECES = [
    *("name", "labels", "target.digest", "a b", ".", ",", "==", "!=", "~=", "=", "!", '"', "/", "|", "\\", "x", "é"),
    *("\\u00e9", "\\x41", "\\101", "\\n", "\t", "\n", "[", "(", "^a", "1", "_", "\0", "\u2003", "@", " "),
]


def test_random_filters_are_read_as_by_stock(stock: Asker, ours: Asker) -> None:
    rng = random.Random(7)  # noqa: S311 - a test that can be repeated
    texts = ["".join(rng.choices(PIECES, k=rng.randrange(1, 9))) for _ in range(400)]
    texts += [f"name~={text}" for text in texts[:100]]
    for question in (create_image(image("a")), create_image(image("xé", labels={"x": "1"}))):
        assert answer(stock, question, "random-filters") == answer(ours, question, "random-filters")
    different = []
    for text in texts:
        question = list_images(text)
        theirs, own = answer(stock, question, "random-filters"), answer(ours, question, "random-filters")
        if theirs != own:
            different.append((text, theirs, own))
    assert different == []


@pytest.mark.parametrize("name", WITHOUT_PART)
def test_a_request_without_its_named_part_is_refused(name: str, ours: Asker) -> None:
    deliberate("nil-parts-refused")
    service, method, request = WITHOUT_PART[name]
    with pytest.raises(InvalidArgument):
        ours.ask(service, method, request, namespace="nil")


@pytest.mark.parametrize("request_", [ls.AddResourceRequest(id="l"), ls.DeleteResourceRequest(id="l")])
def test_a_lease_is_not_changed_by_no_resource(request_: Message, ours: Asker) -> None:
    deliberate("nil-parts-refused")
    method = "add_resource" if isinstance(request_, ls.AddResourceRequest) else "delete_resource"
    with pytest.raises(InvalidArgument, match="no resource"):
        ours.ask(LEASES, method, request_, namespace="nil")


@pytest.mark.parametrize("method", ["create", "update"])
def test_a_namespace_is_not_changed_by_no_namespace(method: str, ours: Asker) -> None:
    deliberate("nil-parts-refused")
    request = ns.CreateNamespaceRequest() if method == "create" else ns.UpdateNamespaceRequest()
    with pytest.raises(InvalidArgument, match="no namespace"):
        ours.ask(NAMESPACES, method, request, namespace="")
