// Chapter 4: layers of orthogonal 2 x 2 weights fold the plane. Drag the point, or move it
// by its sliders; its Jacobian's ellipse stands beside. The page holds the weights.
"use strict";

const foldThePlane = (function () {
  // What an activation makes of two units, and its derivative, (2, 2).
  const ACTIVATIONS = {
    maxmin: function (a, b) {
      return a > b ? [b, a, [0, 1, 1, 0]] : [a, b, [1, 0, 0, 1]];
    },
    relu: function (a, b) {
      return [Math.max(a, 0), Math.max(b, 0), [a > 0 ? 1 : 0, 0, 0, b > 0 ? 1 : 0]];
    },
    none: function (a, b) {
      return [a, b, [1, 0, 0, 1]];
    },
  };

  function times(p, q) {
    return [
      p[0] * q[0] + p[1] * q[2],
      p[0] * q[1] + p[1] * q[3],
      p[2] * q[0] + p[3] * q[2],
      p[2] * q[1] + p[3] * q[3],
    ];
  }

  // Output, Jacobian by rows, and which piece of the plane the point lies in.
  function through(layers, activation, depth, x, y) {
    let jacobian = [1, 0, 0, 1];
    let piece = "";
    for (let l = 0; l < depth; l += 1) {
      const { weight: w, bias } = layers[l];
      const a = w[0] * x + w[1] * y + bias[0];
      const b = w[2] * x + w[3] * y + bias[1];
      const [u, v, slope] = ACTIVATIONS[activation](a, b);
      jacobian = times(slope, times(w, jacobian));
      piece += slope.join("");
      [x, y] = [u, v];
    }
    return { point: [x, y], jacobian: jacobian, piece: piece };
  }

  // The two singular values of a matrix (2, 2), the larger one first.
  function singularValues([a, b, c, d]) {
    const sum = Math.hypot(a + d, c - b) / 2;
    const difference = Math.hypot(a - d, c + b) / 2;
    return [sum + difference, Math.abs(sum - difference)];
  }

  function start(root) {
    const data = JSON.parse(
      root.querySelector('script[type="application/json"]').textContent
    );
    const box = data.box;
    const unit = box.size / (2 * box.half);

    function all(name) {
      return [...root.querySelectorAll('[data-control="' + name + '"]')];
    }

    function value(name) {
      return all(name).find((one) => one.type !== "radio" || one.checked).value;
    }

    function part(name) {
      return root.querySelector("[data-" + name + "]");
    }

    function at([x, y], scale) {
      const across = box.size / 2 + scale * x;
      const down = box.size / 2 - scale * y;
      return across.toFixed(1) + "," + down.toFixed(1);
    }

    let activation, depth;
    function now(x, y) {
      return through(data.layers, activation, depth, x, y);
    }

    function middle(p, q) {
      return [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
    }

    // Between two inputs in different pieces of the plane: where the first piece ends.
    function border(from, to) {
      const own = now(...from).piece;
      for (let i = 0; i < 12; i += 1) {
        const half = middle(from, to);
        if (now(...half).piece === own) from = half;
        else to = half;
      }
      return from;
    }

    // Each piece is mapped linearly, so a line needs its ends and its folds alone.
    function grid(upright) {
      const lines = [];
      for (let i = 0; i <= box.lines; i += 1) {
        const fixed = -box.reach + (2 * box.reach * i) / box.lines;
        const points = [];
        let last = null;
        for (let k = 0; k <= box.samples; k += 1) {
          const moving = -box.reach + (2 * box.reach * k) / box.samples;
          const input = upright ? [fixed, moving] : [moving, fixed];
          if (last && now(...last).piece !== now(...input).piece) {
            points.push(border(last, input), border(input, last));
          }
          if (k === 0 || k === box.samples) points.push(input);
          last = input;
        }
        lines.push("M" + points.map((input) => at(now(...input).point, unit)).join(" "));
      }
      return lines.join("");
    }

    // Where the order of two units, or the sign of one, changes: cell by cell of a raster.
    function folds() {
      const n = box.raster;
      const place = (k) => -box.reach + (2 * box.reach * k) / n;
      const pieces = [];
      for (let i = 0; i <= n; i += 1) {
        pieces.push([]);
        for (let j = 0; j <= n; j += 1) pieces[i].push(now(place(i), place(j)).piece);
      }
      let path = "";
      for (let i = 0; i < n; i += 1) {
        for (let j = 0; j < n; j += 1) {
          const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
          const ends = [];
          corners.forEach(function ([a, b], k) {
            const [c, d] = corners[(k + 1) % 4];
            if (pieces[a][b] === pieces[c][d]) return;
            ends.push(border([place(a), place(b)], [place(c), place(d)]));
          });
          const centre = middle([place(i), place(j)], [place(i + 1), place(j + 1)]);
          if (ends.length === 2) path += "M" + ends.map((end) => at(end, unit)).join(" ");
          else ends.forEach((end) => (path += "M" + at(end, unit) + " " + at(centre, unit)));
        }
      }
      return path;
    }

    function ellipse(j) {
      const corners = [];
      for (let i = 0; i < box.corners; i += 1) {
        const turn = (2 * Math.PI * i) / box.corners;
        const [u, v] = [Math.cos(turn), Math.sin(turn)];
        corners.push(at([j[0] * u + j[1] * v, j[2] * u + j[3] * v], box.radius));
      }
      return corners.join(" ");
    }

    function mark(name, point) {
      const [x, y] = at(point, unit).split(",");
      part(name).setAttribute("cx", x);
      part(name).setAttribute("cy", y);
    }

    function drawPoint() {
      const [x, y] = [Number(value("x")), Number(value("y"))];
      const found = now(x, y);
      const [large, small] = singularValues(found.jacobian);
      mark("input", [x, y]);
      mark("output", found.point);
      part("ellipse").setAttribute("points", ellipse(found.jacobian));
      ["depth", "x", "y"].forEach(function (name) {
        const slider = all(name)[0];
        const text = name === "depth" ? slider.value : Number(slider.value).toFixed(2);
        slider.setAttribute("aria-valuetext", text);
        root.querySelector('output[for="' + slider.id + '"]').textContent = text;
      });
      part("values").textContent = large.toFixed(3) + " and " + small.toFixed(3);
      part("meaning").textContent = data.meanings[(large > 1e-9) + (small > 1e-9)];
    }

    function drawPlane() {
      activation = value("activation");
      depth = Number(value("depth"));
      part("upright").setAttribute("d", grid(true));
      part("level").setAttribute("d", grid(false));
      part("folds").setAttribute("d", folds());
    }

    root.addEventListener("input", function (event) {
      const key = event.target.getAttribute("data-control");
      if (key === "activation" || key === "depth") drawPlane();
      drawPoint();
    });

    const input = part("input");
    const plane = input.ownerSVGElement;
    function drag(event) {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(
        plane.getScreenCTM().inverse()
      );
      all("x")[0].value = (place.x - box.size / 2) / unit;
      all("y")[0].value = (box.size / 2 - place.y) / unit;
      all("x")[0].dispatchEvent(new Event("input", { bubbles: true }));
    }
    input.addEventListener("pointerdown", function (event) {
      input.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    input.addEventListener("pointermove", function (event) {
      if (input.hasPointerCapture(event.pointerId)) drag(event);
    });
    plane.addEventListener("click", drag);

    plane.querySelector("text").textContent += ": drag the point";
    root.querySelector(".explorable-controls").hidden = false;
    drawPlane();
    drawPoint();
  }

  return { through: through, singularValues: singularValues, start: start };
})();

if (typeof module !== "undefined") module.exports = foldThePlane;
if (typeof document !== "undefined") {
  document
    .querySelectorAll('[data-explorable="fold-the-plane"]')
    .forEach(foldThePlane.start);
}
