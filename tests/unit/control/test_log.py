from __future__ import annotations

import logging

import pytest

from fairlead.control.log import logger

log = logger("fairlead.test")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_line_is_an_event_and_facts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log.info("iscsi.login.refused", peer="[::1]:3260", status="0x0201", age_s=1.50, reason="no way")
    assert lines(caplog) == [
        'iscsi.login.refused peer=[::1]:3260 status=0x0201 age_s=1.5 reason="no way"'
    ]


@pytest.mark.parametrize("sent", ['a"b', "a b", "a=b", "a\nb", "a\\b", "\x1b[31m", "é", "", "%s"])
def test_whatever_a_peer_sends_stays_one_plain_line(
    sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log.info("event", name=sent)
    [line] = lines(caplog)
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith("event name=")


def test_quiet_levels_cost_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    log.info("event")
    assert lines(caplog) == []


def test_an_exception_brings_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    try:
        int("inside")
    except ValueError:
        log.exception("scsi.upcall.failed", lun=0)
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.getMessage() == "scsi.upcall.failed lun=0"
