"""A WAV file as a participant speaks it: mono, 48 kHz, 16 bit, with a pause at its end. Needs the `rtc` extra."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cli.failures import usage

RATE_HZ = 48_000
PAUSE_S = 1.0
_WIDTH_BYTES = 2


def read_wav(path: Path) -> npt.NDArray[np.int16]:
    """Channels are mixed, other rates interpolated. Raises CommandFailed."""
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate_hz = file.getsampwidth(), file.getnchannels(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except OSError as error:
        raise usage(f"{path} cannot be read: {error.strerror}") from None
    except (wave.Error, EOFError) as error:
        raise usage(f"{path} is no WAV file of PCM: {error}") from None
    if width != _WIDTH_BYTES or not frames:
        raise usage(f"{path} must have samples of 16 bits", hint=f"ffmpeg -i {path} -c:a pcm_s16le out.wav")
    samples = np.frombuffer(frames, dtype="<i2").reshape(-1, channels).mean(axis=1)
    return np.append(_resampled(samples, rate_hz), np.zeros(int(PAUSE_S * RATE_HZ), np.int16))


def _resampled(samples: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.int16]:
    """Linear: good enough for a voice in a test."""
    count = int(len(samples) * RATE_HZ / rate_hz)
    places = np.arange(count) * (rate_hz / RATE_HZ)
    resampled: npt.NDArray[np.int16] = np.interp(places, np.arange(len(samples)), samples).astype(np.int16)
    return resampled
