"""Hardware watches where the machine allows them, and their refusals.

Each program runs on every Python, in a process of its own. Where perf events are forbidden, what
needs them is skipped with the reason; the kernel's records are parsed in any case.
"""

import array
import ctypes
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from interpreters import ROOT

from nbdebug import errors
from nbdebug.engine import hardware, memory
from nbdebug.engine.hardware import Access, Look, MemoryHit, NoWatchSlot
from nbdebug.engine.memory import BufferItems, ListSlot, Span

IMPORTS = """
import array, errno, os, threading
from nbdebug import errors
from nbdebug.engine.hardware import Access, HardwareWatch, NoWatchSlot, why_not
from nbdebug.engine.memory import BufferItems, ListSlot

own = threading.get_native_id()
"""


@pytest.fixture
def able(each_python: Path) -> Path:
    """Each Python, where this machine has hardware watches."""
    reason = hardware.why_not()
    if reason is not None:
        pytest.skip(f"no hardware watches here: {reason}")
    return each_python


def run(python: Path, program: str) -> str:
    """Run a program after the imports; return what it printed."""
    done = subprocess.run(
        [str(python), "-P", "-X", "faulthandler", "-c", IMPORTS + program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_each_write_of_an_element_is_told_with_its_thread_and_no_other(able: Path) -> None:
    program = """
import numpy
data = numpy.zeros(10, dtype=numpy.int64)
watch = HardwareWatch(BufferItems(data, 3))
data[2] = data[4] = 1
look = watch.look()
assert not look.hits and not look.changed and not watch.is_hit_here()
data[3] = 5; data[:] = 5; data += 1; numpy.add(data, 1, out=data); data.fill(0)
assert watch.is_hit_here()
look = watch.look()
assert [hit.thread for hit in look.hits] == [own] * 5, look
assert not look.changed  # it is 0 again: only the processor saw that
times = [hit.time_ns for hit in look.hits]
assert times == sorted(times)
data[3] = 7
look = watch.look()
assert (int.from_bytes(look.old, "little"), int.from_bytes(look.new, "little")) == (0, 7)
assert not watch.is_hit_here() and not watch.look().hits
watch.close(); watch.close()
data[3] = 8
assert not watch.is_hit_here()
"""
    run(able, program)


def test_threads_are_told_apart_and_those_that_begin_are_followed(able: Path) -> None:
    program = """
data = array.array("q", [0] * 8)
ready, go, wrote, end = (threading.Event() for _ in range(4))
def write():
    ready.set(); go.wait(); data[1] = 1; wrote.set(); end.wait()
before = threading.Thread(target=write); before.start(); ready.wait()
watch = HardwareWatch(BufferItems(data, 1))
go.set(); wrote.wait()
assert [hit.thread for hit in watch.look().hits] == [before.native_id]
go.clear(); wrote.clear(); ready.clear()
data[1] = 0; watch.look()
after = threading.Thread(target=write); after.start(); ready.wait()
watch.follow()
go.set(); wrote.wait()
assert [hit.thread for hit in watch.look().hits] == [after.native_id]
end.set(); before.join(); after.join()
unseen = threading.Thread(target=data.__setitem__, args=(1, 9)); unseen.start(); unseen.join()
look = watch.look()
assert look.is_unattributed and not look.hits
watch.close()
"""
    run(able, program)


def test_what_the_kernel_writes_is_found_though_no_thread_is_known(able: Path) -> None:
    program = """
data = bytearray(8)
watch = HardwareWatch(BufferItems(data, 0, 8))
with open("/proc/self/exe", "rb", buffering=0) as file:
    file.readinto(data)
look = watch.look()
assert look.is_unattributed and look.new.startswith(b"\\x7fELF")
"""
    run(able, program)


def test_reads_are_told_where_they_are_asked_for_and_our_own_are_not(able: Path) -> None:
    program = """
data = array.array("q", [0] * 8)
watch = HardwareWatch(BufferItems(data, 2), Access.READ_WRITE)
data[2]
assert len(watch.look().hits) == 1
assert not watch.look().hits
data[2] = 1
assert len(watch.look().hits) == 1
"""
    run(able, program)


def test_a_slot_of_a_list_is_followed_when_the_list_moves_and_ends_when_it_shrinks(
    able: Path,
) -> None:
    program = """
items = [1, 2, 3]
watch = HardwareWatch(ListSlot(items, 1))
items[1] = 20
assert len(watch.look().hits) == 1
items.extend(range(100_000)); watch.look()
items[1] = 30
look = watch.look()
assert [hit.thread for hit in look.hits] == [own] and look.changed
items[0] = items[2] = 0
assert not watch.look().hits
items.clear()
assert watch.look().new is None and not watch.filenos()
"""
    run(able, program)


def test_a_fifth_watch_is_refused_and_one_that_is_closed_makes_room(able: Path) -> None:
    program = """
data = array.array("q", [0] * 16)
watches = [HardwareWatch(BufferItems(data, i)) for i in range(4)]
before = len(os.listdir("/proc/self/fd"))
try:
    HardwareWatch(BufferItems(data, 5))
except NoWatchSlot as error:
    print(error)
assert len(os.listdir("/proc/self/fd")) == before
assert why_not() is None
for watch in watches[:2]:
    watch.close()
pair = HardwareWatch(BufferItems(data, 5, 2))
assert pair.slots == 2
data[6] = 1
assert len(pair.look().hits) == 1
"""
    assert run(able, program) == "All 4 watchpoints of the processor are in use."


def test_a_poll_wakes_up_at_a_hit(able: Path) -> None:
    program = """
import select
data = array.array("q", [0] * 16)
watch = HardwareWatch(BufferItems(data, 5))
poll = select.poll()
for fileno in watch.filenos():
    poll.register(fileno, select.POLLIN)
assert not poll.poll(0)
data[5] = 1
assert len(poll.poll(10_000)) == 1
"""
    run(able, program)


def test_more_hits_than_the_ring_holds_are_counted_as_lost(able: Path) -> None:
    program = """
data = array.array("q", [0] * 4)
watch = HardwareWatch(BufferItems(data, 0))
for i in range(1000):
    data[0] = i
look = watch.look()
assert 0 < len(look.hits) < 1000, len(look.hits)
data[0] = 5
again = watch.look()  # the kernel tells of the loss once there is room
assert len(look.hits) + look.lost + len(again.hits) + again.lost == 1001, (look.lost, again)
"""
    run(able, program)


FORBIDDEN = """
import ctypes, platform, struct
from nbdebug.engine.hardware import _SYSCALLS
libc = ctypes.CDLL(None, use_errno=True)
number = _SYSCALLS[platform.machine()]
# load the call's number; if it is perf_event_open, refuse; else allow
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x00050000 | errno.{}),
         (6, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0
try:
    HardwareWatch(BufferItems(array.array("q", [0]), 0))
except errors.NotSupported as error:
    assert str(error) == why_not()
    print(error)
"""


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("EPERM", "forbidden here, by the container or by /proc/sys/kernel/perf_event_paranoid ("),
        ("EACCES", "forbidden here"),
        ("ENOSYS", "This machine offers no hardware watches"),
        ("EMFILE", "The kernel refuses a hardware watch"),
    ],
)
def test_where_the_kernel_refuses_the_reason_is_told(
    each_python: Path, refusal: str, said: str
) -> None:
    assert said in run(each_python, FORBIDDEN.format(refusal))


