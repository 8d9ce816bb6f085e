"""The folded plane of the page, held to autograd on the library's layers."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from isometry_book.c4_maxmin import fold_the_plane as fold

playwright = pytest.importorskip("playwright", reason="needs the node inside it")

NODE = Path(playwright.__file__).parent / "driver" / "node"
ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "book" / "_static" / "explorables" / "fold_the_plane.js"
MAP = """
const { through, singularValues } = require(process.argv[1]);
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(given.points.map(([x, y]) => {
  const found = through(given.layers, given.activation, given.depth, x, y);
  return { ...found, values: singularValues(found.jacobian) };
})));
"""


def page_data():
    _, _, rest = fold.fold_the_plane().partition('<script type="application/json">')
    return json.loads(rest.partition("</script>")[0])


def mapped(activation, depth, points):
    given = {"layers": page_data()["layers"], "activation": activation}
    given |= {"depth": depth, "points": points.tolist()}
    done = subprocess.run(
        [str(NODE), "-e", MAP, str(SCRIPT)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("activation", fold.ACTIVATIONS)
@pytest.mark.parametrize("depth", [0, 1, 4, fold.DEEPEST])
def test_the_page_maps_points_and_takes_jacobians_as_autograd_does(activation, depth):
    draws = torch.Generator().manual_seed(0)
    points = 4 * torch.rand(25, 2, generator=draws, dtype=torch.float64) - 2
    network = fold.folding_network(activation, depth)
    for found, point in zip(mapped(activation, depth, points), points, strict=True):
        jacobian = fold.jacobian_at(network, tuple(point.tolist()))
        expected = {
            "point": network(point),
            "jacobian": jacobian.flatten(),
            "values": torch.linalg.svdvals(jacobian),
        }
        for name, value in expected.items():
            own = torch.tensor(found[name], dtype=torch.float64)
            torch.testing.assert_close(own, value, rtol=0, atol=1e-12)


def test_maxmin_keeps_the_circle_at_any_depth_and_relu_does_not():
    draws = torch.Generator().manual_seed(1)
    points = 4 * torch.rand(50, 2, generator=draws, dtype=torch.float64) - 2
    kept = mapped("maxmin", fold.DEEPEST, points)
    assert all(v == pytest.approx(1, abs=1e-12) for one in kept for v in one["values"])
    lost = mapped("relu", fold.DEEPEST, points)
    assert all(min(one["values"]) < 1e-12 for one in lost)


def test_a_tie_is_a_permutation_as_in_the_library():
    layers = [{"weight": [1, 0, 0, 1], "bias": [0, 0]}]
    given = {"layers": layers, "activation": "maxmin", "depth": 1, "points": [[1, 1]]}
    done = subprocess.run(
        [str(NODE), "-e", MAP, str(SCRIPT)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)[0]["jacobian"] == [1, 0, 0, 1]
