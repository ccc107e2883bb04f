"""The shim's scheduler: what coroutines wait for, and what cancels them."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Generator

import pytest

from pycontainerd.shim.coroutines import Cancelled, Lock
from pycontainerd.shim.loop import Loop


def run(body: Callable[[Loop], Awaitable[None]]) -> None:
    errors: list[BaseException] = []
    loop = Loop(lambda name, error: errors.append(error))

    async def main() -> None:
        await body(loop)

    loop.run(main())
    if errors:
        raise errors[0]


def test_a_waiter_wakes_all_who_wait_and_keeps_its_first_result() -> None:
    async def body(loop: Loop) -> None:
        waiter, got = loop.waiter(), []

        async def wait() -> None:
            got.append(await waiter)

        tasks = [loop.spawn(wait(), name=f"wait {number}") for number in range(3)]
        await loop.sleep(0)
        waiter.set(1)
        waiter.set(2)
        waiter.fail(ValueError())
        for task in tasks:
            await task.ended
        assert (got, await waiter) == ([1, 1, 1], 1)

    run(body)


def test_a_cancelled_task_cleans_up_and_the_others_go_on() -> None:
    async def body(loop: Loop) -> None:
        seen = []

        async def wait() -> None:
            try:
                await loop.waiter()
            except Cancelled:
                await loop.sleep(0)
                seen.append("cleaned")
                raise

        task = loop.spawn(wait(), name="wait")
        await loop.sleep(0)
        task.cancel()
        await task.ended
        task.cancel()
        assert seen == ["cleaned"]

    run(body)


def test_a_task_that_is_cancelled_before_it_began_never_begins() -> None:
    async def body(loop: Loop) -> None:
        began = []

        async def begin() -> None:
            began.append(1)

        loop.spawn(begin(), name="begin").cancel()
        await loop.sleep(0)
        assert began == []

    run(body)


def test_an_error_of_a_task_reaches_the_hook_with_its_name() -> None:
    told: list[tuple[str, str]] = []
    loop = Loop(lambda name, error: told.append((name, str(error))))

    async def fail() -> None:
        raise ValueError("what")

    async def main() -> None:
        await loop.spawn(fail(), name="failing").ended

    loop.run(main())
    assert told == [("failing", "what")]


def test_timers_come_in_order_and_a_cancelled_one_never() -> None:
    async def body(loop: Loop) -> None:
        seen: list[int] = []
        loop.call_later(0.02, lambda: seen.append(2))
        loop.call_later(0.01, lambda: seen.append(1))
        loop.call_later(0.015, lambda: seen.append(9)).cancel()
        await loop.sleep(0.03)
        assert seen == [1, 2]

    run(body)


def test_cancelled_timers_do_not_pile_up() -> None:
    async def body(loop: Loop) -> None:
        for _ in range(1000):
            loop.call_later(3600, lambda: None).cancel()
        assert len(loop._timers) < 100

    run(body)


def test_a_lock_lets_one_in_at_a_time_in_order_even_if_one_gives_up() -> None:
    async def body(loop: Loop) -> None:
        lock, order = Lock(loop), []

        async def enter(number: int) -> None:
            async with lock:
                order.append(number)
                await loop.sleep(0)

        tasks = [loop.spawn(enter(number), name=f"{number}") for number in range(4)]
        await loop.sleep(0)
        tasks[2].cancel()
        for task in tasks:
            await task.ended
        assert order == [0, 1, 3]
        async with lock:
            order.append(4)

    run(body)


def test_a_plain_file_is_always_ready_and_a_pipe_when_it_has_something() -> None:
    async def body(loop: Loop) -> None:
        file = os.open("/dev/null", os.O_RDWR)
        plain = os.open(__file__, os.O_RDONLY)
        read, write = os.pipe()
        await loop.writable(file)
        await loop.readable(plain)
        task, result = loop.begin(loop.readable(read), name="read")
        await loop.sleep(0)
        assert not result.done()
        os.write(write, b"x")
        await result
        await task.ended
        for fd in (file, plain, read, write):
            loop.forget(fd)
            os.close(fd)

    run(body)


def test_a_signal_arrives_in_the_loop() -> None:
    async def body(loop: Loop) -> None:
        waiter = loop.waiter()
        loop.watch_signals([signal.SIGUSR2], waiter.set)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert await waiter == signal.SIGUSR2

    before = signal.getsignal(signal.SIGUSR2)
    try:
        run(body)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_what_is_shielded_runs_to_its_end_without_its_caller() -> None:
    async def body(loop: Loop) -> None:
        gate, done = loop.waiter(), loop.waiter()

        async def work() -> int:
            await gate
            done.set(7)
            return 7

        async def call() -> None:
            await loop.shielded(work(), name="work")

        task = loop.spawn(call(), name="call")
        await loop.sleep(0)
        task.cancel()
        await task.ended
        gate.set(None)
        assert await done == 7

    run(body)


def test_the_error_of_what_is_shielded_is_its_callers() -> None:
    async def body(loop: Loop) -> None:
        async def work() -> None:
            raise ValueError("what")

        with pytest.raises(ValueError, match="what"):
            await loop.shielded(work(), name="work")

    run(body)


def test_waiting_with_a_limit_tells_which_came_first() -> None:
    async def body(loop: Loop) -> None:
        never, now = loop.waiter(), loop.waiter()
        now.set(None)
        assert not await loop.first_within(never, 0.01)
        assert await loop.first_within(now, 60)

    run(body)


def test_an_error_of_a_callback_is_told_and_everything_else_goes_on() -> None:
    told: list[str] = []
    loop = Loop(lambda name, error: told.append(f"{name.split()[0]}: {error}"))
    handler = signal.getsignal(signal.SIGUSR2)

    def fail(what: object) -> None:
        raise ValueError(what)

    async def main() -> None:
        first, second = os.pipe(), os.pipe()
        seen = loop.waiter()
        loop.watch_signals([signal.SIGUSR2], fail)
        loop.watch_read(first[0], lambda: fail("read"))
        loop.watch_write(first[1], lambda: fail("write"))
        loop.watch_read(second[0], lambda: seen.set(None))
        loop.call_later(0, lambda: fail("timer"))
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR2)
            os.write(first[1], b"x")
            await loop.sleep(0.01)
        os.write(second[1], b"x")
        await seen
        for fd in (*first, *second):
            loop.forget(fd)
            os.close(fd)

    try:
        loop.run(main())
    finally:
        signal.signal(signal.SIGUSR2, handler)
    one = f"signal: {int(signal.SIGUSR2)}"
    assert sorted(told) == sorted(["descriptor: read", "descriptor: write", "timer: timer", one, one])


def test_a_hook_that_fails_itself_ends_nothing() -> None:
    seen = []

    def hook(name: str, error: BaseException) -> None:
        seen.append(name)
        raise error

    def fail() -> None:
        raise ValueError

    loop = Loop(hook)

    async def main() -> None:
        loop.call_later(0, fail)
        await loop.sleep(0.001)
        seen.append("end")

    loop.run(main())
    assert seen == ["timer", "end"]


def test_who_waits_for_a_closed_descriptor_meets_its_error_and_the_others_go_on() -> None:
    told: list[str] = []
    loop = Loop(lambda name, error: told.append(f"{name} {error}"))

    async def main() -> None:
        read, write = os.pipe()
        os.close(read)
        await loop.readable(read)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.read(read, 1)
        await loop.writable(write)
        loop.forget(write)
        os.close(write)

    loop.run(main())
    assert len(told) == 1
    assert "Bad file descriptor" in told[0]


def test_a_task_that_awaits_what_is_not_of_the_loop_ends_alone() -> None:
    told: list[str] = []
    loop = Loop(lambda name, error: told.append(f"{name}: {type(error).__name__}"))

    class Foreign:
        def __await__(self) -> Generator[object, None, None]:
            yield self

    async def wait() -> None:
        await Foreign()

    async def main() -> None:
        await loop.spawn(wait(), name="wait").ended

    loop.run(main())
    assert told == ["wait: TypeError"]


def test_rest_is_told_once_after_each_activity() -> None:
    rests = []
    read, write = os.pipe()

    async def body(loop: Loop) -> None:
        def rested() -> None:
            rests.append(loop.now())
            os.write(write, b"x")  # what happens next

        loop.at_rest(0.001, rested)
        for _ in range(3):
            await loop.readable(read)
            os.read(read, 1)
        loop.forget(read)

    run(body)
    os.close(read)
    os.close(write)
    assert len(rests) == 3
    first, second, third = rests
    assert second - first >= 0.002  # the time doubles
    assert third - second >= 0.004


def test_what_goes_wrong_at_rest_is_reported_and_the_loop_goes_on() -> None:
    errors: list[str] = []
    loop = Loop(lambda name, error: errors.append(f"{name}: {error}"))
    read, write = os.pipe()

    def rested() -> None:
        os.write(write, b"x")
        raise ValueError("no rest")

    async def main() -> None:
        loop.at_rest(0.001, rested)
        await loop.readable(read)
        loop.forget(read)

    loop.run(main())
    os.close(read)
    os.close(write)
    assert errors == ["rest: no rest"]
