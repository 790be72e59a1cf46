"""Times on pages: in UTC without JavaScript, and said so; the script shows the reader's, with UTC on hover."""

from datetime import UTC, datetime

import pytest

from expunge.service.pages.rendering import moment


@pytest.mark.parametrize(
    "at", ["2026-11-03T10:05:09.123+00:00", "2026-11-03T11:05:09+01:00", datetime(2026, 11, 3, 10, 5, 9, tzinfo=UTC)]
)
def test_a_time_is_shown_in_utc(at):
    assert moment(at) == '<time class="local" datetime="2026-11-03T10:05:09+00:00">3 Nov 2026, 10:05 UTC</time>'
