"""Clients that break the protocol, in any order: the server never fails, and no slot is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.serving.conftest import Running, start, stop
from tests.serving.websocket.test_connection import CONFIG, DONE, TEXT, text
from tests.serving.websocket.wire import Wire

MOST_AT_A_TIME = 4
ENGINE_FAILED = 1011
CANCEL = {"type": "response.cancel"}
MESSAGES = st.sampled_from(
    [
        CONFIG,
        CONFIG | {"response_format": "opus", "speed": 1.5},
        CONFIG | {"voice": "nobody"},
        text("four two "),
        text(TEXT * 20),
        text(""),
        text("\ud83d"),
        DONE,
        CANCEL,
        CANCEL | {"played_ms": 40},
        CANCEL | {"played_ms": -5},
        {"type": "ping"},
        {"type": ["input.text"]},
        {},
        [],
        None,
    ]
)
# What no client may send, and the close code that the server answers with.
BREACHES: dict[str, tuple[Callable[[Wire], None], tuple[int, ...]]] = {
    "bad UTF-8": (lambda wire: wire.send_text(b'{"type": "ping\xff"}'), (1007,)),
    "bad UTF-8 in the second frame": (lambda wire: wire.send_text(b"{}\xc3\x28", 3), (1007,)),
    "binary": (lambda wire: wire.send_binary(b"\0\1"), (1003,)),
    "too long": (lambda wire: wire.send(text("x" * 200_000), 5), (1009,)),
    "an unmasked frame": (lambda wire: wire.send_raw(b"\x81\x02{}"), (1002,)),
    "an unknown frame": (lambda wire: wire.send_raw(b"\x83\x80\0\0\0\0"), (1002,)),
    "a reserved close code": (lambda wire: wire.send_raw(b"\x88\x82\0\0\0\0\x03\xed"), (1002,)),
}


def check(wire: Wire) -> None:
    """What holds for whatever a connection has brought."""
    assert wire.close_code != ENGINE_FAILED
    done: set[int] = set()
    for message in wire.messages:
        assert message.get("code") != "internal_error"
        index = message.get("utterance_index")
        if message["type"] == "session.done":
            assert index not in done
            done.add(index)
        elif index is not None:
            assert index not in done, "nothing comes after the end of an utterance"


class Callers(RuleBasedStateMachine):
    """Connections that are opened, used, abused and left in any order."""

    served: Running

    def __init__(self) -> None:
        super().__init__()
        self.wires: list[Wire] = []
        self.frozen: list[Wire] = []

    def any_wire(self, number: int) -> Wire:
        return self.wires[number % len(self.wires)]

    def leave(self, wire: Wire) -> None:
        self.wires.remove(wire)
        check(wire)
        if not self.wires:
            self.arrive()

    @initialize()
    def begin(self) -> None:
        self.arrive()

    @rule()
    def arrive(self) -> None:
        if len(self.wires) < MOST_AT_A_TIME:
            self.wires.append(Wire(self.served.socket_url))
            self.wires[-1].send(CONFIG)

    @rule(number=st.integers(0, 3), message=MESSAGES, cuts=st.integers(0, 3))
    def send(self, number: int, message: Any, cuts: int) -> None:
        self.any_wire(number).send(message, cuts)

    @rule(number=st.integers(0, 3), size=st.sampled_from([1, 100, 65536]))
    def take(self, number: int, size: int) -> None:
        self.any_wire(number).take(0.02, size)

    @rule(number=st.integers(0, 3), kind=st.sampled_from(sorted(BREACHES)))
    def breach(self, number: int, kind: str) -> None:
        wire = self.any_wire(number)
        act, codes = BREACHES[kind]
        act(wire)
        wire.take_until(lambda: False)
        assert wire.close_code in codes, kind
        wire.hang_up(reset=False)
        self.leave(wire)

    @rule(number=st.integers(0, 3), code=st.sampled_from([1000, 1001, 3000, 4999]))
    def say_goodbye(self, number: int, code: int) -> None:
        wire = self.any_wire(number)
        wire.close(code)
        wire.take_until(lambda: False)
        assert wire.close_code == code
        wire.hang_up(reset=False)
        self.leave(wire)

    @rule(number=st.integers(0, 3), reset=st.booleans())
    def vanish(self, number: int, reset: bool) -> None:
        wire = self.any_wire(number)
        wire.hang_up(reset=reset)
        self.leave(wire)

    @rule(number=st.integers(0, 3))
    def vanish_within_a_message(self, number: int) -> None:
        wire = self.any_wire(number)
        wire.send_raw(b"\x01\x85\0\0\0\0")  # the head of a frame, and not its five bytes
        self.vanish(number, reset=False)

    @rule(number=st.integers(0, 3))
    def freeze(self, number: int) -> None:
        """Neither take nor send anything more, and leave the connection open."""
        wire = self.any_wire(number)
        wire.send(text(TEXT * 20))
        self.frozen.append(wire)
        self.leave(wire)

    @invariant()
    def the_server_is_well(self) -> None:
        assert self.served.server.healthy
        for wire in self.wires:
            check(wire)

    def teardown(self) -> None:
        """Who has kept to the protocol can go on, and no slot stays taken."""
        for wire in self.wires:
            wire.send(CANCEL)
            wire.send({"type": "ping"})
            wire.take_until(lambda wire=wire: {"type": "pong"} in wire.messages)
            assert not wire.closed
            check(wire)
            wire.hang_up(reset=False)
        self.served.wait_until(lambda: self.served.server.active == 0)  # the frozen ones, too
        for wire in self.frozen:
            wire.hang_up(reset=False)


@pytest.fixture(scope="module")
def impatient() -> Iterator[Running]:
    """A server that soon cuts off who takes nothing."""
    running = start(stall_s=0.5, text_timeout_s=1.0)
    yield running
    stop(running)


def test_any_order_of_breaches_and_departures(impatient: Running) -> None:
    machine = type("Machine", (Callers,), {"served": impatient})
    few = settings(max_examples=8, stateful_step_count=12)
    run_state_machine_as_test(machine, settings=few)


def test_a_slow_reader_hears_all(served: Running) -> None:
    """He takes less than is made, and nothing is dropped."""
    wire = Wire(served.socket_url)
    wire.send(CONFIG | {"max_lead_s": 3600})
    wire.send(text(TEXT * 20))
    wire.send(DONE)
    while not any(one["type"] == "session.done" for one in wire.messages):
        wire.take(30, 4096)
        time.sleep(0.005)
        assert not wire.closed
    done = next(one for one in wire.messages if one["type"] == "audio.done")
    assert not done["error"] and done["total_bytes"] == wire.num_bytes > 0
    wire.hang_up(reset=False)
    served.wait_until(lambda: served.server.active == 0)
