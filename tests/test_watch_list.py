"""The list of watches: within 100 columns as text, and whole as HTML."""

import re
from dataclasses import replace

from nbdebug.engine.watch_model import Access, WatchEvent, WatchInfo, WatchSpec
from nbdebug.kernel.watch_list import COLUMNS, WatchList

TEXT = "frame['price'] changed: Series([1.0, 2.0, 3.0]) -> Series([9.0, 2.0, 3.0]) at cell [7]"
EVENT = WatchEvent(
    1, 0.0, "change", "cell [7]", "a.py", 1, "f", "MainThread", "", "1", "2", 1, 2, TEXT
)
INFO = WatchInfo(
    1,
    "frame['price']",
    WatchSpec((Access.CHANGE, Access.READ), condition="new.mean() > 10 and old is not None"),
    "watching",
    "store sites",
    "writes of items, and what changes it in place in your code",
    "writes by C code, changes inside of libraries: told at the next check",
    "a comparison at each statement of yours that changes some container",
    "All 4 watchpoints of the processor are in use.",
    3,
    EVENT,
    "Series([9.0, 2.0, 3.0]), Name: price, Length: 3, dtype: float64, and more",
)


def test_a_list_fits_a_terminal_and_loses_nothing_that_was_seen() -> None:
    text = repr(WatchList([INFO, replace(INFO, id=2, state="ended: the object has died")]))
    lines = text.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert lines[0].split() == (
        ["id", "watched", "options", "state", "value", "hits", "seen", "by", "last", "change"]
    )
    words = " ".join(re.sub(r"\s+", " ", text).split())
    assert "at cell [7]" in words
    for told in (INFO.sees, INFO.cannot_see, INFO.cost, INFO.why_not):
        assert told in words


def test_watches_that_are_served_alike_are_told_of_together() -> None:
    other = replace(INFO, id=3, text="x", mechanism="dict watcher", why_not="", last=None)
    text = repr(WatchList([INFO, replace(INFO, id=2, text="y"), other]))
    assert "frame['price'], y: store sites" in text
    assert "\nx: dict watcher" in text
    assert text.count("can't see") == 2


def test_columns_that_say_nothing_are_left_out() -> None:
    info = replace(INFO, spec=WatchSpec(), last=None, hits=0)
    assert repr(WatchList([info])).splitlines()[0].split() == [
        "id",
        "watched",
        "value",
        "hits",
        "seen",
        "by",
    ]


def test_the_html_is_escaped_and_has_all_that_the_text_has() -> None:
    html = WatchList([replace(INFO, text="<b>")])._repr_html_()
    assert "<b>" not in html and "&lt;b&gt;" in html
    for told in (INFO.sees, INFO.cost, INFO.why_not, INFO.mechanism):
        assert told in html.replace("&#x27;", "'")
    assert "<details open" in html


def test_an_empty_list_says_so() -> None:
    assert repr(WatchList([])) == "Nothing is watched."
    assert "Nothing is watched." in WatchList([])._repr_html_()
