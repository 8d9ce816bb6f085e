"""The examples run, learn, pull what they should, and go on where they were saved.

Each needs packages of the extra ``integrations`` and is skipped without them.
"""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from isometry import AdamO
from isometry.adamo import describe, gram_deviation
from isometry.attachment import attach
from isometry.core.matrices import as_matrix

# Others' code, which warns of what it likes.
pytestmark = pytest.mark.filterwarnings("default")
FOLDER = Path(__file__).parents[2] / "examples"
BIT_FOR_BIT = {"rtol": 0.0, "atol": 0.0}
SCRIPTS = {  # and what it needs
    "accelerate_loop": "accelerate",
    "avalanche_plugin": "avalanche",
    "hf_trainer": "transformers",
    "lightning_fit": "lightning",
    "outside_optimisers": "kron_torch",
    "sb3_ppo": "stable_baselines3",
    "torchrl_ppo": "torchrl",
}


def example(name):
    """Return an example as a module, under its name, so that it can be pickled."""
    pytest.importorskip(SCRIPTS[name])
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def rows(optimizer):
    return {row.name: row for row in describe(optimizer).rows}


def pulled(optimizer):
    return [name for name, row in rows(optimizer).items() if row.pulled]


def deviation(model, names):
    weights = dict(model.named_parameters())
    return sum(gram_deviation(as_matrix(weights[n].detach())).item() for n in names)


def test_every_script_is_short_and_tried_here():
    scripts = {path.stem: path for path in FOLDER.glob("*.py")}
    assert scripts.keys() == SCRIPTS.keys() | {"adamo_single_file"}
    for name in SCRIPTS:
        assert len(scripts[name].read_text().splitlines()) < 60


def test_every_script_is_on_the_list():
    text = (FOLDER / "README.md").read_text()
    assert all(f"({path.name})" in text for path in FOLDER.glob("*.py"))


def test_the_trainer_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path):
    script = example("hf_trainer")
    start = script.network()
    whole = script.train(str(tmp_path), 40)
    (tmp_path / "checkpoint-40").rename(tmp_path / "late")
    again = script.train(str(tmp_path), 40, resume=True)
    assert again.state.global_step == 40
    assert_close(again.model.state_dict(), whole.model.state_dict(), **BIT_FOR_BIT)
    found = rows(whole.optimizer)
    assert found["transformer.h.0.attn.c_attn.weight"].why.startswith("3 matrices")
    assert not found["transformer.wte.weight"].pulled
    names = [n for n in pulled(whole.optimizer) if "c_attn" not in n]
    assert len(names) == 6
    assert deviation(whole.model, names) < deviation(start, names) / 2
    first = script.Trainer(start, whole.args).evaluate(script.sequences())
    assert whole.evaluate(script.sequences())["eval_loss"] < first["eval_loss"] - 0.2


def test_lightning_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path):
    script = example("lightning_fit")
    script.STEPS = 10
    save = script.lightning.pytorch.callbacks.ModelCheckpoint(tmp_path, save_top_k=-1)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    whole = script.fit(4, callbacks=[save], **quiet)
    (middle,) = tmp_path.glob("epoch=1-*.ckpt")
    again = script.fit(4, str(middle), enable_checkpointing=False, **quiet)
    assert_close(again.state_dict(), whole.state_dict(), **BIT_FOR_BIT)
    (optimizer,) = whole.trainer.optimizers
    assert pulled(optimizer) == ["body.0.weight", "body.2.weight"]
    assert rows(optimizer)["classifier.weight"].why == "excluded"
    fresh = script.Classifier()
    names = pulled(optimizer)
    assert deviation(whole, names) < deviation(fresh, names) / 2
    losses = [
        sum(m.training_step(batch).item() for batch in script.rings())
        for m in (fresh, whole)
    ]
    assert losses[1] < 0.8 * losses[0]


def test_accelerate_goes_on_from_a_saved_state(tmp_path):
    script = example("accelerate_loop")
    whole, optimizer, _ = script.train(4)
    script.train(2, save=str(tmp_path))
    again, _, losses = script.train(2, load=str(tmp_path))
    assert_close(again.state_dict(), whole.state_dict(), **BIT_FOR_BIT)
    assert pulled(optimizer) == ["0.weight", "2.weight"]
    assert rows(optimizer)["head.weight"].why == "the head"
    names = pulled(optimizer)
    assert deviation(whole, names) < deviation(script.network(), names) / 2
    assert sum(losses[-10:]) / 10 < 0.02  # the targets' variance is 0.02 to 0.03


