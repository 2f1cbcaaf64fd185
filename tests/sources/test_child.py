"""The daemon's side of a driver's process."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from heimdall_edge.drivers.framing import FrameKind
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S
from heimdall_edge.sources.child import DriverProcess

PRELUDE = """\
import os, signal, sys, time
from heimdall_edge.drivers.framing import Frame, FrameKind
from heimdall_edge.drivers.outlet import Outlet
from heimdall_edge.drivers.parent import Parent, live_and_die_with_parent, take_standard_output
live_and_die_with_parent()
parent = Parent()
settings = parent.settings()
outlet = Outlet(take_standard_output(), bytes_per_sample=2)
def hello(): outlet.say(FrameKind.HELLO, {"pid": os.getpid(), "settings": settings})
def samples(n=1):
    for i in range(n):
        outlet.offer(Frame(FrameKind.SAMPLES, bytes([i % 256]) * 8192, time.monotonic_ns()))
"""
LASTS = "hello(); samples()\nfor _ in parent.commands(): pass\n"
HANGS = "hello(); samples(); time.sleep(600)\n"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A driver's program → its process; all are closed at the end, and none is left."""
    made = []
    paths = [str(tmp_path), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))

    def make(program, **limits):
        module = f"scripted_driver_{len(made)}"
        (tmp_path / f"{module}.py").write_text(PRELUDE + program)
        settings = limits.pop("settings", {"key": "value"})
        made.append(DriverProcess(module=module, settings=settings, name="test radio", **limits))
        return made[-1]

    yield make
    for process in made:
        process.close()
    assert psutil.Process().children() == []


def first_samples(process):
    return next(f for f in process.frames() if f.kind is FrameKind.SAMPLES)


def test_what_the_driver_says_it_opened_is_told(driver):
    hello = driver(LASTS, settings={"serial": "7"}).start()
    assert hello["settings"] == {"serial": "7"}


def test_settings_stand_in_no_process_list(driver):
    hello = driver(LASTS, settings={"password": "hush"}).start()
    child = psutil.Process(hello["pid"])
    assert "hush" not in " ".join(child.cmdline())
    assert "hush" not in str(child.environ())


def test_a_driver_lives_in_a_session_of_its_own(driver):
    pid = driver(LASTS).start()["pid"]
    assert os.getsid(pid) == pid


def test_frames_come_in_order_and_whole(driver):
    process = driver("hello(); samples(200)\nfor _ in parent.commands(): pass\n")
    process.start()
    frames = process.frames()
    assert [next(frames).payload[:1] for _ in range(200)] == [bytes([i]) for i in range(200)]


def test_what_a_library_prints_disturbs_no_frame(driver):
    process = driver("print('Found a tuner'); sys.stdout.flush(); os.write(1, b'x')\n" + LASTS)
    process.start()
    assert len(first_samples(process).payload) == 8192


def test_commands_reach_the_driver(driver):
    program = "hello()\nfor c in parent.commands(): outlet.say(FrameKind.EVENT, c); samples()\n"
    process = driver(program)
    process.start()
    process.send({"tune": 446.1e6})
    event = next(process.frames())
    assert (event.kind, event.json) == (FrameKind.EVENT, {"tune": 446.1e6})


def test_a_driver_that_takes_no_commands_is_an_error_and_no_wait(driver, eventually):
    process = driver(LASTS)
    pid = process.start()["pid"]
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "the driver stops")
    process.send({"filler": "x" * 60_000})
    with pytest.raises(SourceError, match="test radio: driver does not take commands"):
        process.send({"filler": "x" * 60_000})


@pytest.mark.parametrize(
    ("permanent", "error_type"), [(False, SourceError), (True, SourceDataError)]
)
def test_a_driver_that_gives_up_says_why(driver, permanent, error_type):
    said = {"reason": "busy", "message": "another program has it", "permanent": permanent}
    process = driver(f"outlet.say(FrameKind.ERROR, {said!r}); outlet.close(timeout_s=5)")
    with pytest.raises(SourceError, match=r"^test radio: another program has it$") as caught:
        process.start()
    assert type(caught.value) is error_type


