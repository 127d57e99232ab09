from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from fairlead.cli.context_table import context_table, printable
from fairlead.dataplane.kernel import KernelContextInfo
from fairlead.management.documents import contexts_document
from fairlead.sched.settings import Priority, Rate, Settings
from tests.support.contexts import context, snapshot

if TYPE_CHECKING:
    from fairlead.control.measurement import Context


def drawn(*contexts: Context, width: int = 80) -> list[str]:
    found = snapshot(*contexts)
    console = Console(file=io.StringIO(), width=width)
    console.print(context_table(contexts_document(found, found.contexts, []), columns=width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def rows(*contexts: Context, width: int = 80) -> list[list[str]]:
    lines = drawn(*contexts, width=width)
    [ruler] = [number for number, line in enumerate(lines) if "───" in line]
    return [line.split() for line in lines[ruler + 1 :] if line.strip()]


def test_a_busy_context_is_shown_with_all_its_figures() -> None:
    settings = Settings(weight=4, priority=Priority.IDLE, limit=Rate(iops=12_000))
    busy = context("a", ops=12_000, queue=7.0, service=12_345.0, in_flight=3, settings=settings)
    [row] = rows(busy)
    assert row == [
        *("a", "4", "idle", "100%", "100%", "12,000", "49.2", "7/7", "12k/12k", "3", "limit")
    ]
    title = "1 I/O contexts on vda; rates of the last 1.0 s, times since each began"
    assert drawn(busy)[0].strip() == title


def test_who_wants_nothing_has_no_share() -> None:
    assert rows(context("a")) == [["a", "1", "-", "-", "0", "0.0", "0/0", "0/0", "0", "-"]]


def test_contexts_come_in_the_order_of_devices_and_names() -> None:
    found = rows(context("b"), context("c", device="sda"), context("a"))
    assert [row[:2] for row in found] == [["c", "sda"], ["a", "vda"], ["b", "vda"]]


def test_eighty_columns_are_enough_for_every_figure() -> None:
    name = "iqn.2026-01.example.clients:anna-with-a-long-name"
    busy = context(name, ops=123_456, queue=99_999.0, service=99_999.0, in_flight=1024)
    lines = drawn(busy)
    assert max(map(len, lines)) <= 80
    [row] = rows(busy)
    assert row == [
        *(
            "…-a-long-name",
            "1",
            "100%",
            "100%",
            "123,456",
            "505.7",
            "100k/100k",
            "100k/100k",
            "1024",
        ),
        "window",
    ]
    [[whole, *_]] = rows(busy, width=160)
    assert whole == name


def test_a_name_is_neither_markup_nor_an_order_to_the_terminal() -> None:
    text = "\n".join(drawn(context("[red]x[/red]\x1b[2J"), width=160))
    assert "[red]x[/red]\\x1b[2J" in text
    assert printable("a\nb\u202e") == "a\\nb\\u202e"


def test_where_contexts_have_rings_there_is_a_column_for_them() -> None:
    plain = KernelContextInfo(
        state="plain", ring_requests=0, plain_requests=0, keeper=None, reason=None
    )
    own = replace(plain, state="ring", ring_requests=49, plain_requests=1, keeper=7)
    parked = replace(own, state="parked", ring_requests=0)
    contexts = [
        context("a", kernel=own),
        context("b", kernel=parked),
        context("c", kernel=plain),
        context("d", device="sda"),
    ]
    found = rows(*contexts, width=160)
    assert [row[-2:] for row in found] == [
        *(["-", "-"], ["ring", "98%"], ["parked", "0%"], ["-", "plain"])
    ]
    assert drawn(*contexts, width=160)[-6].split()[-1] == "kernel"
    assert not any("kernel" in line for line in drawn(context("d")))