def test_accelerate_in_half_precision_pulls_in_full_precision():
    script = example("accelerate_loop")
    states = pytest.importorskip("accelerate.state")
    states.AcceleratorState._reset_state()  # one a process, in one precision
    model, optimizer, losses = script.train(4, half=True)
    states.AcceleratorState._reset_state()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    names = pulled(optimizer)
    assert deviation(model, names) < deviation(script.network(), names) / 2
    assert losses[-1] < 0.1


def test_an_agent_of_stable_baselines_spares_its_heads_and_is_loaded(tmp_path):
    pytest.importorskip("numba")
    script = example("sb3_ppo")
    start = script.agent(4)
    player = script.agent(4).learn(2 * 4 * 64)
    optimizer = player.policy.optimizer
    hidden = ["mlp_extractor.policy_net", "mlp_extractor.value_net"]
    names = [f"{net}.{i}.weight" for net in hidden for i in (0, 2)]
    assert pulled(optimizer) == names
    heads = ("action_net", "value_net")
    assert {rows(optimizer)[f"{n}.weight"].why for n in heads} == {"the head"}
    assert deviation(player.policy, names) < deviation(start.policy, names)
    player.save(tmp_path / "player")
    again = script.PPO.load(tmp_path / "player", env=player.env, device="cpu")
    assert pulled(again.policy.optimizer) == names
    state = player.policy.optimizer.state_dict()["state"]
    assert_close(again.policy.optimizer.state_dict()["state"], state, **BIT_FOR_BIT)
    again.learn(4 * 64)


def test_an_agent_of_torchrl_plays_and_spares_its_heads():
    pytest.importorskip("numba")
    script = example("torchrl_ppo")
    networks, optimizer, rewards = script.learn(2, 8)
    names = ["actor.module.0.module.1.weight", "critic.module.1.weight"]
    assert pulled(optimizer) == names
    assert [r.why for n, r in rows(optimizer).items() if "head.w" in n] == [
        "the head",
        "the head",
    ]
    assert len(rewards) == 2
    assert all(torch.isfinite(p).all() for p in networks.parameters())
    torch.manual_seed(0)
    start = script.layers(3)
    assert deviation(networks, names[:1]) < deviation(start, ["1.weight"])


def test_a_plugin_of_avalanche_takes_the_steps_of_a_loop_of_one_s_own():
    script = example("avalanche_plugin")
    seen = []

    class Seeing(script.Plasticity):
        def before_training_exp(self, strategy, **_):
            super().before_training_exp(strategy)
            seen.append("a task")

        def before_forward(self, strategy, **_):
            seen.append((strategy.mb_x.clone(), strategy.mb_y.clone()))

    settings = {"redo_every": 20, "redo_threshold": 0.3}
    plugin = Seeing("redo+l2_init", **settings)
    strategy = script.train(plugin, tasks=2, epochs=2)
    assert seen.count("a task") == 2
    assert len(seen) == 2 + 2 * 2 * 1024 / 32
    assert pulled(strategy.optimizer) == ["0.weight", "2.weight"]
    assert "head.weight" in str(plugin.plastic.report())

    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    model.add_module("head", nn.Linear(64, 4))
    optimizer = AdamO(model, lr=3e-3, relaxation_steps=100)
    plastic = attach(model, optimizer, "redo+l2_init", **settings)
    for batch in seen[1:]:
        if batch == "a task":
            plastic.new_task()
            continue
        inputs, targets = batch
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        (loss + plastic.penalty()).backward()
        optimizer.step()
        plastic.step()
    assert sum(row.replaced for row in plastic.report().layers) > 0
    assert_close(strategy.model.state_dict(), model.state_dict(), **BIT_FOR_BIT)


@pytest.mark.parametrize("method", ["redo+l2_init", "optimizer_reset+l2"])
@pytest.mark.parametrize("name", ["trac", "kron"])
def test_optimisers_of_others_learn_every_task_beside_a_method(name, method):
    pytest.importorskip("trac_optimizer")
    script = example("outside_optimisers")
    torch.compiler.set_stance("force_eager")
    try:
        settings = {"redo_every": 20} if "redo" in method else {}
        _, plastic, losses = script.train(name, method, **settings)
    finally:
        torch.compiler.set_stance("default")
    assert len(losses) == 3
    assert all(last < first / 2 for first, last in losses)
    assert plastic.state_dict()["steps"] == 180
