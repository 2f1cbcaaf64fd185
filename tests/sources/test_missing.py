"""What is missing before a block, and when a tuner has settled."""

from heimdall_edge.sources.missing import Missing, Settling


def test_what_is_missing_is_taken_once():
    missing = Missing()
    missing.lost_samples += 3
    missing.discarded_samples += 4
    missing.dropped_samples += 5
    assert missing.take() == Missing(3, 4, 5)
    assert missing.take() == Missing()


def settling(settle_s=0.1):
    settling = Settling(settle_s)
    settling.begin(1_000_000_000, sample_rate_hz=1000.0, round_trip_s=0.05)
    return settling


def test_nothing_is_spoilt_before_a_command():
    assert not Settling(0.1).spoils(1, 0)


def test_what_began_to_come_before_the_tuner_settled_is_spoilt():
    tuner = settling()
    assert tuner.spoils(50, 1_000_000_000)
    assert tuner.spoils(50, 1_149_999_999)
    assert not tuner.spoils(50, 1_150_000_000)
    assert not tuner.spoils(50, 1_000_000_000)


def test_a_stream_that_begins_late_settles_by_its_samples():
    tuner = settling()
    assert tuner.spoils(60, 5_000_000_000)
    assert tuner.spoils(60, 5_060_000_000)
    assert not tuner.spoils(60, 5_120_000_000)


def test_a_backlog_is_spoilt_however_many_samples_it_holds():
    tuner = settling()
    assert tuner.spoils(100_000, 1_000_000_001)
    assert tuner.spoils(100_000, 1_000_000_002)


def test_a_second_command_settles_anew():
    tuner = settling()
    assert tuner.spoils(100, 1_000_000_000)
    tuner.begin(1_140_000_000, sample_rate_hz=1000.0)
    assert tuner.spoils(99, 1_239_999_999)
    assert tuner.spoils(99, 1_240_000_000)
    assert not tuner.spoils(99, 1_240_000_000)
