"""What is spoken in rooms. Sound needs numpy, which only the process imports whose tests these are."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from cli.failures import CommandFailed


def test_the_signal_is_loud_and_is_not_clipped() -> None:
    """Well above silence, and within 16 bits."""
    from examples.participant import voice_like

    signal = voice_like(1.0)
    assert len(signal) == 48_000
    assert 12_000 < abs(signal).max() < 32_000


def test_a_wav_is_spoken_mono_at_48_khz_with_a_pause(tmp_path: Path) -> None:
    """Whatever its rate and channels are."""
    import numpy as np

    from cli.sound import RATE_HZ, read_wav

    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.full(2 * 16_000, 1000, "<i2").tobytes())
    samples = read_wav(path)
    assert len(samples) == 2 * RATE_HZ
    assert set(samples[:RATE_HZ]) == {1000}
    assert not samples[RATE_HZ:].any()
    path.write_bytes(b"no wav")
    with pytest.raises(CommandFailed):
        read_wav(path)
