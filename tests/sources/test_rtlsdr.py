"""RTL-SDR dongles as receivers: the real librtlsdr and pyrtlsdr, on an emulated USB bus."""

import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.config_kinds import RtlSdr
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S, Tunable
from heimdall_edge.sources.host_time import SystemTime
from heimdall_edge.sources.rtlsdr import RtlSdrSource, buffer_bytes
from heimdall_edge.types import ClockSource, ClockState

from ..emulators.usb_dongles import BLOG_V4, Dongle, Tone, UsbDongles
from .contract import IQSourceContract, missing_before

RATE_HZ = 2_400_000
CENTER_HZ = 446_000_000.0
TONE_HZ = 446_100_000.0
FIRST = Dongle("A1", tones=(Tone(TONE_HZ),))
SECOND = Dongle("B2", tones=(Tone(100_300_000.0),))
KNOWN_PPM = 15.0
SOAK_S, LONGEST_SOAK_S = 30.0, 150.0
"""How long two dongles run side by side: a crystal's error needs most of a minute to be known."""


class PlainHost:
    """A host whose clock nobody knows."""

    clock = ClockState()

    def utc_ns(self):
        return time.time_ns()

    def monotonic_ns(self):
        return time.monotonic_ns()


class GoodHost(PlainHost):
    """A host that a time server steers."""

    clock = ClockState(ClockSource.NTP, sigma_s=0.001, locked=True)


@pytest.fixture
def plug_in():
    """Dongles → the bus that they are on, which all programs see from now on."""
    with ExitStack() as stack:
        yield lambda *dongles: stack.enter_context(UsbDongles(dongles, visible=True))


