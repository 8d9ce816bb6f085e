"""Self-normalised resets against lists of gaps, unit by unit."""

from math import floor, log2

import numpy as np
import pytest
import torch

from isometry.core.seeding import generator
from isometry.methods.resets.self_normalised_resets import _bin_of

UNITS, BATCH = (5, 4), 3
RATES = (0.9, 0.4, 0.15, 0.05, 0.0)  # how often units fire


def activity(step):
    """Return activations that are positive at each unit's own rate."""
    seen = []
    for units in UNITS:
        draw = generator(4, "h", step, units)
        fires = torch.rand(3, BATCH, units, generator=draw)
        rates = torch.tensor([RATES[u % 5] for u in range(units)])
        seen.append((fires < rates).double())
    return seen


class Reference:
    """One unit: its silence, the gaps between its firings, its threshold."""

    def __init__(self, eta, least, most):
        self.eta, self.least, self.most = eta, least, most
        self.start()

    def start(self):
        self.silence, self.threshold = 0, self.most
        self.weights = []  # (gap, weight): older gaps count less

    def step(self, fires, refresh):
        """Return whether the unit is reset."""
        if fires:
            self.weights.append((self.silence, 1.0))
        self.silence = 0 if fires else self.silence + BATCH
        if refresh:
            self.threshold = self.percentile()
            self.weights = [(gap, weight / 2) for gap, weight in self.weights]
        if self.silence > self.threshold:
            self.start()
            return True
        return False

    def percentile(self):
        """Return the upper end of the bin that holds the (1 - eta) percentile."""
        if not self.weights:
            return self.most
        total, reached = sum(weight for _, weight in self.weights), 0.0
        for gap, weight in sorted(self.weights):
            reached += weight
            if reached >= (1 - self.eta) * total:
                end = 2 ** ((floor(4 * log2(1 + gap)) + 1) / 4) - 1
                return min(max(end, self.least), self.most)
        raise AssertionError


@pytest.mark.parametrize(("eta", "least"), [(0.25, 4), (0.03, 4), (0.25, 20)])
def test_a_unit_is_reset_once_silent_for_longer_than_its_own_percentile(
    toy, eta, least
):
    settings = {"snr_rejection": eta, "snr_least": least, "snr_most": 60}
    own = toy("snr", snr_every=16, **settings)
    units = [[Reference(eta, least, 60) for _ in range(9)] for _ in range(3)]
    resets = np.zeros(9)
    for step in range(130):
        before, seen = own.copy(), activity(step)
        fired = torch.cat([(h > 0).any(1) for h in seen], 1)
        own.after(step, seen)
        after = own.copy()
        for i in range(3):
            for unit, reference in enumerate(units[i]):
                reset = reference.step(bool(fired[i, unit]), (step + 1) % 16 == 0)
                resets[unit] += reset
                layer, place = (0, unit) if unit < 5 else (1, unit - 5)
                here = after[f"h{layer}.b"][i, place]
                if reset:
                    assert here == 0
                    following = after[("h1.w", "out.w")[layer]][i][:, place]
                    assert layer == 0 or (following == 0).all()
                else:
                    assert here == before[f"h{layer}.b"][i, place]
                assert own.state["silence"][i, unit] == reference.silence
                found = own.state["threshold"][i, unit].item()
                assert found == pytest.approx(reference.threshold)
    assert resets[4] > 3, "the unit that never fires is reset at the longest silence"
    assert resets[0] == 0, "the one that always does is not"
    if least == 4 and eta == 0.25:
        assert resets[1:4].sum() > 0


def test_silence_counts_samples_and_a_unit_without_gaps_has_the_longest(toy):
    own = toy("snr", snr_most=1000, snr_every=2)
    for step in range(6):
        own.after(step, [torch.zeros(3, BATCH, n).double() for n in UNITS])
    assert (own.state["silence"] == 18).all()
    assert (own.state["threshold"] == 1000).all()


def test_bins_are_quarter_octaves_and_the_last_is_open():
    gaps = torch.tensor([0.0, 1.0, 3.0, 4.0, 100.0, 1e9])
    expected = [min(floor(4 * log2(1 + g)), 26) for g in gaps.tolist()]
    assert _bin_of(gaps, 27).tolist() == expected == [0, 4, 8, 9, 26, 26]


def test_adams_moments_of_a_reset_unit_become_zero(toy):
    own = toy("snr", snr_least=1, snr_most=4)
    own.adam_step()
    for step in range(2):
        own.after(step, [torch.zeros(3, BATCH, n).double() for n in UNITS])
    for name in ("h0.w", "h0.b", "h1.w", "h1.b", "out.w"):
        memory = own.optimizer.state[own.parameters[name]]
        assert (memory["exp_avg"] == 0).all()
        assert (memory["exp_avg_sq"] == 0).all()
    assert (own.optimizer.state[own.parameters["out.b"]]["exp_avg"] != 0).all()
