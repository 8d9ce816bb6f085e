// Chapter 2: stretch, turn and repeat a 2 x 2 layer; see the kernel's ellipse and how
// fast its two directions are learned. The page holds all kernels.
"use strict";

(function () {
  function eigen([a, b, d]) {
    const mean = (a + d) / 2;
    const half = Math.hypot((a - d) / 2, b);
    const turn = 0.5 * Math.atan2(2 * b, a - d);
    return { fast: mean + half, slow: Math.max(mean - half, 0), turn: turn };
  }

  function ellipse(e, box) {
    const corners = [];
    for (let i = 0; i < 72; i += 1) {
      const at = (2 * Math.PI * i) / 72;
      const u = e.fast * Math.cos(at);
      const v = e.slow * Math.sin(at);
      const x = box.size / 2 + box.radius * (u * Math.cos(e.turn) - v * Math.sin(e.turn));
      const y = box.size / 2 - box.radius * (u * Math.sin(e.turn) + v * Math.cos(e.turn));
      corners.push(x.toFixed(1) + "," + y.toFixed(1));
    }
    return corners.join(" ");
  }

  function curve(left, steps, box) {
    const points = [];
    for (let t = 0; t <= steps; t += 1) {
      const x = box.left + ((box.right - box.left) * t) / steps;
      const y = box.top + (box.bottom - box.top) * left(t);
      points.push(x.toFixed(1) + "," + y.toFixed(1));
    }
    return points.join(" ");
  }

  function start(root) {
    const data = explorables.data(root);

    function draw() {
      const byStretch = data.kernels[data.depths.indexOf(explorables.value(root, "depth"))];
      const byAngle = byStretch[data.stretches.indexOf(explorables.value(root, "stretch"))];
      const e = eigen(byAngle[data.angles.indexOf(explorables.value(root, "angle"))]);
      const fast = (t) => Math.pow(1 - data.rate * e.fast, 2 * t);
      const slow = (t) => Math.pow(1 - data.rate * e.slow, 2 * t);
      const lines = { fast: fast, slow: slow, mean: (t) => (fast(t) + slow(t)) / 2 };
      root.querySelector("[data-ellipse]").setAttribute("points", ellipse(e, data.box));
      Object.entries(lines).forEach(function ([name, left]) {
        const line = root.querySelector('[data-curve="' + name + '"]');
        line.setAttribute("points", curve(left, data.steps, data.box));
        const removed = 100 * (1 - left(data.steps));
        root.querySelector('[data-removed="' + name + '"]').textContent =
          removed.toFixed(0) + " %";
      });
      root.querySelector("[data-condition]").textContent = Number(
        (e.fast / Math.max(e.slow, 1e-4)).toPrecision(3)
      );
    }

    root.addEventListener("input", draw);
    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="kernel-ellipse"]').forEach(start);
})();
