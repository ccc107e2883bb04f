"""gRPC over TCP with TLS: grpcio and our own client against our server."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from functools import partial
from pathlib import Path

import grpc
import pytest
import uvloop

from pycontainerd import errors
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.grpc.client import GrpcClient
from pycontainerd.servers.stream import has_common_name
from tests.harness.rpc import ECHO, WAIT_S, Calling, parcel, serving
from tests.harness.waiting import until

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            certificate,
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificate)
    made.set_alpn_protocols(["h2"])
    return made


def test_grpcio_talks_over_tls(certificate: tuple[Path, Path], context: ssl.SSLContext) -> None:
    credentials = grpc.ssl_channel_credentials(certificate[0].read_bytes())
    with serving(tls=context) as server, grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        say = channel.unary_unary(
            ECHO["say"].path, lambda each: each.SerializeToString(), ECHO["say"].response.FromString
        )
        assert say(parcel(data=b"x" * 3 * MIB), timeout=WAIT_S).data == b"x" * 3 * MIB
        flow = channel.unary_stream(ECHO["flow"].path, lambda each: each.SerializeToString(), len)
        assert sum(flow(parcel(data=b"x" * MIB, number=64))) > 64 * MIB
        assert server.echo.calls[0].peer is None


def test_our_client_talks_over_tls(certificate: tuple[Path, Path], context: ssl.SSLContext) -> None:
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    trust.set_alpn_protocols(["h2"])
    with serving(tls=context) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def connect() -> GrpcClient:
            driver = AsyncioDriver()
            client = GrpcClient(driver, authority="localhost", secure=True)
            await driver.connect_tcp("127.0.0.1", server.port, client, tls=trust, server_hostname="localhost")
            return client

        client = Calling(runner.run(connect()), runner.run)
        assert client.unary("say", parcel(data=b"x" * 3 * MIB)).data == b"x" * 3 * MIB
        assert len(client.replies("flow", parcel(data=b"x" * MIB, number=32))) == 32
        with pytest.raises(errors.NotFound):
            client.unary("fail", parcel(text="NotFound"))
        runner.run(client.client.close())
        until(lambda: runner.run(gone(client.client)), "the connection is gone: TLS ends with words of both sides")


async def gone(client: GrpcClient) -> bool:
    """Whether a turn of the loop later there is no connection."""
    await asyncio.sleep(0)
    return client.transport is None


@pytest.mark.parametrize(
    ("wanted", "shown", "served"), [("localhost", 1, True), ("other", 1, False), ("localhost", 0, False)]
)
def test_only_clients_of_the_common_name_are_served(
    certificate: tuple[Path, Path], context: ssl.SSLContext, wanted: str, shown: bool, served: bool
) -> None:
    context.load_verify_locations(certificate[0])
    context.verify_mode = ssl.CERT_OPTIONAL
    identity = {"private_key": certificate[1].read_bytes(), "certificate_chain": certificate[0].read_bytes()}
    credentials = grpc.ssl_channel_credentials(certificate[0].read_bytes(), **(identity if shown else {}))
    with (
        serving(tls=context, admits=partial(has_common_name, wanted)) as server,
        grpc.secure_channel(f"localhost:{server.port}", credentials) as channel,
    ):
        say = channel.unary_unary(
            ECHO["say"].path, lambda each: each.SerializeToString(), ECHO["say"].response.FromString
        )
        if served:
            assert say(parcel(data=b"x"), timeout=WAIT_S).data == b"x"
        else:
            with pytest.raises(grpc.RpcError) as refused:
                say(parcel(data=b"x"), timeout=WAIT_S)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert server.echo.calls == []


def test_who_does_not_trust_the_server_does_not_talk_to_it(context: ssl.SSLContext) -> None:
    async def connect(port: int) -> None:
        driver = AsyncioDriver()
        trust = ssl.create_default_context()
        await driver.connect_tcp("127.0.0.1", port, GrpcClient(driver), tls=trust, server_hostname="localhost")

    with (
        serving(tls=context) as server,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        runner.run(connect(server.port))


def test_plain_tcp_works_too() -> None:
    with serving() as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def connect() -> GrpcClient:
            driver = AsyncioDriver()
            client = GrpcClient(driver, keepalive_s=0.01)
            await driver.connect_tcp("127.0.0.1", server.port, client)
            return client

        client = Calling(runner.run(connect()), runner.run)
        assert client.unary("say", parcel(text="x", number=100)).text == "x"
        runner.run(client.client.close())
        until(lambda: runner.run(gone(client.client)), "the connection is gone")
