"""`containerd publish`: sends one event to a daemon, as shims of old versions do it."""

from __future__ import annotations

import sys

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from pycontainerd.client.blocking import connect
from pycontainerd.commands.containerd.arguments import Arguments
from pycontainerd.errors import InvalidArgument, Unavailable

CONNECT_S = 5.0


def publish(arguments: Arguments) -> int:
    """Sends the `google.protobuf.Any` that comes on standard input under the topic of the command line.

    Raises InvalidArgument without a topic or for input that is no Any, Unavailable when no daemon answers.
    """
    topic, address = arguments.text("topic"), arguments.text("address").removeprefix("unix://")
    if not topic:
        raise InvalidArgument("topic required to publish event")
    if not address:
        raise Unavailable("no daemon to publish to: --address is needed before the command", bare=True)
    try:
        event = Any.FromString(sys.stdin.buffer.read())
    except DecodeError as error:
        raise InvalidArgument(f"the event on standard input is no google.protobuf.Any: {error}", bare=True) from None
    with connect(address, namespace=arguments.text("namespace"), timeout_s=CONNECT_S) as client:
        client.events.publish(topic, event)
    return 0
