"""``isometry diagnose``: a look at a checkpoint, and one line for every refusal."""

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from isometry import diagnose
from isometry.cli import main
from isometry.core.seeding import generator
from isometry.diagnostics.batches import inputs_of

NETWORKS = """
import torch
from torch import nn

def small(width=5):
    layers = nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2)
    return nn.Sequential(*layers)

def wider():
    return small(7)

def needs(width):
    return small(width)

def no_model():
    return 3

class Pair(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)
    def forward(self, inputs):
        return super().forward(inputs), inputs

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(3, 5), nn.Linear(5, 2)
    def forward(self, x, mask, scale=1.0, labels=None):
        hidden = torch.relu(self.first(x) * mask[:, None])
        return {"logits": scale * self.head(hidden), "hidden": hidden}

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
        self.head.weight = self.table.weight
    def forward(self, ids):
        return self.head(torch.tanh(self.table(ids)))

class Kept:
    ready = small()

NUMBER = 3
"""


def network():
    draw = generator(0, "network")
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=draw))
    return model


@pytest.fixture
def isometry(capsys, monkeypatch, tmp_path):
    """Return a function that runs a command and returns (status, out, err)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("networks_of_a_test", "broken_of_a_test"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "networks_of_a_test.py").write_text(NETWORKS)
    (tmp_path / "broken_of_a_test.py").write_text("import nothing_of_this_name")
    torch.save(network().state_dict(), "good.pt")
    inputs = torch.randn(6, 3, generator=generator(0, "inputs"))
    torch.save(inputs, "x.pt")
    np.save("x.npy", inputs.double().numpy())
    np.savez("x.npz", inputs=inputs.numpy(), labels=np.zeros(6))

    def command(arguments):
        with pytest.raises(SystemExit) as ended:
            main(arguments.split())
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return command


MODEL = "--model networks_of_a_test:small"
INPUTS = "--inputs x.pt"
GOOD = f"diagnose good.pt {MODEL} {INPUTS}"


def test_command_prints_what_the_function_finds(isometry):
    status, out, err = isometry(GOOD)
    assert (status, err) == (0, "")
    assert out.rstrip("\n") == str(diagnose(network(), torch.load("x.pt")))


def test_formats_hold_all_digits(isometry):
    found = diagnose(network(), torch.load("x.pt"))
    status, out, _ = isometry(f"{GOOD} --format json")
    assert status == 0
    assert json.loads(out) == found.to_dict()
    frame = pd.read_csv(io.StringIO(isometry(f"{GOOD} --format csv")[1]))
    pd.testing.assert_frame_equal(frame, found.to_frame())


@pytest.mark.parametrize("file", ["x.npy", "x.npz"])
def test_arrays_of_numpy_are_the_same_inputs_in_the_models_type(isometry, file):
    out = isometry(f"diagnose good.pt {MODEL} --inputs {file}")[1]
    assert out == isometry(GOOD)[1]


def test_switches_reach_the_function(isometry):
    out = isometry(f"{GOOD} --format json --no-ntk --no-jacobian --max-inputs 4")[1]
    found = json.loads(out)
    assert found["inputs"] == 4
    assert found["left_out"] == {"Jacobians": "not asked for", "NTK": "not asked for"}


def prefixed(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def lightning(prefix):
    """What Lightning's Trainer writes of a module whose network is an attribute."""
    return lambda s: {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**prefixed(prefix, s), "loss.weight": torch.ones(2)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
        "hyper_parameters": {"lr": 0.1},
    }


FORMS = {
    "the state itself": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}},
    "torch's tutorial": lambda s: {
        "model_state_dict": s,
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(2)}}},
        "loss": torch.tensor(0.3),
    },
    "net": lambda s: {"net": s, "acc": 93.1},
    "params": lambda s: {"params": s},
    "weights": lambda s: {"weights": s},
    "model_state": lambda s: {"model_state": s},
    "an average alone": lambda s: {"ema": s, "step": 3},
    "an average beside": lambda s: {
        "model": s,
        "ema": {n: v + 1 for n, v in s.items()},
    },
    "nested": lambda s: {"state": {"model": {"state_dict": s}, "epoch": 3}},
    "a name of one's own": lambda s: {"actor": s, "optim": {"a": torch.ones(1)}},
    "Lightning, model": lightning("model."),
    "Lightning, net": lightning("net."),
    "Lightning, a name of one's own": lightning("encoder.trunk."),
    "Lightning, compiled": lightning("model._orig_mod."),
    "DDP": lambda s: prefixed("module.", s),
    "DDP, compiled": lambda s: prefixed("module._orig_mod.", s),
    "compiled DDP": lambda s: prefixed("_orig_mod.module.", s),
    "one compiled layer": lambda s: {
        n.replace("0.", "0._orig_mod."): v for n, v in s.items()
    },
    "FSDP": lambda s: prefixed("_fsdp_wrapped_module.", s),
    "AveragedModel": lambda _: AveragedModel(network()).state_dict(),
    "arguments and numbers of NumPy": lambda s: {
        "model": s,
        "args": argparse.Namespace(out=Path("runs"), lr=np.float32(0.1)),
        "best": np.float64(0.5),
        "seeds": np.arange(3),
    },
}


