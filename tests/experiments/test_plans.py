"""Every setting reaches the run, those that came later included."""

from dataclasses import replace

from isometry.experiments import plans
from isometry.rl.continual_benchmarks import CONTINUAL_MINATAR


def test_a_later_setting_can_be_put_back_to_its_default(monkeypatch):
    smoke = replace(CONTINUAL_MINATAR.profiles["smoke"], protect_value_head=False)
    benchmark = replace(CONTINUAL_MINATAR, profiles={"smoke": smoke})
    monkeypatch.setattr(plans, "benchmark_of", lambda name: benchmark)

    def protected(changes):
        planned = plans.plan("continual_minatar", "adamo", changes, "smoke")
        return planned.settings.protect_value_head

    assert protected({"protect_value_head": "true"})
    assert not protected({})