def test_a_driver_that_gives_up_while_streaming_says_why(driver):
    said = {"reason": "unplugged", "message": "was unplugged"}
    process = driver(f"hello(); samples(); outlet.say(FrameKind.ERROR, {said!r}); time.sleep(600)")
    process.start()
    with pytest.raises(SourceError, match="test radio: was unplugged"):
        list(process.frames())


def test_a_crash_names_the_signal_and_the_drivers_last_words(driver):
    process = driver(
        "hello(); samples(); outlet.close(timeout_s=5)\n"
        "os.write(2, b'usb_claim_interface error -6')\n"
        "signal.signal(signal.SIGSEGV, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    process.start()
    expected = "test radio: driver was ended by SIGSEGV; it said: usb_claim_interface error -6"
    with pytest.raises(SourceError, match=f"^{expected}$"):
        list(process.frames())


def test_last_words_are_told_without_their_colours(driver):
    process = driver("os.write(2, b'\\x1b[1m\\x1b[31m[ERROR] no\\x1b[0m\\n'); sys.exit(4)")
    with pytest.raises(SourceError, match=r"exit code 4; it said: \[ERROR\] no$"):
        process.start()


def test_a_driver_that_ends_before_it_opened_anything_is_told_with_its_last_words(driver):
    with pytest.raises(SourceError, match=r"exit code 1; it said: .*ValueError: what"):
        driver("raise ValueError('what')").start()


def test_a_module_that_is_not_there_is_told(driver):
    process = DriverProcess(module="heimdall_edge.drivers.none", settings={}, name="test radio")
    with pytest.raises(SourceError, match=r"exit code 1; it said: .*No module named"):
        process.start()
    process.close()


def test_a_killed_driver_is_told(driver):
    process = driver(LASTS)
    pid = process.start()["pid"]
    first_samples(process)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SourceError, match="driver was ended by SIGKILL"):
        list(process.frames())


def test_a_driver_that_closes_its_output_is_ended(driver):
    process = driver("hello(); outlet.close(timeout_s=5); os.closerange(1, 100); time.sleep(600)")
    process.start()
    with pytest.raises(SourceError, match="driver closed its output"):
        list(process.frames())


def test_a_stall_is_an_error_and_the_driver_is_killed(driver):
    process = driver(HANGS, stall_timeout_s=0.3)
    pid = process.start()["pid"]
    with pytest.raises(SourceError, match=r"gave no samples for 0.3 s; its driver was killed"):
        list(process.frames())
    assert not psutil.pid_exists(pid)


def test_events_alone_are_a_stall(driver):
    program = "hello()\nwhile True: outlet.say(FrameKind.EVENT, {}); time.sleep(0.02)\n"
    process = driver(program, stall_timeout_s=0.3)
    process.start()
    with pytest.raises(SourceError, match=r"gave no samples for 0.3 s"):
        list(process.frames())


def test_a_slow_consumer_is_no_stall(driver):
    process = driver("hello()\nwhile True: samples(); time.sleep(0.02)\n", stall_timeout_s=0.3)
    process.start()
    frames = process.frames()
    next(frames)
    time.sleep(0.5)
    next(frames)


def test_a_driver_that_hangs_while_opening_is_killed(driver):
    process = driver("time.sleep(600)", open_timeout_s=1.0)
    with pytest.raises(SourceError, match="did not open for 1 s; its driver was killed"):
        process.start()


@pytest.mark.parametrize(
    "program",
    [
        "os.write(outlet._descriptor, b'rubbish' * 20)",
        "outlet.offer(Frame(FrameKind.SAMPLES, bytes(8)))",
        "os.write(outlet._descriptor, bytes(Frame(FrameKind.HELLO, b'[1')))",
    ],
)
def test_output_that_was_not_agreed_is_an_error(driver, program):
    process = driver(program + "\ntime.sleep(600)")
    with pytest.raises(SourceError, match="output is not what was agreed"):
        process.start()