@pytest.fixture
def source(plug_in):
    """Settings → a source; all are closed at the end, and no process is left."""
    made = []

    def make(serial=None, *, host=None, **settings):
        timeouts = {k: settings.pop(k) for k in list(settings) if k.endswith("_timeout_s")}
        shared = {"center_freq_hz": CENTER_HZ, "sample_rate_hz": RATE_HZ, "gain_db": 28.0}
        shared |= {k: settings.pop(k) for k in list(settings) if k in Receiver.model_fields}
        made.append(
            RtlSdrSource(
                receiver=Receiver(
                    id="rx", kind="rtlsdr", rtlsdr=RtlSdr(serial=serial, **settings), **shared
                ),
                host=host or PlainHost(),
                **timeouts,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert psutil.Process().children() == []


class Soak:
    """Reads a dongle for long, in a thread of its own."""

    def __init__(self, serial, one):
        self.serial, self._source = serial, one
        self.received = self.missing = 0
        self.error = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        began_s = time.monotonic()
        for block in self._source.blocks():
            self.received += block.n_samples
            self.missing += block.lost_samples + block.dropped_samples
            self.error = block.frequency_error
            so_far_s = time.monotonic() - began_s
            is_known = self.error is not None and self.error.sigma_ppm < KNOWN_PPM
            if so_far_s > (SOAK_S + 1 if is_known else LONGEST_SOAK_S):
                return

    def join(self):
        self._thread.join(LONGEST_SOAK_S + 30)
        assert not self._thread.is_alive()


def opened(one):
    one.open()
    return one


def blocks_of(one, n_blocks):
    return list(islice(one.blocks(), n_blocks))


def strongest_hz(blocks):
    """Where the strongest tone is, from the centre; to a hertz or so."""
    samples = np.concatenate([block.samples for block in blocks]).astype(np.float32)
    iq = (samples - samples.mean()).view(np.complex64) * np.hanning(len(samples) // 2)
    power = np.abs(np.fft.fft(iq)) ** 2
    peak = int(np.argmax(power))
    near = np.arange(peak - 2, peak + 3)
    share = power[near % len(power)]
    bin_hz = blocks[0].sample_rate_hz / len(iq)
    place = (near * share).sum() / share.sum()
    return (place - len(iq) * (peak >= len(iq) / 2)) * bin_hz


def why_it_does_not_open(one):
    with pytest.raises(SourceError) as caught:
        one.open()
    return str(caught.value)


def why_it_ends(one):
    with pytest.raises(SourceError) as caught:
        for _ in one.blocks():
            pass
    return str(caught.value)


class Finite:
    """A source that is closed after so many blocks: a radio has no end of its own."""

    may_wait, progress = False, 0.0

    def __init__(self, inner, n_blocks):
        self._inner, self._n_blocks = inner, n_blocks
        self.open, self.close = inner.open, inner.close

    @property
    def device(self):
        return self._inner.device

    def blocks(self):
        yield from islice(self._inner.blocks(), self._n_blocks)
        self.close()


class Stalling(Finite):
    """A source whose dongle stalls after the first block."""

    def __init__(self, inner, usb):
        super().__init__(inner, 0)
        self._usb = usb

    def blocks(self):
        for block in self._inner.blocks():
            self._usb.stall("A1")
            yield block


class TestADongleKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self, source, plug_in):
        plug_in(FIRST)
        return Finite(source("A1"), 12)

    @pytest.fixture
    def lasting_source(self, plug_in):
        usb = plug_in(FIRST)
        receiver = Receiver(
            id="rx",
            kind="rtlsdr",
            center_freq_hz=CENTER_HZ,
            sample_rate_hz=RATE_HZ,
            gain_db=28.0,
            rtlsdr=RtlSdr(serial="A1"),
        )
        lasting = Stalling(RtlSdrSource(receiver=receiver, host=PlainHost()), usb)
        yield lasting
        lasting.close()

    @pytest.fixture
    def counts(self):
        return 12 * 65_536, 0


class TestWhatIsOpened:
    def test_the_device_is_told_in_words(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1", gain_db=28.4))
        assert one.device == "R820T, serial A1, gain 28.0 dB, 2.4 Msps"

    def test_a_blog_v4_is_named(self, plug_in, source):
        plug_in(Dongle("V4", **BLOG_V4))
        assert opened(source("V4")).device.startswith("RTL-SDR Blog V4 (R828D), serial V4")

    def test_the_nearest_gain_step_is_in_force_and_on_each_block(self, plug_in, source):
        usb = plug_in(FIRST)
        one = opened(source("A1", gain_db=30.0))
        assert usb.told("A1").gain_db == 29.7
        assert {block.gain_db for block in blocks_of(one, 3)} == {29.7}

    def test_the_level_rises_as_the_gain_step_says(self, plug_in, source):
        plug_in(replace(FIRST, follows_gain=True))
        levels_db = {}
        for gain_db in (20.7, 28.0, 37.2):
            one = opened(source("A1", gain_db=gain_db))
            (block,) = blocks_of(one, 1)
            one.close()
            samples = block.samples.astype(np.float64)
            levels_db[block.gain_db] = 10 * np.log10(samples.var())
        assert levels_db[28.0] - levels_db[20.7] == pytest.approx(7.3, abs=0.2)
        assert levels_db[37.2] - levels_db[28.0] == pytest.approx(9.2, abs=0.5)

    def test_automatic_gain_has_no_number_and_is_warned_of_once(self, plug_in, source, caplog):
        usb = plug_in(FIRST)
        one = opened(source("A1", gain_db=None, agc=True))
        assert usb.told("A1").gain_db is None
        assert {block.gain_db for block in blocks_of(one, 3)} == {None}
        assert "automatic gain" in one.device
        assert [r.getMessage() for r in caplog.records] == ["levels_mean_nothing"]

    def test_the_bias_tee_is_on_while_it_is_open_and_off_afterwards(self, plug_in, source):
        usb = plug_in(FIRST)
        one = opened(source("A1", bias_tee=True))
        assert usb.told("A1").bias_tee
        one.close()
        assert not usb.told("A1").bias_tee

    def test_direct_sampling_goes_past_the_tuner(self, plug_in, source):
        usb = plug_in(Dongle("A1", tones=(Tone(5_100_000.0),)))
        one = opened(source("A1", direct_sampling="q", center_freq_hz=5e6))
        assert usb.told("A1").direct_sampling
        assert strongest_hz(blocks_of(one, 2)) == pytest.approx(100e3, abs=30)

    def test_a_bandwidth_is_taken(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1", bandwidth_hz=1.5e6))
        assert strongest_hz(blocks_of(one, 2)) == pytest.approx(100e3, abs=150)

    def test_offset_tuning_that_the_tuner_cannot_do_never_works(self, plug_in, source):
        plug_in(FIRST)
        with pytest.raises(SourceDataError, match="offset_tuning: the R820T tuner cannot do that"):
            source("A1", offset_tuning=True).open()

    def test_a_rate_that_cannot_be_never_works(self, plug_in, source):
        plug_in(FIRST)
        expected = "RTL-SDR A1: sample_rate_hz 500000: an RTL2832U does 225.001–300 or"
        with pytest.raises(SourceDataError, match=expected):
            source("A1", sample_rate_hz=500e3).open()

    def test_the_only_dongle_needs_no_name(self, plug_in, source):
        plug_in(FIRST)
        assert "serial A1" in opened(source()).device

    def test_a_dongle_is_found_by_its_index(self, plug_in, source):
        plug_in(FIRST, SECOND)
        assert "serial B2" in opened(source(index=1)).device

    def test_two_dongles_with_one_serial_are_warned_of(self, plug_in, source, caplog):
        plug_in(FIRST, FIRST)
        opened(source("A1"))
        assert "serial_not_unique" in caplog.text

    @pytest.mark.parametrize(
        ("rate_hz", "n_samples"), [(250e3, 16_384), (1.024e6, 65_536), (3.2e6, 65_536)]
    )
    def test_blocks_are_of_a_sensible_length_and_the_dividers_rate(
        self, plug_in, source, rate_hz, n_samples
    ):
        usb = plug_in(FIRST)
        one = opened(source("A1", sample_rate_hz=rate_hz))
        (block,) = blocks_of(one, 1)
        assert block.n_samples == n_samples
        assert block.sample_rate_hz == pytest.approx(usb.told("A1").rate_hz, rel=1e-12)

    @given(st.floats(225_001, 3_200_000))
    def test_a_buffer_is_whole_usb_units_of_a_tenth_of_a_second_at_most(self, rate_hz):
        assert buffer_bytes(rate_hz) % 16_384 == 0
        assert 16_384 <= buffer_bytes(rate_hz) <= max(16_384, 0.2 * rate_hz)


class TestWhereTonesAre:
    """The R820T's PLL is off by some ten Hz: the emulator's registers say by how much."""

    @pytest.mark.parametrize("center_hz", [446_000_000.0, 445_300_000.0, 446_900_000.0])
    def test_a_tone_is_at_its_absolute_frequency(self, plug_in, source, center_hz):
        usb = plug_in(FIRST)
        blocks = blocks_of(opened(source("A1", center_freq_hz=center_hz)), 4)
        offset_hz = strongest_hz(blocks)
        assert blocks[0].center_freq_hz == center_hz
        assert center_hz + offset_hz == pytest.approx(TONE_HZ, abs=150)
        assert usb.told("A1").center_hz + offset_hz == pytest.approx(TONE_HZ, abs=5)

    def test_a_blog_v4_is_tuned_right_above_and_below_its_upconverter(self, plug_in, source):
        tones = (Tone(7_100_000.0), Tone(TONE_HZ))
        plug_in(Dongle("V4", tones=tones, **BLOG_V4))
        one = opened(source("V4", center_freq_hz=7e6))
        assert strongest_hz(blocks_of(one, 2)) == pytest.approx(100e3, abs=150)
        one.tune(CENTER_HZ)
        assert strongest_hz(blocks_of(one, 2)) == pytest.approx(100e3, abs=150)

    def test_a_crystal_that_is_fast_shifts_the_tone_and_ppm_puts_it_right(self, plug_in, source):
        plug_in(Dongle("A1", tones=(Tone(TONE_HZ),), ppm=60.0))
        raw = opened(source("A1"))
        raw_hz = strongest_hz(blocks_of(raw, 4))
        raw.close()
        corrected_hz = strongest_hz(blocks_of(opened(source("A1", ppm=60)), 4))
        assert raw_hz == pytest.approx(100e3 - 60e-6 * CENTER_HZ, abs=150)
        assert corrected_hz == pytest.approx(100e3, abs=150)


class TestTuning:
    def test_it_is_tunable(self, source):
        assert isinstance(source("A1"), Tunable)

    def test_blocks_after_it_are_of_the_new_centre_and_settled(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1"))
        blocks = one.blocks()
        before = [next(blocks) for _ in range(3)]
        one.tune(CENTER_HZ + 300e3)
        after = [next(blocks) for _ in range(2)]
        assert {block.center_freq_hz for block in before} == {CENTER_HZ}
        assert {block.center_freq_hz for block in after} == {CENTER_HZ + 300e3}
        assert strongest_hz(before) == pytest.approx(100e3, abs=150)
        for block in after:
            assert strongest_hz([block]) == pytest.approx(-200e3, abs=150)
        assert after[0].discarded_samples >= 0.1 * RATE_HZ
        assert after[1].discarded_samples == 0

    def test_every_sample_is_counted_over_many_hops(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1"))
        end = 0
        for number, block in enumerate(islice(one.blocks(), 12)):
            assert block.sample_start == end + missing_before(block)
            assert block.center_freq_hz == CENTER_HZ + (number // 3) * 100e3
            end = block.sample_start + block.n_samples
            if number % 3 == 2:
                one.tune(CENTER_HZ + (number // 3 + 1) * 100e3)

    def test_two_hops_at_once_give_the_second(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1"))
        blocks = one.blocks()
        next(blocks)
        one.tune(CENTER_HZ + 1e6)
        one.tune(CENTER_HZ - 200e3)
        block = next(blocks)
        assert block.center_freq_hz == CENTER_HZ - 200e3
        assert strongest_hz([block]) == pytest.approx(300e3, abs=150)

    def test_the_same_centre_changes_nothing(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1"))
        blocks = one.blocks()
        next(blocks)
        one.tune(CENTER_HZ)
        assert next(blocks).discarded_samples == 0

    def test_a_centre_beyond_the_tuner_is_an_error_that_says_so(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1"))
        one.tune(1000.0)
        assert "RTL-SDR A1: cannot tune to 1000 Hz" in why_it_ends(one)

    def test_a_centre_that_no_dongle_takes_is_refused(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1"))
        with pytest.raises(SourceDataError, match=r"cannot tune to 5e\+09 Hz"):
            one.tune(5e9)

    def test_before_it_is_open_there_is_nothing_to_tune_or_read(self, source):
        with pytest.raises(SourceError, match="is not open"):
            source("A1").tune(CENTER_HZ)
        with pytest.raises(SourceError, match="is not open"):
            blocks_of(source("A1"), 1)


class TestWhatGoesWrong:
    """Each failure has a message of its own, which says what to do."""

    def test_no_dongle_at_all(self, plug_in, source):
        plug_in()
        expected = "RTL-SDR A1: no RTL-SDR dongle is plugged in"
        assert why_it_does_not_open(source("A1")).startswith(expected)

    def test_a_wrong_serial_lists_those_that_are_there(self, plug_in, source):
        plug_in(FIRST, SECOND)
        said = why_it_does_not_open(source("C3"))
        expected = "found 'A1' (Realtek RTL2838UHIDIR), 'B2' (Realtek RTL2838UHIDIR)"
        assert said == f"RTL-SDR C3: no dongle has this serial; {expected}"

    def test_an_index_that_is_not_there(self, plug_in, source):
        plug_in(FIRST)
        said = why_it_does_not_open(source(index=2))
        assert "RTL-SDR with index 2: no dongle has index 2; found 'A1'" in said

    def test_no_name_and_two_dongles(self, plug_in, source):
        plug_in(FIRST, SECOND)
        assert "expected rtlsdr.serial, one of 'A1'" in why_it_does_not_open(source())

    @pytest.mark.parametrize("serial", ["A1", None])
    def test_no_permission(self, plug_in, source, serial):
        plug_in(FIRST).refuse_to_open("A1")
        said = why_it_does_not_open(source(serial))
        assert "no permission to open it" in said
        assert "plugdev" in said

    def test_the_kernels_driver(self, plug_in, source):
        plug_in(FIRST).kernel_driver("A1")
        said = why_it_does_not_open(source("A1"))
        assert "the kernel's television driver (dvb_usb_rtl28xxu) holds it" in said

    def test_another_program(self, plug_in, source):
        usb = plug_in(FIRST)
        usb.hold_elsewhere("A1")
        assert "RTL-SDR A1: another program has it" in why_it_does_not_open(source("A1"))
        usb.hold_elsewhere("A1", False)
        opened(source("A1"))
        assert "another program has it" in why_it_does_not_open(source("A1"))

    @pytest.mark.parametrize("after", [1, 5, 20, 60, 200])
    def test_vanishing_while_it_is_opened(self, plug_in, source, after):
        plug_in(FIRST).vanish_in_open("A1", after=after)
        assert "RTL-SDR A1: was unplugged" in why_it_does_not_open(source("A1"))

    def test_hanging_while_it_is_opened(self, plug_in, source):
        plug_in(FIRST).hang("A1")
        said = why_it_does_not_open(source("A1", open_timeout_s=1.0))
        assert "RTL-SDR A1: did not open for 1 s; its driver was killed" in said

    def test_unplugging(self, plug_in, source):
        usb = plug_in(FIRST, SECOND)
        one, other = opened(source("A1")), opened(source("B2"))
        blocks_of(one, 2)
        usb.unplug("A1")
        assert "RTL-SDR A1: was unplugged" in why_it_ends(one)
        assert len(blocks_of(other, 5)) == 5

    def test_it_is_found_again_by_its_serial_in_another_port(self, plug_in, source):
        usb = plug_in(FIRST, SECOND)
        one = opened(source("A1"))
        blocks_of(one, 2)
        usb.unplug("A1")
        why_it_ends(one)
        one.close()
        usb.replug("A1", port=7)
        again = opened(source("A1"))
        assert "serial A1" in again.device
        assert strongest_hz(blocks_of(again, 2)) == pytest.approx(100e3, abs=150)

    def test_a_stall(self, plug_in, source):
        usb = plug_in(FIRST)
        one = opened(source("A1", stall_timeout_s=0.5))
        blocks_of(one, 2)
        usb.stall("A1")
        expected = "RTL-SDR A1: gave no samples for 0.5 s; its driver was killed"
        assert why_it_ends(one).startswith(expected)

    def test_a_crash_of_the_driver(self, plug_in, source):
        usb = plug_in(FIRST)
        one = opened(source("A1"))
        blocks_of(one, 2)
        usb.crash("A1")
        assert why_it_ends(one).startswith("RTL-SDR A1: driver was ended by SIGSEGV")

    def test_a_killed_driver_lets_go_of_the_dongle(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1"))
        blocks_of(one, 2)
        (child,) = psutil.Process().children()
        child.send_signal(signal.SIGKILL)
        assert why_it_ends(one).startswith("RTL-SDR A1: driver was ended by SIGKILL")
        one.close()
        assert blocks_of(opened(source("A1")), 1)

    def test_a_driver_that_is_stopped_is_given_up_and_killed(self, plug_in, source):
        plug_in(FIRST)
        one = opened(source("A1", stall_timeout_s=0.5))
        blocks_of(one, 2)
        (child,) = psutil.Process().children()
        child.send_signal(signal.SIGSTOP)
        assert "gave no samples for 0.5 s" in why_it_ends(one)
        assert not psutil.pid_exists(child.pid)

    def test_hanging_while_it_is_tuned(self, plug_in, source):
        usb = plug_in(FIRST)
        one = opened(source("A1", stall_timeout_s=0.5))
        blocks = one.blocks()
        next(blocks)
        usb.hang("A1")
        one.tune(CENTER_HZ + 1e6)
        with pytest.raises(SourceError, match=r"did not tune to 4.47e\+08 Hz for 0.5 s"):
            next(blocks)
        began_s = time.monotonic()
        one.close()
        assert time.monotonic() - began_s < CLOSE_TIMEOUT_S

    def test_closing_while_it_hangs_in_tuning(self, plug_in, source):
        usb = plug_in(FIRST)
        one = opened(source("A1"))
        blocks = one.blocks()
        next(blocks)
        usb.hang("A1")
        one.tune(CENTER_HZ + 1e6)
        began_s = time.monotonic()
        closing = threading.Timer(0.5, one.close)
        closing.start()
        assert list(blocks) == []
        assert time.monotonic() - began_s < 0.5 + CLOSE_TIMEOUT_S
        closing.join()


class TestLosses:
    def test_a_reader_that_sleeps_loses_nothing_as_long_as_there_is_room(self, plug_in, source):
        usb = plug_in(FIRST)
        one = opened(source("A1"))
        blocks = one.blocks()
        next(blocks)
        time.sleep(0.7)
        for block in islice(blocks, 40):
            assert missing_before(block) == 0
        assert usb.told("A1").samples_lost == 0

    def test_a_reader_that_sleeps_too_long_is_told_how_many_samples_were_dropped(
        self, plug_in, source
    ):
        usb = plug_in(FIRST)
        one = opened(source("A1"))
        blocks = one.blocks()
        end = 0
        for number, block in enumerate(islice(blocks, 100)):
            if number == 3:
                time.sleep(2.5)
            assert block.sample_start == end + missing_before(block)
            assert block.lost_samples == 0
            if number > 3:
                assert block.dropped_samples % 65_536 == 0
            end = block.sample_start + block.n_samples
        assert usb.told("A1").samples_lost == 0

    def test_lost_usb_buffers_are_found_by_the_clock(self, plug_in, source):
        usb = plug_in(FIRST)
        one = opened(source("A1"))
        lost = 0
        for number, block in enumerate(islice(one.blocks(), 600)):
            if number == 40:
                usb.lose("A1", RATE_HZ // 2)
            lost += block.lost_samples
            if lost:
                break
        assert lost == pytest.approx(RATE_HZ // 2, rel=0.05)

    @pytest.mark.timeout(60 + 2 * LONGEST_SOAK_S)
    def test_two_dongles_at_2_4_msps_lose_nothing_and_their_crystals_are_known(
        self, plug_in, source
    ):
        ppm = {"A1": 100.0, "B2": -70.0}
        usb = plug_in(replace(FIRST, ppm=ppm["A1"]), replace(SECOND, ppm=ppm["B2"]))
        soaks = [
            Soak(serial, opened(source(serial, host=GoodHost(), center_freq_hz=center_hz)))
            for serial, center_hz in (("A1", CENTER_HZ), ("B2", 100e6))
        ]
        for soak in soaks:
            soak.join()
        for soak in soaks:
            assert soak.missing == 0
            assert soak.received >= SOAK_S * RATE_HZ
            assert usb.told(soak.serial).samples_lost == 0
            assert soak.error is not None, f"no ppm within {LONGEST_SOAK_S} s"
            assert soak.error.sigma_ppm < KNOWN_PPM
            assert soak.error.ppm == pytest.approx(ppm[soak.serial], abs=3 * soak.error.sigma_ppm)


def test_the_hosts_clock_is_on_the_blocks(plug_in, source):
    plug_in(FIRST)
    before_ns = time.time_ns()
    (block,) = blocks_of(opened(source("A1", host=SystemTime())), 1)
    assert before_ns < block.start_utc_ns < time.time_ns()
