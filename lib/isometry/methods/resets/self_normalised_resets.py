"""Self-normalised resets: a unit that is silent for unusually long is made new."""

from dataclasses import dataclass
from math import ceil, log2

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.resets.units import replace_units_, widths
from isometry.methods.structure import State, one_output_a_unit
from isometry.methods.training import Training

BINS_AN_OCTAVE = 4  # of the histogram of gaps: neighbours differ by 19 %


@dataclass(frozen=True, kw_only=True)
class _SNRSettings(AdamSettings):
    """Settings of self-normalised resets.

    Source: Farias & Jozefiak 2025.
    """

    snr_rejection: float = setting(
        0.02, "eta: share of a unit's own gaps that are longer, in (0, 1)."
    )
    snr_least: int = setting(100, "No reset after a shorter silence, samples, >= 1.")
    snr_most: int = setting(10_000, "Reset after a longer one, samples, >= snr_least.")
    snr_every: int = setting(1000, "Steps between new thresholds, >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        eta, least, most = self.snr_rejection, self.snr_least, self.snr_most
        require(0 < eta < 1, "snr_rejection", "0 < snr_rejection < 1", eta)
        require(least >= 1, "snr_least", "snr_least >= 1", least)
        needed = f"snr_most >= snr_least ({least})"
        require(most >= least, "snr_most", needed, most)
        require(self.snr_every >= 1, "snr_every", "snr_every >= 1", self.snr_every)


def _no_silence(training: Training) -> State:
    """Return each unit's silence, histogram of gaps and threshold, before any firing.

    Units of all hidden layers stand side by side: ``silence`` and ``threshold`` are
    ``(members, units)``, in samples; ``gaps`` is ``(members, units, bins)``.

    Source: Farias & Jozefiak 2025.
    """
    settings: _SNRSettings = training.settings
    one_output_a_unit(training.structure, "snr")
    weight = next(iter(training.parameters.values()))
    shape = (len(training.seeds), sum(widths(training)))
    bins = ceil(BINS_AN_OCTAVE * log2(1 + settings.snr_most)) + 1
    return {
        "silence": weight.new_zeros(shape),
        "threshold": weight.new_full(shape, settings.snr_most),
        "gaps": weight.new_zeros(*shape, bins),
    }


def _bin_of(gap: Tensor, bins: int) -> Tensor:
    """Return the bin of the histogram that a gap falls into; the last one is open."""
    return (BINS_AN_OCTAVE * torch.log2(1 + gap)).long().clamp(max=bins - 1)


def _thresholds(gaps: Tensor, settings: _SNRSettings) -> Tensor:
    """Return the silence beyond which each unit is reset, ``(members, units)``.

    The upper end of the first bin up to which at least ``1 - eta`` of the unit's gaps
    lie, between the shortest and the longest silence; the longest for a unit without
    gaps.

    Source: Farias & Jozefiak 2025, the percentile threshold.
    """
    total = gaps.sum(-1, keepdim=True)
    reached = gaps.cumsum(-1) >= (1 - settings.snr_rejection) * total
    first = reached.to(gaps.dtype).argmax(-1)
    end = 2 ** ((first + 1).to(gaps.dtype) / BINS_AN_OCTAVE) - 1
    end = end.clamp(settings.snr_least, settings.snr_most)
    return end.where(total.squeeze(-1) > 0, settings.snr_most)


def _may_be_due(state: State, images: int) -> bool:
    """Return whether a silence may have come to exceed its threshold, on the host.

    ``room`` is what the unit nearest to its threshold still lacked when all were last
    compared, ``(members,)``, in samples. A silence grows by no more than the samples of
    a step, so until that is used up nobody has to wait for an accelerator's answer.
    """
    room = state.get("room", state["silence"].new_zeros(len(state["silence"])))
    state["room"] = room.cpu().sub(images)
    return bool((state["room"] < 0).any())


def _silence_step(training: Training) -> None:
    """Count silences, learn each unit's own, and reset units silent for too long.

    A unit fires in a minibatch if one of its activations is above zero. Its silence
    counts samples. Thresholds are learned anew every so many steps from the histogram
    of gaps, half of which is then forgotten; the official code does so at changes
    of the task, and lets a threshold grow by a factor where a percentile is not
    reached. A reset unit's moments in Adam become zero, its count of steps goes on,
    and its histogram is emptied.

    Source: Farias & Jozefiak, ICLR 2025; ajozefiak/SelfNormalizedResets.
    """
    settings, state, seen = training.settings, training.state, training.activations
    silence, gaps = state["silence"], state["gaps"]
    fired = torch.cat([(h > 0).any(1) for h in seen], 1)
    place = _bin_of(silence, gaps.shape[-1]).unsqueeze(-1)
    gaps.scatter_add_(-1, place, fired.unsqueeze(-1).to(gaps.dtype))
    images = seen[0].shape[1] // training.structure.layers[0].places
    silence.add_(images).masked_fill_(fired, 0)
    due = _may_be_due(state, images)
    if (training.step + 1) % settings.snr_every == 0:
        state["threshold"].copy_(_thresholds(gaps, settings))
        gaps.mul_(0.5)
        due = True
    if not due:
        return
    chosen = silence > state["threshold"]
    if chosen.any():
        labels = ("snr", training.step)
        for index, units in enumerate(chosen.split(widths(training), 1)):
            if units.any():
                replace_units_(training, index, units, labels=labels)
        silence.masked_fill_(chosen, 0)
        gaps.masked_fill_(chosen.unsqueeze(-1), 0)
        state["threshold"].masked_fill_(chosen, settings.snr_most)
    # Silences are whole numbers of samples: rounding cannot hide one that is due.
    state["room"] = (state["threshold"].floor() - silence).amin(1).cpu()


SNR = register(
    Method(
        name="snr",
        summary="Self-normalised resets: Adam, units silent for too long replaced",
        source="Farias & Jozefiak, ICLR 2025",
        settings=_SNRSettings(),
        search={
            "snr_rejection": (0.01, 0.02, 0.04),
            "snr_least": (100, 1000),
            "snr_most": (10_000, 100_000),
        },
        start=_no_silence,
        after_step=_silence_step,
        watches=True,
    )
)
