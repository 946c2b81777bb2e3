"""`spectrum`: log power in mel bands, frame by frame, of a window of sound.

A window of L samples has T = 1 + (L - frame) // hop frames. With h Hann's window, s the samples of
a frame and M the bank of triangles that are even on the mel scale:

    out[t, b] = log(floor + sum_f M[b, f] |FFT(h s_t)_f|²)

`floor`, a power, stands for the noise below which nothing is told apart. The bank comes from
kaldi-native-fbank, the extra `audio`. Frames are worked out one at a time, so blocks never change a
result. No state.
"""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamlearn.config import StepOptions
from streamlearn.errors import ConfigError
from streamlearn.kernels import kernel
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.prepare.base import Step

F64 = NDArray[np.float64]


@kernel
def _bands(power: F64, bank: F32, floor: float, out: F32) -> None:
    """Sum power [T, F] under each triangle of bank [N, F]; writes out [T N] = log(floor + sum)."""
    N = bank.shape[0]
    for t in range(power.shape[0]):
        for b in range(N):
            total = floor
            for f in range(power.shape[1]):
                total += bank[b, f] * power[t, f]
            out[t * N + b] = np.log(total)


def bank_of(options: Any) -> F32:
    """The mel bank [bands, frame / 2 + 1].

    Raises
    ------
    ConfigError
        Where kaldi-native-fbank is not there, or a band holds no frequency.

    """
    try:
        import kaldi_native_fbank as fbank  # noqa: PLC0415  an extra
    except ImportError:
        raise ConfigError(
            ["step: spectrum needs kaldi-native-fbank; pip install 'streamlearn[audio]'"]
        ) from None
    bands, frames = fbank.MelBanksOptions(), fbank.FrameExtractionOptions()
    bands.num_bins, bands.low_freq, bands.high_freq = options.bands, options.low_hz, options.high_hz
    frames.samp_freq = options.rate_hz
    frames.frame_length_ms = 1000 * options.frame / options.rate_hz
    bank = np.ascontiguousarray(fbank.MelBanks(bands, frames).get_matrix(), np.float32)
    if bank.shape[1] != options.frame // 2 + 1 or not bank.any(axis=1).all():
        line = f"bands: a frame of {options.frame} does not tell {options.bands} apart; take fewer"
        raise ConfigError([line])
    return bank


class Spectrum(Step):
    """Log-mel spectra of a window of sound.

    Parameters
    ----------
    options
        Rate, frames, bands.
    place
        The window: as many samples as `width_in`.

    Raises
    ------
    ConfigError
        Where a window is shorter than a frame, a frequency is beyond half the rate, or the extra is
        missing.

    """

    class Options(StepOptions, frozen=True, kw_only=True):
        """`[[prepare]]` with `step = "spectrum"`: log-mel spectra of a window of sound."""

        rate_hz: Annotated[
            float,
            Meta(ge=100.0, le=1e6, description="Samples a second.", extra={"unit": "Hz"}),
        ] = 8000.0
        frame: Annotated[
            int,
            Meta(
                ge=8,
                le=1 << 14,
                description="Samples of a spectrum, a power of two.",
                extra={"unit": "samples"},
            ),
        ] = 256
        hop: Annotated[
            int,
            Meta(
                ge=1,
                le=1 << 14,
                description="Samples from one spectrum of a window to the next.",
                extra={"unit": "samples"},
            ),
        ] = 128
        bands: Annotated[int, Meta(ge=4, le=512, description="Mel bands.")] = 25
        low_hz: Annotated[
            float, Meta(ge=0.0, le=1e5, description="Lowest frequency.", extra={"unit": "Hz"})
        ] = 60.0
        high_hz: Annotated[
            float, Meta(ge=1.0, le=5e5, description="Highest frequency.", extra={"unit": "Hz"})
        ] = 3900.0
        floor: Annotated[
            float,
            Meta(ge=1e-9, le=1e12, description="Power below which nothing is told apart."),
        ] = 100.0

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        if options.frame & (options.frame - 1):
            raise ConfigError([f"frame: expected a power of two, got {options.frame}"])
        if place.width_in < options.frame:
            raise ConfigError(
                [f"frame: {options.frame} samples do not fit a window of {place.width_in}"]
            )
        if not options.low_hz < options.high_hz <= options.rate_hz / 2:
            raise ConfigError(
                [
                    (
                        f"high_hz: expected more than low_hz = {options.low_hz:g} and at most half "
                        f"of rate_hz = {options.rate_hz:g}, got {options.high_hz:g}"
                    )
                ]
            )
        self._bank = bank_of(options)
        self._hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(options.frame) / options.frame)
        self._frames = 1 + (place.width_in - options.frame) // options.hop

    @property
    def shape_out(self) -> tuple[int, ...]:
        """T frames of N bands."""
        return self._frames, int(self.options.bands)

    @property
    def width_out(self) -> int:
        """T N."""
        frames, bands = self.shape_out
        return frames * bands

    def learn(self, rows: Rows) -> None:
        """Write the spectra; there is nothing to learn."""
        self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Write the spectra [B, T N] of windows [B, L]."""
        at = np.arange(self._frames)[:, None] * self.options.hop + np.arange(self.options.frame)
        for samples, bands in zip(x, out, strict=True):
            spectra = np.fft.rfft(samples[at].astype(np.float64) * self._hann)
            power = np.ascontiguousarray(spectra.real**2 + spectra.imag**2)
            _bands(power, self._bank, float(self.options.floor), bands)

    def arrays(self) -> Arrays:
        """Nothing: the options say it all."""
        return {}