def test_without_linux_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    hardware.why_not.cache_clear()
    monkeypatch.setattr("sys.platform", "darwin")
    try:
        assert (
            hardware.why_not() == "Hardware watches need Linux's perf events, and this is darwin."
        )
    finally:
        hardware.why_not.cache_clear()


# -- what the kernel is given and tells


def test_the_kernel_gets_one_breakpoint_that_samples_each_hit() -> None:
    given = hardware.attributes(Span(0x1234560, 8), Access.READ_WRITE)
    kind, size = struct.unpack_from("=II", given, 0)
    assert (kind, size) == (5, len(given)) == (5, 120)
    assert struct.unpack_from("=Q", given, 16) == (1,)
    assert struct.unpack_from("=II", given, 48) == (1, 3)
    assert struct.unpack_from("=QQ", given, 56) == (0x1234560, 8)


def sample(thread: int, time_ns: int) -> bytes:
    return struct.pack("=IHHIIQ", 9, 2, 24, 1, thread, time_ns)


LOST = struct.pack("=IHHQQ", 2, 0, 24, 77, 12)
THROTTLED = struct.pack("=IHHQQQ", 5, 0, 32, 1, 2, 3)


def test_records_are_read_whole_and_others_are_passed() -> None:
    data = sample(7, 100) + THROTTLED + LOST + sample(8, 200)
    expected = [MemoryHit(7, 100), 12, MemoryHit(8, 200)]
    assert list(hardware.records_in(data)) == expected
    assert list(hardware.records_in(data[:-1])) == expected[:-1]
    assert list(hardware.records_in(b"")) == []
    assert list(hardware.records_in(b"\0" * 64)) == []  # a length of 0 doesn't loop for ever


