"""The emulated USB bus, as the unmodified programs of Debian see it."""

import os
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest

from .usb_dongles import ACCESS, BLOG_V4, Dongle, Tone, UsbDongles

RATE_HZ = 2_400_000
DEBIANS_STEP_HZ = 450
"""librtlsdr 0.6 tunes no finer."""
FIRST = Dongle("A1", tones=(Tone(446_100_000.0),))
SECOND = Dongle("B2", tones=(Tone(100_300_000.0),))


@pytest.fixture
def run(tmp_path):
    """A program and its arguments → how it ran, on a bus."""

    def run(usb, *command, timeout_s=20):
        if shutil.which(command[0]) is None:
            pytest.fail(f"{command[0]} is not installed: apt-get install rtl-sdr soapysdr-tools")
        return subprocess.run(
            command,
            env={**os.environ, **usb.environment},
            capture_output=True,
            text=True,
            errors="replace",  # rtl_test prints strings that it could not read
            timeout=timeout_s,
            cwd=tmp_path,
            check=False,
        )

    return run


def peak_hz(samples, rate_hz=RATE_HZ):
    iq = (samples.astype(np.float32) - 127.4).view(np.complex64)
    power = np.abs(np.fft.fft(iq * np.hanning(len(iq)))) ** 2
    return float(np.fft.fftfreq(len(iq), 1 / rate_hz)[np.argmax(power)])


def recorded(run, usb, tmp_path, *arguments, n_samples=RATE_HZ):
    said = run(usb, "rtl_sdr", "-s", str(RATE_HZ), "-n", str(n_samples), *arguments, "out")
    return np.fromfile(tmp_path / "out", np.uint8), said.stderr


def test_rtl_test_finds_the_dongles_and_their_tuner(run):
    with UsbDongles([FIRST, Dongle("V4", **BLOG_V4)]) as usb:
        said = run(usb, "rtl_test", "-d", "V4", "-t").stderr
    assert "0:  Realtek, RTL2838UHIDIR, SN: A1" in said
    assert "1:  RTLSDRBlog, Blog V4, SN: V4" in said
    assert "Found Rafael Micro R828D tuner" in said


def test_rtl_test_counts_no_lost_bytes_until_some_are_lost(run):
    with UsbDongles([FIRST]) as usb:
        program = subprocess.Popen(
            ["rtl_test", "-s", str(RATE_HZ)],
            env={**os.environ, **usb.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(1.5)
        usb.lose("A1", 1000)
        time.sleep(1.5)  # its buffers hold 0.8 s
        program.terminate()
        said, _ = program.communicate(timeout=10)
    lost = [line for line in said.splitlines() if "lost at least" in line]
    assert len(lost) == 1, said


def test_rtl_sdr_records_a_tone_where_it_is(run, tmp_path):
    with UsbDongles([FIRST]) as usb:
        samples, _ = recorded(run, usb, tmp_path, "-f", "446000000", "-g", "28")
        told = usb.told("A1")
    assert told.center_hz == pytest.approx(446e6, abs=DEBIANS_STEP_HZ)
    assert told.center_hz + peak_hz(samples[RATE_HZ:]) == pytest.approx(446.1e6, abs=5)
    assert told.samples_lost == 0


def test_a_crystal_that_is_fast_hears_too_low(run, tmp_path):
    with UsbDongles([Dongle("A1", tones=(Tone(446_100_000.0),), ppm=50.0)]) as usb:
        samples, _ = recorded(run, usb, tmp_path, "-f", "446000000")
    assert peak_hz(samples[RATE_HZ:]) == pytest.approx(100e3 - 50e-6 * 446e6, abs=DEBIANS_STEP_HZ)


def test_noise_and_tone_are_as_strong_as_was_asked(run, tmp_path):
    air = (Tone(446_100_000.0, amplitude_lsb=50.0),)
    with UsbDongles([Dongle("A1", tones=air, noise_lsb=3.0, dc_lsb=2.0)]) as usb:
        samples, _ = recorded(run, usb, tmp_path, "-f", "446000000")
    settled = samples[RATE_HZ:].astype(np.float64) - 127.4
    assert settled.mean() == pytest.approx(2.0, abs=0.2)
    assert settled.var() == pytest.approx(50**2 / 2 + 3**2, rel=0.03)


def test_a_recording_is_played_instead(run, tmp_path):
    played = np.random.default_rng(1).integers(0, 256, 200_000, dtype=np.uint8)
    played.tofile(tmp_path / "air.cu8")
    with UsbDongles([Dongle("A1", iq=tmp_path / "air.cu8")]) as usb:
        samples, _ = recorded(run, usb, tmp_path, "-f", "446000000", n_samples=300_000)
    begin = bytes(played).find(bytes(samples[:64]))
    assert begin >= 0
    np.testing.assert_array_equal(samples[:600_000], np.roll(np.tile(played, 4), -begin)[:600_000])


def test_an_unplugged_dongle_ends_the_program_and_comes_back_in_another_port(run, tmp_path):
    with UsbDongles([FIRST, SECOND]) as usb:
        usb.unplug("A1")
        assert "0:  Realtek, RTL2838UHIDIR, SN: B2" in run(usb, "rtl_test", "-t").stderr
        usb.replug("A1", port=9)
        assert "1:  Realtek, RTL2838UHIDIR, SN: A1" in run(usb, "rtl_test", "-t").stderr


def test_faults_of_opening_are_those_of_libusb(run):
    with UsbDongles([FIRST]) as usb:
        usb.refuse_to_open("A1", ACCESS)
        assert "usb_open error -3" in run(usb, "rtl_test", "-t").stderr
        usb.refuse_to_open("A1", 0)
        usb.hold_elsewhere("A1")
        assert "usb_claim_interface error -6" in run(usb, "rtl_test", "-t").stderr
        usb.hold_elsewhere("A1", False)
        usb.kernel_driver("A1")
        assert "Detached kernel driver" in run(usb, "rtl_test", "-t").stderr


def test_a_crash_ends_the_program_by_a_signal(run, tmp_path):
    with UsbDongles([FIRST]) as usb:
        usb.crash("A1")
        assert run(usb, "rtl_sdr", "-n", "4800000", "out").returncode == -11


def test_rtl_tcp_serves_a_dongle():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with UsbDongles([FIRST]) as usb:
        server = subprocess.Popen(
            ["rtl_tcp", "-p", str(port), "-f", "446000000", "-s", str(RATE_HZ)],
            env={**os.environ, **usb.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            data = _received(port, 2 * RATE_HZ)
        finally:
            server.kill()
            server.wait()
    assert data[:4] == b"RTL0"
    samples = np.frombuffer(data[12:], np.uint8)[RATE_HZ // 4 * 2 :]
    assert peak_hz(samples[: len(samples) // 2 * 2]) == pytest.approx(100e3, abs=DEBIANS_STEP_HZ)


def _received(port, n_bytes):
    deadline_s = time.monotonic() + 10
    while True:
        try:
            link = socket.create_connection(("127.0.0.1", port), timeout=5)
            break
        except OSError:
            assert time.monotonic() < deadline_s, "rtl_tcp does not listen"
            time.sleep(0.05)
    with link:
        data = bytearray()
        while len(data) < n_bytes:
            data += link.recv(65_536)
    return bytes(data)


def test_soapysdr_finds_the_dongles(run):
    with UsbDongles([FIRST, SECOND]) as usb:
        said = run(usb, "SoapySDRUtil", "--find=driver=rtlsdr").stdout
    assert "serial = A1" in said
    assert "serial = B2" in said
