"""A method on a user's model, in loops as users write them."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

import isometry
from isometry.adamo import with_isometry
from isometry.methods import METHODS, get

INPUTS = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(3, (12,), generator=torch.Generator().manual_seed(2))
RESETS = {"redo_every": 2, "redo_threshold": 0.9}  # several units at each check


def small(seed=0):
    """Return a small network, the same every time."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
    )


def take(model, plastic, steps, inputs=INPUTS, labels=LABELS):
    """Take some steps as the page writes them."""
    for _ in range(steps):
        plastic.optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        (loss + plastic.penalty(loss)).backward()
        plastic.optimizer.step()
        plastic.step()


def values(model):
    """Return copies of a model's parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    """Return whether two models hold the same, bit for bit."""
    return all(torch.equal(one[name], other[name]) for name in other)


# --- any optimiser --------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-3, amsgrad=True),
    "fused Adam": lambda p: torch.optim.Adam(p, lr=1e-3, fused=True),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=1e-3),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=1e-2),
    "AdamO": lambda p: isometry.AdamO(p, lr=1e-3),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_any_optimiser_forgets_replaced_units(kind):
    model = small()
    optimizer = OPTIMIZERS[kind](model.parameters())
    plastic = isometry.attach(model, optimizer, "redo", **RESETS)
    take(model, plastic, 2)
    row = plastic.report().layers[0]
    assert row.replaced > 0
    new = model[0].bias == 0
    assert int(new.sum()) == row.replaced
    for parameter, units in ((model[0].weight, 0), (model[2].weight, 1)):
        for memory in optimizer.state[parameter].values():
            if torch.is_tensor(memory) and memory.shape == parameter.shape:
                assert (memory.movedim(units, 0)[new] == 0).all()
                assert (memory.movedim(units, 0)[~new] != 0).any()


@pytest.mark.parametrize("kind", [k for k in OPTIMIZERS if k != "AdamO"])
def test_the_isometry_step_goes_beside_any_optimiser(kind):
    strength = {"isometry_strength": 1.0, "isometry_lr": 0.01}
    one, other = small(), small()
    spared = [*one[4].parameters()]
    for parameter in spared:
        parameter.isometry = False
    first = OPTIMIZERS[kind](one.parameters())
    with_isometry(first, **strength)
    second = OPTIMIZERS[kind](other.parameters())
    plastic = isometry.attach(other, second, "adamo", isometry_head=False, **strength)
    for _ in range(3):
        first.zero_grad()
        functional.cross_entropy(one(INPUTS), LABELS).backward()
        first.step()
    take(other, plastic, 3)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value)


def test_each_weight_s_pull_follows_the_rate_of_its_group():
    model = small()
    groups = [{"params": model[0].parameters(), "lr": 0.0}]
    groups.append({"params": model[2:].parameters(), "lr": 0.1})
    sgd = torch.optim.SGD(groups, lr=0.1)
    plastic = isometry.attach(model, sgd, "adamo", isometry_strength=1.0)
    before = values(model)
    take(model, plastic, 1)
    after = model.state_dict()
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["2.weight"], after["2.weight"])


def test_a_closure_is_evaluated_before_the_method_acts():
    model = small()
    lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2)
    plastic = isometry.attach(model, lbfgs, "adamo+redo", inputs=INPUTS, **RESETS)

    def closure():
        lbfgs.zero_grad()
        loss = functional.cross_entropy(model(INPUTS), LABELS)
        loss.backward()
        return loss

    for _ in range(2):
        lbfgs.step(closure)
        plastic.step()
    assert plastic.report().layers[0].replaced > 0


def test_fire_makes_any_optimiser_forget_and_go_on():
    for make in OPTIMIZERS.values():
        model = small()
        optimizer = make(model.parameters())
        plastic = isometry.attach(model, optimizer, "fire")
        take(model, plastic, 1)
        plastic.new_task()
        take(model, plastic, 1)


def test_a_network_may_be_a_single_layer():
    layer = nn.Linear(6, 3)
    sgd = torch.optim.SGD(layer.parameters(), lr=0.1)
    plastic = isometry.attach(layer, sgd, "fire", inputs=INPUTS)
    plastic.new_task()
    sigma = torch.linalg.svdvals(layer.weight)
    torch.testing.assert_close(sigma, torch.full((3,), 0.5**0.5), rtol=0.01, atol=0)


def test_an_optimiser_of_the_method_s_own_is_an_optimiser():
    model = small()
    plastic = isometry.attach(model, None, "upgd", lr=0.1, inputs=INPUTS)
    schedule = torch.optim.lr_scheduler.StepLR(plastic.optimizer, 1, gamma=0.0)
    take(model, plastic, 1)
    schedule.step()
    before = values(model)
    take(model, plastic, 1)
    assert same(before, model.state_dict())
    plastic.optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())


# --- what counts as a step ------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_a_step_that_a_scaler_leaves_out_is_not_counted(own, fused):
    model = small()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)
    keywords = {"lr": 1e-3} if own else {}
    plastic = isometry.attach(
        model, None if own else adam, "redo+l2", inputs=INPUTS, **RESETS, **keywords
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1000)
    before = values(model)
    for factor in (float("inf"), 1.0):
        plastic.optimizer.zero_grad()
        loss = functional.cross_entropy(model(INPUTS), LABELS) + plastic.penalty()
        scaler.scale(loss * factor).backward()
        scaler.step(plastic.optimizer)
        scaler.update()
        if factor > 1:
            plastic.optimizer.zero_grad()
        plastic.step()
        if factor > 1:
            assert same(before, model.state_dict())
            assert plastic.state_dict()["steps"] == 0
    assert plastic.state_dict()["steps"] == 1


def test_a_scaled_loss_trains_as_the_loss_itself():
    found = []
    for scale in (1.0, 1024.0):
        model = small()
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        plastic = isometry.attach(model, sgd, "head_decay+l2_init+redo", **RESETS)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        for _ in range(3):
            sgd.zero_grad()
            loss = functional.cross_entropy(model(INPUTS), LABELS) + plastic.penalty()
            scaler.scale(loss).backward()
            scaler.step(sgd)
            scaler.update()
            plastic.step()
        found.append(values(model))
    assert same(*found)


def test_autocast_leaves_penalties_and_statistics_alone():
    model = small()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "redo+parseval", **RESETS)
    with torch.autocast("cpu", torch.bfloat16):
        loss = functional.cross_entropy(model(INPUTS), LABELS)
        inside = plastic.penalty()
    assert inside.dtype == torch.float32
    assert torch.equal(inside, plastic.penalty())
    (loss + inside).backward()
    sgd.step()
    plastic.step()


def test_passes_of_one_step_count_together_and_others_not():
    def seen(passes):
        model = small()
        sgd = torch.optim.SGD(model.parameters(), lr=0.0)
        plastic = isometry.attach(model, sgd, "snr", inputs=INPUTS)
        passes(model)
        sgd.step()
        plastic.step()
        return plastic.state_dict()["carried"]["silence"]

    def whole(model):
        model(INPUTS).sum().backward()

    def halves(model):
        for part in INPUTS.split(6):
            model(part).sum().backward()

    def with_others(model):
        with torch.no_grad():
            model(INPUTS)
        model.eval()
        model(INPUTS)
        model.train()
        model(INPUTS).sum().backward()

    assert torch.equal(seen(whole), seen(halves))
    assert torch.equal(seen(whole), seen(with_others))


def test_a_layer_that_is_used_twice_shows_both_uses():
    class Siamese(nn.Module):
        def __init__(self, twice):
            super().__init__()
            self.body, self.twice = small(), twice

        def forward(self, x):
            if self.twice:
                return torch.cat([self.body(half) for half in x.split(6)])
            return self.body(x)

    found = []
    for twice in (False, True):
        model = Siamese(twice)
        sgd = torch.optim.SGD(model.parameters(), lr=0.0)
        plastic = isometry.attach(model, sgd, "redo", redo_every=10)
        take(model, plastic, 2)
        found.append(plastic.state_dict()["carried"]["activity"])
    torch.testing.assert_close(*found)


def test_activations_that_are_overwritten_later_are_seen_as_they_were():
    class Overwrites(nn.Module):
        def __init__(self, inplace):
            super().__init__()
            self.inner, self.act = nn.Linear(6, 8), nn.GELU()
            self.drop, self.last = nn.Dropout(0.5, inplace), nn.Linear(8, 3)

        def forward(self, x):
            return self.last(self.drop(self.act(self.inner(x))))

    found = []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = Overwrites(inplace)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        plastic = isometry.attach(model, sgd, "redo", inputs=INPUTS, redo_every=10)
        torch.manual_seed(3)
        take(model, plastic, 3)
        found.append(plastic.state_dict()["carried"]["activity"])
    assert torch.equal(*found)


def test_running_statistics_of_new_units_begin_anew():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)
    )
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "redo", redo_every=2, redo_threshold=1.0)
    take(model, plastic, 2, torch.randn(12, 1, 6, 6))
    (row,) = plastic.report().layers
    norm = model[1]
    new = (norm.running_mean == 0) & (norm.running_var == 1)
    assert int(new.sum()) == row.replaced > 0
    assert (norm.weight[new] == 1).all()


# --- what is left alone ---------------------------------------------------------------


@pytest.mark.parametrize("method", ["l2", "shrink_perturb", "newton_schulz", "fire"])
def test_frozen_parameters_stay(method):
    model = small()
    model[0].requires_grad_(False)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    often = {"perturb_every": 1} if method == "shrink_perturb" else {}
    plastic = isometry.attach(model, sgd, method, **often)
    before = values(model)
    take(model, plastic, 2)
    plastic.new_task()
    after = model.state_dict()
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["2.weight"], after["2.weight"])
    assert "it is frozen" in str(plastic.report())


def test_units_next_to_something_frozen_are_not_replaced():
    model = small()
    model[4].requires_grad_(False)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "redo", **RESETS)
    take(model, plastic, 2)
    rows = {row.layer: row for row in plastic.report().layers}
    assert rows["0.weight"].replaced > 0
    assert (rows["2.weight"].replaced, rows["2.weight"].note != "") == (0, True)


def test_parameters_that_the_optimiser_does_not_hold_stay():
    model = small()
    sgd = torch.optim.SGD(model[2:].parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "newton_schulz")
    before = values(model)
    take(model, plastic, 1)
    assert torch.equal(before["0.weight"], model[0].weight)


@pytest.mark.parametrize("method", ["adamo", "newton_schulz", "fire", "parseval"])
def test_a_marked_parameter_is_kept_from_isometry(method):
    model = small()
    model[2].weight.isometry = False
    strong = {"adamo": {"isometry_strength": 1.0}}.get(method, {})
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, method, inputs=INPUTS, **strong)
    marked = next(r for r in plastic.report().parameters if r.name == "2.weight")
    assert marked.note == "its attribute isometry is False"
    before = values(model)
    model(INPUTS).sum().mul(0).add(plastic.penalty()).backward()
    sgd.step()
    plastic.step()
    plastic.new_task()
    assert torch.equal(before["2.weight"], model[2].weight)
    assert not torch.equal(before["0.weight"], model[0].weight)


# --- copies, checkpoints, the end -----------------------------------------------------


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save", "EMA"])
def test_a_copy_of_the_model_is_not_watched(how):
    model = small()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "redo+injection", **RESETS)
    if how == "deepcopy":
        other = copy.deepcopy(model)
    elif how == "pickle":
        other = pickle.loads(pickle.dumps(model))
    elif how == "EMA":
        other = torch.optim.swa_utils.AveragedModel(model)
    else:
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        other = torch.load(buffer, weights_only=False)
    other.train()(INPUTS).sum().backward()
    take(model, plastic, 3)
    other(INPUTS).sum().backward()
    alone = small()
    again = isometry.attach(
        alone,
        torch.optim.SGD(alone.parameters(), lr=0.1),
        "redo+injection",
        **RESETS,
    )
    take(alone, again, 3)
    assert same(values(alone), model.state_dict())


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", [*METHODS.names(), "redo+l2_init", "adamo+cbp"])
def test_a_run_goes_on_from_a_checkpoint_bit_for_bit(name, own):
    try:
        method = get(name)
    except ValueError:
        pytest.skip("not a combination")
    often = {
        "redo": RESETS,
        "snr": {"snr_least": 12, "snr_most": 24},
        "cbp": {"replacement_rate": 0.1, "maturity": 1},
    }
    settings = {}
    for part in name.split("+"):
        settings |= often.get(part, {})

    def begun():
        model = small()
        if method.architecture.__name__ != "_keep_architecture":
            pytest.skip("another architecture has no state of its own")
        keywords = {"inputs": INPUTS, **settings} | ({"lr": 1e-3} if own else {})
        optimizer = None if own else torch.optim.Adam(model.parameters(), lr=1e-3)
        try:
            return model, isometry.attach(model, optimizer, name, **keywords)
        except ValueError as error:
            pytest.skip(str(error))

    torch.manual_seed(4)
    first, plastic = begun()
    take(first, plastic, 3)
    plastic.new_task([(INPUTS, LABELS)])
    take(first, plastic, 1)
    saved = io.BytesIO()
    states = first.state_dict(), plastic.optimizer.state_dict(), plastic.state_dict()
    torch.save(states, saved)
    take(first, plastic, 4)
    saved.seek(0)
    weights, memory, state = torch.load(saved)
    second, again = begun()
    second.load_state_dict(weights)
    again.optimizer.load_state_dict(memory)
    again.load_state_dict(state)
    take(second, again, 4)
    assert same(values(first), second.state_dict())


def test_a_state_is_taken_before_the_first_pass_too():
    model = small()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "l2_init")
    take(model, plastic, 2)
    saved, weights = copy.deepcopy(plastic.state_dict()), values(model)
    other = small(seed=1)
    other.load_state_dict(weights)
    sgd = torch.optim.SGD(other.parameters(), lr=0.1)
    again = isometry.attach(other, sgd, "l2_init")
    again.load_state_dict(saved)
    assert again.state_dict()["steps"] == 2
    take(model, plastic, 2)
    take(other, again, 2)
    assert same(values(model), other.state_dict())


@pytest.mark.parametrize("name", ["redo+l2_init", "adamo", "regrama", "injection"])
def test_detach_leaves_model_and_optimiser_as_they_were(name):
    model = small()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def hooks():
        found = [
            len(getattr(module, kind))
            for module in model.modules()
            for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        ]
        found += [len(adam._optimizer_step_pre_hooks)]
        found += [len(adam._optimizer_step_post_hooks)]
        for parameter in model.parameters():
            found.append(len(parameter._post_accumulate_grad_hooks or {}))
        return found

    before = hooks()
    for passes in (0, 2):
        plastic = isometry.attach(model, adam, name)
        take(model, plastic, passes)
        plastic.detach()
        plastic.detach()  # once more does nothing
        assert hooks() == before
    assert isometry.attach(model, adam, name) is not plastic


def test_the_report_says_what_is_treated_and_why_not():
    model = nn.Sequential(*small(), nn.LayerNorm(3), nn.Linear(3, 3))
    model[0].weight.requires_grad_(False)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "redo", **RESETS)
    take(model, plastic, 2)
    report = plastic.report()
    text, records = str(report), report.records()
    assert "it is frozen" in text
    assert {"layer", "units", "replaced", "dormant"} <= records[0].keys()
    assert all(0 <= r["dormant"] <= 1 for r in records if r.get("dormant") is not None)
    roles = {row.name: row.role for row in report.parameters}
    assert (roles["2.weight"], roles["5.weight"]) == ("hidden", "gain")


def test_what_is_measured_stands_in_for_what_is_trained_inside_the_block():
    model = small()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "hare_tortoise", inputs=INPUTS)
    first = values(model)
    take(model, plastic, 3)
    trained = values(model)
    with plastic.measured():
        gap = (model[0].weight - first["0.weight"]).abs().max()
        assert 0 < gap < 0.1 * (trained["0.weight"] - first["0.weight"]).abs().max()
    assert same(trained, model.state_dict())


def test_a_fresh_network_for_every_task_is_drawn_and_the_optimiser_forgets():
    model = small()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    plastic = isometry.attach(model, adam, "fresh", seed=3)
    take(model, plastic, 2)
    before = values(model)
    plastic.new_task()
    drawn = values(model)
    assert not adam.state
    assert not torch.equal(before["0.weight"], drawn["0.weight"])
    assert drawn["0.weight"].abs().max() <= 6**-0.5
    take(model, plastic, 1)

    def ones(module, generator):
        for parameter in module.parameters():
            parameter.fill_(1)

    other = small()
    adam = torch.optim.Adam(other.parameters(), lr=1e-3)
    plastic = isometry.attach(other, adam, "fresh", initialise=ones, inputs=INPUTS)
    plastic.new_task()
    assert all((p == 1).all() for p in other.parameters())
