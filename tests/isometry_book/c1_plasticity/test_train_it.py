"""The network that trains in the page, held to the library's own runs in float64."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from isometry.lab.run import plan
from isometry.plasticity import dead_fraction
from isometry.supervised.data.sets import load
from isometry.supervised.streams import random_label, scaled
from isometry.supervised.trainer import network_of, train
from isometry.supervised.training import _epoch_order
from isometry_book.c1_plasticity import train_it

playwright = pytest.importorskip("playwright", reason="needs the node inside it")

NODE = Path(playwright.__file__).parent / "driver" / "node"
ROOT = Path(__file__).resolve().parents[3]
ENGINE = ROOT / "book" / "_static" / "explorables" / "train_it_engine.js"
TASKS, SEED = 2, 5
# Follows a recorded run: its first weights, its new ones, its labels and its order.
FOLLOW = """
const { trainItEngine } = require(process.argv[1]);
const engine = trainItEngine();
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
function layers(weights) {
  const made = engine.network(given.widths, () => 0);
  made.forEach((layer, l) => {
    layer.weight.value.set(weights[l].weight.flat());
    layer.bias.value.set(weights[l].bias);
  });
  return made;
}
const own = engine.run(given.method, layers(given.fresh[0]));
const found = given.labels.map((labels, task) => {
  if (task) engine.beforeTask(own, layers(given.fresh[task]));
  let hits = 0;
  for (let step = 0; step < given.steps; step += 1) {
    const from = (step * given.batch) % labels.length;
    const chosen = given.order[task].slice(from, from + given.batch);
    const batch = Float64Array.from(chosen.flatMap((image) => given.inputs[image]));
    hits += engine.update(own, batch, chosen.map((image) => labels[image]), given);
  }
  return {
    accuracy: hits / (given.steps * given.batch),
    layers: own.layers.map((layer) => ({
      weight: [...layer.weight.value],
      bias: [...layer.bias.value],
      spectrum: engine.singularValues(layer.weight),
    })),
    silent: engine.silent(
      own.layers, Float64Array.from(given.inputs.flat()), given.inputs.length),
  };
});
console.log(JSON.stringify(found));
"""

# Trains by the page's own draws, as its worker does, to the end.
TRAIN = """
const { trainItEngine } = require(process.argv[1]);
const { trainer } = require(process.argv[1].replace("_engine", ""));
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const receive = trainer(trainItEngine, function (found) {
  if (found.accuracies.length < given.data.tasks) return;
  console.log(JSON.stringify(found.accuracies));
});
receive({ data: given.data });
receive({ act: "run", method: given.method, seed: 0, speed: 1e9 });
"""


def node(script, *arguments, given=None):
    command = [str(NODE), "-e", script, str(ENGINE), *map(str, arguments)]
    text = None if given is None else json.dumps(given)
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def layers_of(parameters, depth):
    names = [*(f"hidden.{i}" for i in range(depth)), "head"]
    return [
        {kind: parameters[f"{name}.{kind}"][0].tolist() for kind in ("weight", "bias")}
        for name in names
    ]


def recorded(method):
    """Run the library's stream; return what happened, and what the page is given."""
    changes = train_it.changes_of(method) | {"tasks": TASKS}
    planned = plan(train_it.STREAM, method, changes, "laptop")
    settings = planned.settings
    pixels = scaled(load(settings.data), settings.input_scaling)
    pixels.train_inputs.data = pixels.train_inputs.double()
    pixels.test_inputs.data = pixels.test_inputs.double()
    arguments = (planned.method, planned.method_settings, settings, pixels)
    network, weights = network_of(*arguments), []

    def keep(done, parameters):
        weights.append({k: p.detach().clone() for k, p in parameters.items()})

    run = train(planned.images, *arguments, [SEED], observe=keep)
    tasks = [random_label(pixels, settings, SEED, task) for task in range(TASKS)]
    given = {
        "method": method,
        "widths": train_it._data()["widths"],
        "lr": settings.lr,
        "pull": train_it._data()["pull"],
        "steps": settings.steps_per_task,
        "batch": settings.batch_size,
        "inputs": tasks[0].inputs.tolist(),
        "labels": [task.labels.tolist() for task in tasks],
        "order": [
            _epoch_order(settings, [SEED], task, 0)[0].tolist() for task in range(TASKS)
        ],
        "fresh": [
            layers_of(network.stacked([SEED], task), settings.depth)
            for task in range(TASKS)
        ],
    }
    accuracies = [r["value"] for r in run.records if r["metric"] == "online_accuracy"]
    hidden = [
        network.hidden_activations(w, tasks[0].inputs.unsqueeze(0)) for w in weights
    ]
    dead = [[float(dead_fraction(h)[0]) for h in task] for task in hidden]
    return accuracies, [layers_of(w, settings.depth) for w in weights], dead, given


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("method", train_it.NAMES)
def test_the_page_trains_as_the_library_does(method):
    accuracies, weights, dead, given = recorded(method)
    found = node(FOLLOW, given=given)
    # 800 updates of a network that memorises: what rounding does grows on the way.
    # Of each step the library keeps the accuracy in float32.
    assert [task["accuracy"] for task in found] == pytest.approx(accuracies, abs=1e-7)
    for task, expected in zip(found, weights, strict=True):
        for layer, own in zip(task["layers"], expected, strict=True):
            weight = torch.tensor(own["weight"])
            for kind in ("weight", "bias"):
                here = torch.tensor(layer[kind]).view_as(torch.tensor(own[kind]))
                difference = (here - torch.tensor(own[kind])).abs().max()
                assert difference < 1e-7, (method, kind, difference)
            torch.testing.assert_close(
                torch.tensor(layer["spectrum"]),
                torch.linalg.svdvals(weight),
                rtol=0,
                atol=1e-6,
            )
    assert [task["silent"] for task in found] == [pytest.approx(d) for d in dead]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "falls"), [("adam", True), ("adamo", False)])
def test_the_page_shows_by_its_own_draws_what_the_chapter_says(method, falls):
    accuracies = node(TRAIN, given={"data": train_it._data(), "method": method})
    assert len(accuracies) == train_it.SETTINGS["tasks"]
    change = sum(accuracies[-6:]) / 6 - sum(accuracies[:6]) / 6
    assert (change < -train_it.ADAM_LOSES) is falls
    assert falls or change > -train_it.OTHERS_KEEP


def test_the_stored_study_meets_what_was_asked_of_it():
    table = train_it.changes_over_stream(ROOT / "results")
    assert table["seeds"].eq(8).all()
    assert table.loc["adam", "change"] <= -train_it.ADAM_LOSES
    assert table["change"].drop("adam").min() >= -train_it.OTHERS_KEEP