@pytest.mark.parametrize("state", FORMS.values(), ids=FORMS)
def test_checkpoints_of_a_training_are_read(isometry, state):
    torch.save(state(network().state_dict()), "wrapped.pt")
    found = isometry(f"diagnose wrapped.pt {MODEL} {INPUTS}")
    assert found == isometry(GOOD)


def test_of_several_networks_the_usual_name_is_read_and_others_are_refused(isometry):
    state = network().state_dict()
    torch.save(prefixed("model.", state) | prefixed("ema_model.", state), "two.pt")
    assert isometry(f"diagnose two.pt {MODEL} {INPUTS}") == isometry(GOOD)
    torch.save(prefixed("online.", state) | prefixed("target.", state), "two.pt")
    status, _, err = isometry(f"diagnose two.pt {MODEL} {INPUTS}")
    assert status == 2
    assert "found several: 'online.', 'target.'; name the factory of the whole" in err


@pytest.mark.parametrize("kind", [">f4", ">f8", ">i2", "g", "e"])
def test_numbers_of_every_order_and_length_are_read_by_value(tmp_path, kind):
    np.save(tmp_path / "x.npy", np.arange(4).astype(kind))
    assert inputs_of(tmp_path / "x.npy").tolist() == [0, 1, 2, 3]


MASKED = "--model networks_of_a_test:Masked"


def masked_model():
    names = {"__name__": "networks_of_a_test"}
    exec(NETWORKS, names)
    model = names["Masked"]()
    torch.save(model.state_dict(), "masked.pt")
    return model


def masked_inputs():
    draw = generator(0, "masked")
    mask = torch.tensor([1.0, 0, 1, 1, 0])
    return {"x": torch.randn(5, 3, generator=draw), "mask": mask}


FILES = {
    "keywords": (lambda x: torch.save(x, "several.pt"), "several.pt"),
    "places": (lambda x: torch.save(tuple(x.values()), "several.pt"), "several.pt"),
    "arrays": (
        lambda x: np.savez("several.npz", **{k: v.numpy() for k, v in x.items()}),
        "several.npz",
    ),
    "safetensors": (
        lambda x: pytest.importorskip("safetensors.torch").save_file(
            x, "several.safetensors"
        ),
        "several.safetensors",
    ),
}


@pytest.mark.parametrize("form", FILES)
def test_several_inputs_come_from_one_file(isometry, form):
    model, inputs = masked_model(), masked_inputs()
    write, path = FILES[form]
    write(inputs)
    found = isometry(f"diagnose masked.pt {MASKED} --inputs {path} --outputs logits")
    expected = diagnose(model, inputs, outputs=lambda o: o["logits"])
    assert found == (0, f"{expected}\n", "")


def test_numbers_beside_the_tensors_of_a_file_are_shared_by_all_inputs(isometry):
    masked = {**masked_inputs(), "scale": 2.0, "labels": torch.zeros(5).long()}
    torch.save(dict(reversed(masked.items())), "scaled.pt")  # forward's order counts
    model = masked_model()
    command = f"diagnose masked.pt {MASKED} --inputs scaled.pt --outputs logits"
    expected = diagnose(model, masked, outputs=lambda o: o["logits"])
    assert isometry(command) == (0, f"{expected}\n", "")


def test_what_lies_beside_the_inputs_and_is_no_keyword_is_left(isometry):
    batch = {"x": torch.load("x.pt"), "labels": torch.zeros(6).long()}
    torch.save(batch, "labelled.pt")
    found = isometry(f"diagnose good.pt {MODEL} --inputs labelled.pt")
    assert found == isometry(GOOD)


def test_a_checkpoint_of_safetensors_is_read(isometry):
    package = pytest.importorskip("safetensors.torch")
    package.save_file(network().state_dict(), "good.safetensors")
    found = isometry(f"diagnose good.safetensors {MODEL} {INPUTS}")
    assert found == isometry(GOOD)
    Path("bad.safetensors").write_text("no tensors")
    status, _, err = isometry(f"diagnose bad.safetensors {MODEL} {INPUTS}")
    assert status == 2
    assert "needed tensors at bad.safetensors, found SafetensorError" in err


