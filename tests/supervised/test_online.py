"""Batches of one image: the compiled steps against torch's, and the ordinary ones."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.denormals import denormals_flushed
from isometry.core.seeding import generator
from isometry.core.stacking import member
from isometry.methods import METHODS, Architecture, get
from isometry.methods.method import adam
from isometry.stream.binding import Hooks
from isometry.supervised import SupervisedSettings, online, training
from isometry.supervised.benchmarks import PERMUTED_MNIST
from isometry.supervised.networks.mlp import MLP, as_module
from isometry.supervised.online_kernel import descend
from isometry.supervised.streams import Pixels
from isometry.supervised.trainer import train
from isometry.supervised.training import train_task

SEEDS, ALL = [4, 9, 2], slice(None)
FEATURES, CLASSES = 20, 4


def mlp(activation="relu", **changes):
    architecture = {
        "network": "mlp",
        "width": 11,
        "depth": 3,
        "activation": activation,
        "negative_slope": 0.1,
        "init": "default",
        "init_gain": 1.0,
    }
    return MLP(
        architecture=Architecture(**{**architecture, **changes}),
        in_features=FEATURES,
        num_classes=CLASSES,
    )


def leaves(network, dtype=torch.float32, seeds=SEEDS):
    stacked = network.stacked(list(seeds))
    return {n: p.to(dtype).requires_grad_() for n, p in stacked.items()}


def images(steps, dtype=torch.float32, dense=False):
    """Return images, of whose pixels most are zero, and labels, ``(3, steps, ...)``."""
    draw = generator(0, "images")
    inputs = torch.randn(3, steps, FEATURES, generator=draw)
    if not dense:
        inputs *= torch.rand(inputs.shape, generator=draw) < 0.2
    return inputs.to(dtype), torch.randint(CLASSES, (3, steps), generator=draw)


def pieces_of(inputs, labels, size):
    return zip(inputs.split(size, 1), labels.split(size, 1), strict=True)


def trained(network, inputs, labels, dtype=torch.float32, members=ALL, size=10):
    """Return losses, accuracies and parameters after a step on each image."""
    parameters = leaves(network, dtype, SEEDS[members])
    optimizer = torch.optim.SGD(parameters.values(), lr=0.05)
    stream = pieces_of(inputs[members], labels[members], size)
    steps = labels.shape[1]
    found = train_task(
        network, parameters, optimizer, None, stream, steps, batch_size=1
    )
    return *found, {name: p.detach() for name, p in parameters.items()}


@pytest.fixture
def ordinary(monkeypatch):
    """Return a function after which every step is an ordinary one."""
    return lambda: monkeypatch.setattr(training, "is_online", lambda *_: False)


# --- the step -------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "identity"])
def test_its_steps_are_those_of_a_torch_loop(activation, depth, dense):
    network = mlp(activation, depth=depth)
    inputs, labels = images(30, torch.float64, dense)
    losses, accuracies, found = trained(network, inputs, labels, dtype=torch.float64)
    start = leaves(network, torch.float64)
    for i in range(len(SEEDS)):
        model = as_module(network, start, i).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for step in range(30):
            logits = model(inputs[i, step : step + 1])
            loss = functional.cross_entropy(logits, labels[i, step : step + 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert_close(losses[step, i], loss.detach().float())
            right = logits.argmax(-1) == labels[i, step]
            assert accuracies[step, i] == right.item()
        own = member(found, i).values()
        for ours, theirs in zip(own, model.parameters(), strict=True):
            assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-14)


def test_float32_strays_no_farther_than_the_ordinary_steps_do(ordinary):
    # Both round every product and sum once, in other orders. How far that carries in
    # 1000 steps says the distance of either from float64; more than three times the
    # ordinary one's would be another error than rounding.
    network = mlp()
    sparse = images(1000)
    exact = images(1000, torch.float64)[0].to(torch.float64), sparse[1]
    with denormals_flushed():
        losses, accuracies, ours = trained(network, *sparse)
        ordinary()
        their_losses, their_accuracies, theirs = trained(network, *sparse)
        _, _, reference = trained(network, *exact, dtype=torch.float64)
    start = leaves(network, torch.float64)
    strayed = dict.fromkeys(("ours", "theirs"), 0.0)
    for name, p in reference.items():
        assert not torch.equal(p, start[name])
        for who, own in (("ours", ours), ("theirs", theirs)):
            far = (own[name].double() - p).abs().max().item()
            strayed[who] = max(strayed[who], far)
    assert 0 < strayed["theirs"] < 1e-4
    assert 0 < strayed["ours"] < 3 * strayed["theirs"]
    assert_close(losses, their_losses, rtol=1e-3, atol=1e-4)
    assert torch.equal(accuracies, their_accuracies)


def test_of_equal_logits_the_first_is_the_prediction(ordinary):
    network = mlp()
    inputs, labels = images(12)
    seen = []
    for _ in range(2):
        parameters = {n: torch.zeros_like(p) for n, p in leaves(network).items()}
        own = {n: p.requires_grad_() for n, p in parameters.items()}
        optimizer = torch.optim.SGD(own.values(), lr=0.0)
        losses, hits = train_task(
            network, own, optimizer, None, iter([(inputs, labels)]), 12, batch_size=1
        )
        assert torch.equal(hits, (labels.mT == 0).float())
        seen.append(losses)
        ordinary()
    assert_close(*seen)
    assert_close(seen[0], torch.full((12, 3), math.log(CLASSES)))


@pytest.mark.parametrize("size", [1, 3, 25])
def test_pieces_of_the_stream_and_chunks_end_without_a_trace(monkeypatch, size):
    network, (inputs, labels) = mlp(), images(25)
    whole = trained(network, inputs, labels)
    monkeypatch.setattr(online, "CHUNK", 7)
    assert_close(trained(network, inputs, labels, size=size), whole, rtol=0, atol=0)


def test_it_takes_one_image_at_a_time_only_where_it_is_asked_to(monkeypatch):
    monkeypatch.setattr(training, "train_online", lambda *_: "online")
    network, (inputs, labels) = mlp(), images(4)
    for size, precision, expected in (
        (1, "float32", True),
        (1, "bfloat16", False),
        (2, "float32", False),
        (None, "float32", False),
    ):
        parameters = leaves(network)
        own = network, parameters, plain_sgd(parameters), None
        found = train_task(
            *own,
            iter([(inputs, labels)]),
            4 // (size or 4),
            precision=precision,
            batch_size=size,
        )
        assert (found == "online") is expected
        assert expected or found[0].shape == (4 // (size or 4), 3)


# --- members --------------------------------------------------------------------------


def test_a_member_does_not_depend_on_the_others():
    network, (inputs, labels) = mlp(), images(40)
    losses, accuracies, stacked = trained(network, inputs, labels)
    for i in range(len(SEEDS)):
        one = slice(i, i + 1)
        own = trained(network, inputs, labels, members=one)
        assert torch.equal(own[0], losses[:, one])
        assert torch.equal(own[1], accuracies[:, one])
        for name, p in own[2].items():
            assert torch.equal(p, stacked[name][one])


def test_a_member_that_diverges_does_so_as_ever_and_leaves_the_others_alone(ordinary):
    network, (inputs, labels) = mlp(), images(40)
    inputs[1, 10] = 1e25
    losses, _, found = trained(network, inputs, labels)
    ordinary()
    their_losses, _, theirs = trained(network, inputs, labels)
    assert losses.isfinite().all(0).tolist() == [True, False, True]
    assert torch.equal(losses.isfinite(), their_losses.isfinite())
    assert_close(losses, their_losses, equal_nan=True, rtol=1e-4, atol=1e-5)
    assert_close(found, theirs, equal_nan=True, rtol=1e-4, atol=1e-5)


# --- the kernel's own edge ------------------------------------------------------------


def kernel_run(inputs, weight=1.0, rate=0.1):
    """Return how many steps a network of 2-1-2 takes, and its weights.

    The weight of the second input is given, all others are 1.
    """
    flat = torch.ones(2 + 1 + 2 + 2)
    flat[1] = weight
    sizes, labels = torch.tensor([2, 1, 2]), torch.arange(len(inputs)) % 2
    losses, hits = torch.empty(len(inputs)), torch.empty(len(inputs), dtype=torch.bool)
    arrays = [x.numpy() for x in (torch.tensor(inputs), labels, flat, sizes)]
    number = arrays[2].dtype.type
    out = losses.numpy(), hits.numpy()
    return descend(*arrays, number(0), number(rate), *out), flat


@pytest.mark.parametrize("bad", [math.inf, math.nan, 1e32])
def test_it_stops_before_a_step_that_is_not_finite(bad):
    done, before = kernel_run([[1.0, 0.0]])
    assert done == 1
    assert before.isfinite().all()
    done, after = kernel_run([[1.0, 0.0], [bad, 0.0], [1.0, 0.0]])
    assert done == 1
    assert torch.equal(after, before)


def test_it_takes_no_step_with_weights_that_are_not_finite():
    # A zero input would hide the infinity, which zero times infinity is not.
    assert kernel_run([[0.0, 0.0]], weight=math.inf)[0] == 0
    assert kernel_run([[0.0, 0.0]], weight=math.nan)[0] == 0
    assert kernel_run([[0.0, 0.0]])[0] == 1


# --- where it applies -----------------------------------------------------------------


def plain_sgd(parameters, **changes):
    return torch.optim.SGD(parameters.values(), **{"lr": 0.1, **changes})


def nothing(*_):
    return None


@pytest.mark.parametrize(
    ("network", "optimizer", "hooks", "known"),
    [
        (mlp(), {}, {}, True),
        (mlp("leaky_relu"), {}, {}, True),
        (mlp("identity"), {}, {"measured": nothing}, True),
        (mlp("tanh"), {}, {}, False),
        (mlp("gelu"), {}, {}, False),
        (mlp("maxmin", width=12), {}, {}, False),
        (mlp(normalisation="layer"), {}, {}, False),
        (mlp(hidden_bias=False), {}, {}, False),
        (nn.Linear(2, 2), {}, {}, False),
        (mlp(), {"momentum": 0.5}, {}, False),
        (mlp(), {"weight_decay": 0.5}, {}, False),
        (mlp(), {"maximize": True}, {}, False),
        (mlp(), {"fused": True}, {}, False),
        (mlp(), {"lr": torch.tensor(0.1)}, {}, False),
        *((mlp(), {}, {k: nothing}, False) for k in ("penalty", "add_gradient")),
        *((mlp(), {}, {k: nothing}, False) for k in ("after_step", "offset")),
        *((mlp(), {}, {k: nothing}, False) for k in ("see", "draws")),
    ],
)
def test_what_it_does_not_know_is_ordinary(network, optimizer, hooks, known):
    parameters = leaves(network if isinstance(network, MLP) else mlp())
    own = network, parameters, plain_sgd(parameters, **optimizer), Hooks(**hooks)
    assert online.is_online(*own) is known


def test_other_optimisers_and_parameters_are_ordinary():
    network, parameters = mlp(), leaves(mlp())
    plain = plain_sgd(parameters)
    assert online.is_online(network, parameters, plain, Hooks())
    adam = torch.optim.Adam(parameters.values())
    assert not online.is_online(network, parameters, adam, Hooks())
    assert not online.is_online(network, leaves(network), plain, Hooks())
    more = {**parameters, "scale": torch.ones(3, requires_grad=True)}
    assert not online.is_online(network, more, plain_sgd(more), Hooks())
    half = leaves(network, torch.float16)
    assert not online.is_online(network, half, plain_sgd(half), Hooks())
    plain.register_step_post_hook(nothing)
    assert not online.is_online(network, parameters, plain, Hooks())
    several = torch.optim.SGD([{"params": [p]} for p in parameters.values()], lr=0.1)
    assert not online.is_online(network, parameters, several, Hooks())


def test_without_numba_steps_are_ordinary(monkeypatch, ordinary):
    network, (inputs, labels) = mlp(), images(9)
    fast = trained(network, inputs, labels)
    monkeypatch.setattr(online, "_compiled", lambda: None)
    without = trained(network, inputs, labels)
    ordinary()
    assert_close(without, trained(network, inputs, labels), rtol=0, atol=0)
    assert_close(without, fast)
    assert not torch.equal(without[0], fast[0])  # it was fast, and rounds differently


# --- whole runs -----------------------------------------------------------------------


def pixels():
    draw = generator(0, "pixels")
    inputs = torch.rand(60, FEATURES, generator=draw)
    inputs *= torch.rand(60, FEATURES, generator=draw) < 0.3
    labels = torch.arange(60) % CLASSES
    return Pixels(
        train_inputs=inputs[:50],
        train_labels=labels[:50],
        test_inputs=inputs[50:],
        test_labels=labels[50:],
        num_classes=CLASSES,
    )


def run(seeds, tasks=3, method="adam", **more):
    changes = {"width": 8, "depth": 2, "lr": 0.05, "optimizer": "sgd", "batch_size": 1}
    settings = SupervisedSettings(
        tasks=tasks,
        images_per_task=30,
        epochs=2,
        init="default",
        **{**changes, **more.pop("settings", {})},
    )
    chosen = get(method)

    own = PERMUTED_MNIST, chosen, chosen.settings, settings, pixels(), list(seeds)
    return train(*own, **more)


def by_key(records):
    return {(r["seed"], r["task"], r["metric"]): r["value"] for r in records}


# Methods that do nothing in a step; those with other units or layers are ordinary.
PLACES = ("penalty", "penalty_gradient_", "before_step", "after_step", "offset")
IDLE = [
    name
    for name in METHODS.names()
    if get(name).optimizer is adam and not any(getattr(get(name), p) for p in PLACES)
]


@pytest.mark.parametrize("method", IDLE)
def test_a_method_that_does_nothing_in_a_step_runs_as_ever(method, ordinary):
    fast = run(SEEDS, method=method)
    ordinary()
    slow = run(SEEDS, method=method)
    assert by_key(fast.records) == pytest.approx(by_key(slow.records), rel=1e-3)
    assert_close(fast.parameters, slow.parameters, rtol=1e-3, atol=1e-4)


def test_a_run_records_what_the_ordinary_one_does(monkeypatch, ordinary):
    steps = []

    def counted(*arguments):
        steps.append(arguments[4])
        return online.train_online(*arguments)

    monkeypatch.setattr(training, "train_online", counted)
    fast = run(SEEDS)
    assert steps == [60, 60, 60]
    ordinary()
    slow = run(SEEDS)
    assert steps == [60, 60, 60]
    found, expected = by_key(fast.records), by_key(slow.records)
    assert found.keys() == expected.keys()
    # A prediction may turn where logits are nearly equal; none does here.
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert fast.steps == slow.steps == 180
    assert_close(fast.parameters, slow.parameters, rtol=1e-4, atol=1e-5)


def test_a_run_repeats_and_a_member_of_it_is_a_run_of_its_own():
    first, again, single = run(SEEDS), run(SEEDS), run([9])
    assert first.records == again.records
    assert [r for r in first.records if r["seed"] == 9] == single.records


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    whole, file = run(SEEDS), tmp_path / "run.checkpoint"

    def stop(done, tasks):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(SEEDS, checkpoint=file, progress=stop)
    assert file.exists()
    assert run(SEEDS, checkpoint=file).records == whole.records


def test_a_run_that_diverges_is_recorded_as_the_ordinary_one(ordinary):
    fast = run(SEEDS, settings={"lr": 1e20})
    ordinary()
    slow = run(SEEDS, settings={"lr": 1e20})
    assert set(fast.diverged_at) == set(SEEDS)
    assert fast.diverged_at == slow.diverged_at
    found, expected = by_key(fast.records), by_key(slow.records)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert math.inf in found.values()