def test_a_ring_is_read_across_its_end_and_after_many_rounds() -> None:
    ring = bytes(range(16))
    assert hardware.unwrapped(ring, 4, 8) == bytes([4, 5, 6, 7])
    assert hardware.unwrapped(ring, 14, 18) == bytes([14, 15, 0, 1])
    assert hardware.unwrapped(ring, 16 * 9 + 14, 16 * 10 + 2) == bytes([14, 15, 0, 1])
    assert hardware.unwrapped(ring, 5, 5) == b""
    assert len(hardware.unwrapped(ring, 0, 16)) == 16


@pytest.mark.parametrize(
    ("address", "length", "sizes"),
    [
        (0x1000, 8, [8]),
        (0x1004, 4, [4]),
        (0x1002, 6, [2, 4]),
        (0x1001, 8, [1, 2, 4, 1]),
        (0x1000, 32, [8, 8, 8, 8]),
        (0x1000, 3, [2, 1]),
    ],
)
def test_bytes_are_divided_into_aligned_parts(address: int, length: int, sizes: list[int]) -> None:
    parts = hardware.parts_of(Span(address, length))
    assert [part.length for part in parts] == sizes
    assert all(part.address % part.length == 0 for part in parts)
    assert sum(sizes) == length and parts[0].address == address


@pytest.mark.parametrize(("address", "length"), [(0x1000, 33), (0x1001, 31), (0x1000, 10**9)])
def test_more_than_four_parts_are_refused(address: int, length: int) -> None:
    with pytest.raises(NoWatchSlot, match=f"{length} bytes need more than the 4"):
        hardware.parts_of(Span(address, length))


def test_a_look_says_whether_a_change_has_no_known_writer() -> None:
    assert Look((), 0, b"a", b"b").is_unattributed
    assert not Look((MemoryHit(1, 2),), 0, b"a", b"b").is_unattributed
    assert not Look((), 0, b"a", None).is_unattributed
    assert not Look((), 0, b"a", b"a").changed


# -- places in memory


def bytes_at(place: memory.Place) -> bytes:
    span = place.span()
    assert span is not None
    there = ctypes.string_at(span.address, span.length)
    assert place.read() == there
    return there


def test_elements_are_found_in_every_kind_of_buffer() -> None:
    matrix = np.arange(12, dtype=np.int32).reshape(3, 4)
    for owner, start, count, expected in (
        (array.array("h", [1, 2, 3]), 1, 1, 2),
        (bytearray(b"abc"), -1, 1, ord("c")),
        (memoryview(bytearray(b"abc")), 0, 1, ord("a")),
        (np.array([3, 4], dtype="datetime64[s]"), 1, 1, 4),
        (matrix, (1, 2), 1, 6),
        (matrix.T, (2, 1), 1, 6),
        (matrix[::2, ::-1], (1, 0), 1, 11),
    ):
        place = BufferItems(owner, start, count)
        assert int.from_bytes(bytes_at(place), "little") == expected
    assert bytes_at(BufferItems(bytearray(b"abcdef"), 2, 3)) == b"cde"


def test_a_place_that_moves_or_goes_is_followed_and_never_read_after_its_death() -> None:
    grows = bytearray(b"ab")
    place = BufferItems(grows, 1)
    grows.extend(bytes(10**6))
    assert bytes_at(place) == b"b"
    del grows[1:]
    assert place.span() is None and place.read() is None
    dies = np.ones(10**6)
    place = BufferItems(dies, 5)
    del dies
    assert place.span() is None and place.read() is None


@pytest.mark.parametrize(
    ("owner", "start", "count", "error"),
    [
        (bytearray(3), 3, 1, IndexError),
        (bytearray(3), -4, 1, IndexError),
        (bytearray(3), 1, 3, IndexError),
        (bytearray(3), 0, 0, IndexError),
        (np.zeros((2, 2)), 1, 1, errors.NotSupported),
        (np.zeros(9)[::2], 0, 2, errors.NotSupported),
        ([1], 0, 1, errors.NotSupported),
        ("text", 0, 1, errors.NotSupported),
    ],
)
def test_what_is_no_place_in_a_buffer_is_refused(
    owner: object, start: int, count: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        BufferItems(owner, start, count)


def test_a_slot_of_a_list_holds_the_address_of_its_object() -> None:
    items: list[object] = ["a", "b"]
    place = ListSlot(items, -1)
    assert bytes_at(place) == id("b").to_bytes(8, "little")
    items.append("c")
    assert bytes_at(place) == id("c").to_bytes(8, "little")
    with pytest.raises(IndexError):
        ListSlot(items, 3)
    with pytest.raises(errors.NotSupported, match="isn't a list"):
        ListSlot((1,), 0)  # type: ignore[arg-type]  # that is the test