def test_without_safetensors_one_line_names_it(isometry, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    status, out, err = isometry(f"diagnose good.safetensors {MODEL} {INPUTS}")
    assert (status, out) == (2, "")
    assert "found none; pip install safetensors, or save with torch.save" in err


def test_of_tied_weights_one_name_is_enough(isometry):
    torch.save({"table.weight": torch.eye(4)[:, :3] + 0.1}, "tied.pt")
    torch.save(torch.tensor([[1, 2], [3, 0]]), "ids.pt")
    command = "diagnose tied.pt --model networks_of_a_test:Tied --inputs ids.pt"
    status, out, _ = isometry(f"{command} --format json")
    assert status == 0
    (weight,) = json.loads(out)["weights"]
    assert weight["name"] == "table.weight = head.weight"


def test_cap_of_the_layers_jacobians_can_be_moved(isometry):
    left = json.loads(isometry(f"{GOOD} --format json --max-layer-entries 14")[1])
    reason = left["left_out"]["layer Jacobian of 1"]
    assert reason == "it has 5 x 3 entries for each input; raise max_layer_entries"
    assert isometry(f"{GOOD} --max-layer-entries 15") == isometry(GOOD)


def test_module_itself_and_dotted_names_are_accepted(isometry):
    found = isometry(f"diagnose good.pt --model networks_of_a_test:Kept.ready {INPUTS}")
    assert found == isometry(GOOD)


def test_search_path_is_as_it_was(isometry):
    before = list(sys.path)
    isometry(GOOD)
    isometry(f"diagnose good.pt --model broken_of_a_test:f {INPUTS}")
    assert sys.path == before


class Malicious:
    def __reduce__(self):
        return (open, ("opened", "w"))


def write_bad_files(folder):
    model = network()
    torch.save(Malicious(), "code.pt")
    torch.save(model, "module.pt")
    torch.save([1, 2], "list.pt")
    torch.save({"epoch": 3, "best": 0.5}, "no_state.pt")
    torch.save(dict(list(model.state_dict().items())[1:]), "part.pt")
    torch.save({**model.state_dict(), "extra": torch.ones(1)}, "extra.pt")
    torch.save({n: v * float("nan") for n, v in model.state_dict().items()}, "nan.pt")
    torch.save(nn.Linear(3, 2).state_dict(), "pair.pt")
    (folder / "text.pt").write_text("not a checkpoint")
    (folder / "text.npy").write_text("not an array")
    (folder / "text.npz").write_text("not arrays")
    (folder / "x.csv").write_text("1,2,3")
    torch.save(torch.ones(4, 5), "wrong.pt")
    torch.save(torch.ones(4, 3).long(), "whole.pt")
    torch.save(torch.empty(0, 3), "empty.pt")
    torch.save({"a": torch.ones(4, 3), "b": ["a", "list"]}, "dict.pt")
    torch.save({"a": torch.ones(4, 3), "b": torch.ones(4)}, "names.pt")
    torch.save({"x": torch.ones(3, 3), "mask": torch.ones(2, 5).long()}, "graph.pt")
    masked_model()
    np.save("text_array.npy", np.array(["a", "b"]))
    np.save("objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    np.savez("two.npz", a=np.ones(3), b=np.ones(3))


REFUSALS = [
    (f"diagnose {MODEL} {INPUTS}", "requires an argument"),
    (f"diagnose good.pt {INPUTS}", "--model requires an argument"),
    (f"diagnose good.pt {MODEL}", "--inputs requires an argument"),
    (f"{GOOD} --format=tabel", 'Did you mean "table"?'),
    (f"{GOOD} --max-inputs=many", "many"),
    (f"{GOOD} --max-inputs=0", "needed a whole max_inputs >= 1, found 0"),
    # the checkpoint
    (f"diagnose nowhere.pt {MODEL} {INPUTS}", "No such file or directory: nowhere.pt"),
    (f"diagnose text.pt {MODEL} {INPUTS}", "needed a checkpoint of tensors at text.pt"),
    (f"diagnose code.pt {MODEL} {INPUTS}", "needed a checkpoint of tensors at code.pt"),
    (
        f"diagnose module.pt {MODEL} {INPUTS}",
        "at module.pt, found an object of torch.nn.modules.container.Sequential; save "
        "model.state_dict() with torch.save",
    ),
    (f"diagnose list.pt {MODEL} {INPUTS}", "a state_dict at list.pt, found list; save"),
    (
        f"diagnose no_state.pt {MODEL} {INPUTS}",
        "a state_dict at no_state.pt, found keys 'epoch', 'best'; save",
    ),
    (
        f"diagnose part.pt {MODEL} {INPUTS}",
        "needed a state that fits Sequential, found missing '0.weight'; name the fact",
    ),
    (f"diagnose extra.pt {MODEL} {INPUTS}", "found unexpected 'extra'; name"),
    (f"diagnose nan.pt {MODEL} {INPUTS}", "finite weights, found NaN or infinity in"),
    (
        f"diagnose good.pt --model networks_of_a_test:wider {INPUTS}",
        "found '0.weight' of shape (5, 3) instead of (7, 3); '0.bias' of shape (5,)",
    ),
    # the factory
    (
        f"diagnose good.pt --model small {INPUTS}",
        "needed --model module:factory, found",
    ),
    (
        f"diagnose good.pt --model networks_of_a_test: {INPUTS}",
        "--model module:factory",
    ),
    (
        f"diagnose good.pt --model no_such_place:f {INPUTS}",
        "needed a module 'no_such_place' that can be imported, found ModuleNotFoundErr",
    ),
    (
        f"diagnose good.pt --model broken_of_a_test:f {INPUTS}",
        "found ModuleNotFoundError: No module named 'nothing_of_this_name'",
    ),
    (
        f"diagnose good.pt --model networks_of_a_test:smal {INPUTS}",
        "unknown name in 'networks_of_a_test' 'smal'; did you mean 'small'?",
    ),
    (
        f"diagnose good.pt --model networks_of_a_test:needs {INPUTS}",
        "to make a model without arguments, found TypeError: needs() missing 1",
    ),
    (
        f"diagnose good.pt --model networks_of_a_test:no_model {INPUTS}",
        "needed a torch module from 'networks_of_a_test:no_model', found int",
    ),
    (
        f"diagnose good.pt --model networks_of_a_test:NUMBER {INPUTS}",
        "needed a function or class 'networks_of_a_test:NUMBER', found int",
    ),
    (
        f"diagnose pair.pt --model networks_of_a_test:Pair {INPUTS}",
        "needed one floating-point tensor as the model's output, found tuple",
    ),
    # the inputs
    (f"diagnose good.pt {MODEL} --inputs no.pt", "No such file or directory: no.pt"),
    (f"diagnose good.pt {MODEL} --inputs no.npy", "No such file or directory: no.npy"),
    (
        f"diagnose good.pt {MODEL} --inputs x.csv",
        "inputs in one of .pt, .pth, .npy, .npz, .safetensors, found .csv; save a ten",
    ),
    (f"diagnose good.pt {MODEL} --inputs text.npy", "needed an array at text.npy"),
    (f"diagnose good.pt {MODEL} --inputs text.npz", "needed an array at text.npz"),
    (
        f"diagnose good.pt {MODEL} --inputs objects.npy",
        "needed an array at objects.npy",
    ),
    (f"diagnose good.pt {MODEL} --inputs dict.pt", "inputs at dict.pt, found list"),
    (
        f"diagnose good.pt {MODEL} --inputs text_array.npy",
        "needed a tensor of inputs at text_array.npy, found <U1",
    ),
    (
        f"diagnose good.pt {MODEL} --inputs names.pt",
        "and the model said: Sequential.forward() got an unexpected keyword argument",
    ),
    (
        f"diagnose masked.pt {MASKED} --inputs graph.pt --outputs logits",
        "needed 3 entries in all inputs, found 'mask' of shape (2, 5); give what all",
    ),
    (
        f"diagnose masked.pt {MASKED} --inputs x.pt --outputs logits",
        "the model said: Masked.forward() missing 1 required",
    ),
    (
        f"diagnose masked.pt {MASKED} --inputs names.pt --outputs logit",
        "the model said: Masked.forward() got an unexpected keyword argument 'a'",
    ),
    (
        f"diagnose pair.pt --model networks_of_a_test:Pair {INPUTS} --outputs 2",
        "needed what outputs= can take, found tuple, of which ValueError: unknown outp",
    ),
    (f"{GOOD} --max-layer-entries=0", "needed a whole max_layer_entries >= 1, found 0"),
    (f"diagnose good.pt {MODEL} --inputs code.pt", "needed a tensor of inputs at code"),
    (
        f"diagnose good.pt {MODEL} --inputs wrong.pt",
        "found float32 of shape (4, 5), and the model said: mat1",
    ),
    (f"diagnose good.pt {MODEL} --inputs whole.pt", "found int64 of shape (4, 3)"),
    (f"diagnose good.pt {MODEL} --inputs empty.pt", "a non-empty batch as inputs"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSALS)
def test_every_refusal_is_one_line_with_status_two(
    isometry, tmp_path, arguments, message
):
    write_bad_files(tmp_path)
    status, out, err = isometry(arguments)
    assert (status, out) == (2, "")
    assert err.startswith("isometry: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "opened").exists(), "nothing in a file is run"


def test_every_option_is_explained(isometry):
    status, out, _ = isometry("diagnose --help")
    assert status == 0
    options = ("model", "inputs", "format", "ntk", "jacobian", "max-inputs", "outputs")
    for option in (*options, "max-layer-entries"):
        assert f"--{option}" in out
    assert "diagnose" in isometry("--help")[1]