def test_chatter_without_end_takes_no_memory_and_stops_nothing(driver):
    program = (
        "hello()\nfor i in range(40): os.write(2, b'x' * 60_000); samples()\n"
        "os.write(2, b'\\nlast words\\n'); outlet.close(timeout_s=5); sys.exit(3)\n"
    )
    process = driver(program)
    process.start()
    with pytest.raises(SourceError, match=r"exit code 3; it said: .*last words") as caught:
        list(process.frames())
    assert len(str(caught.value)) < 1000


class TestClosing:
    """From any thread, at any time."""

    @pytest.mark.parametrize("program", [LASTS, HANGS])
    def test_it_ends_a_reader_that_waits_and_the_process(self, driver, program):
        process = driver(program, stall_timeout_s=60)
        pid = process.start()["pid"]
        read = threading.Thread(target=lambda: list(process.frames()))
        read.start()
        time.sleep(0.1)
        began_s = time.monotonic()
        process.close()
        assert time.monotonic() - began_s < CLOSE_TIMEOUT_S
        read.join(CLOSE_TIMEOUT_S)
        assert not read.is_alive()
        assert not psutil.pid_exists(pid)

    def test_it_ends_an_opening_that_hangs(self, driver):
        process = driver("time.sleep(600)", open_timeout_s=60)
        errors = []

        def start():
            try:
                process.start()
            except SourceError as error:
                errors.append(str(error))

        opening = threading.Thread(target=start)
        opening.start()
        time.sleep(0.3)
        began_s = time.monotonic()
        process.close()
        assert time.monotonic() - began_s < CLOSE_TIMEOUT_S
        opening.join(CLOSE_TIMEOUT_S)
        assert not opening.is_alive()
        assert errors == ["test radio: was closed while it was being opened"]

    def test_a_driver_is_let_end_politely(self, driver, tmp_path):
        mark = tmp_path / "ended"
        process = driver(LASTS + f"open({str(mark)!r}, 'w').close()\n")
        process.start()
        process.close()
        assert mark.exists()

    def test_a_driver_that_writes_to_a_full_pipe_is_let_end(self, driver):
        process = driver("hello(); samples(2000)\nfor _ in parent.commands(): pass\n")
        pid = process.start()["pid"]
        time.sleep(0.3)
        process.close()
        assert not psutil.pid_exists(pid)

    def test_before_it_was_started_nothing_starts_any_more(self, driver):
        process = driver(LASTS)
        process.close()
        process.close()
        with pytest.raises(SourceError, match="was closed"):
            process.start()

    def test_between_two_frames_it_ends_the_iteration(self, driver):
        process = driver("hello(); samples(50)\nfor _ in parent.commands(): pass\n")
        process.start()
        frames = process.frames()
        next(frames)
        process.close()
        assert list(frames) == []
        process.send({"tune": 1})


def test_a_file_in_the_working_directory_does_not_become_part_of_a_driver(
    driver, tmp_path, monkeypatch
):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "psutil.py").write_text("raise SystemExit('not mine')")
    monkeypatch.chdir(folder)
    assert driver("import psutil\n" + LASTS).start()["pid"]


def test_a_driver_dies_with_its_parent(driver, tmp_path):
    program = tmp_path / "parent.py"
    module = driver(HANGS)._module
    program.write_text(
        "import os, signal\n"
        "from heimdall_edge.sources.child import DriverProcess\n"
        f"process = DriverProcess(module={module!r}, settings={{}}, name='x')\n"
        "print(process.start()['pid'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, str(program)], capture_output=True, check=False)
    assert run.stdout, run.stderr.decode()
    pid = int(run.stdout)
    deadline_s = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_s, "the driver outlives its parent"
        time.sleep(0.01)
