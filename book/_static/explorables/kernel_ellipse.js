// Chapter 2: stretch, turn and repeat a 2 x 2 layer; see the kernel's ellipse and how
// fast its two directions are learned. The page holds all kernels.
"use strict";

(function () {
  function eigen(k) {
    const mean = (k[0] + k[2]) / 2;
    const half = Math.hypot((k[0] - k[2]) / 2, k[1]);
    const turn = 0.5 * Math.atan2(2 * k[1], k[0] - k[2]);
    return { fast: mean + half, slow: Math.max(mean - half, 0), turn: turn };
  }

  function ellipse(e, box) {
    const corners = [];
    for (let i = 0; i < 72; i += 1) {
      const at = (2 * Math.PI * i) / 72;
      const u = e.fast * Math.cos(at);
      const v = e.slow * Math.sin(at);
      const x = u * Math.cos(e.turn) - v * Math.sin(e.turn);
      const y = u * Math.sin(e.turn) + v * Math.cos(e.turn);
      corners.push(
        (box.center_x + box.radius * x).toFixed(1) +
          "," +
          (box.center_y - box.radius * y).toFixed(1)
      );
    }
    return corners.join(" ");
  }

  function curve(left, data) {
    const box = data.box;
    const step = (box.right - box.left) / data.steps;
    const height = box.bottom - box.top;
    const points = [];
    for (let t = 0; t <= data.steps; t += 1) {
      points.push(
        (box.left + step * t).toFixed(1) + "," + (box.top + height * left(t)).toFixed(1)
      );
    }
    return points.join(" ");
  }

  function start(root) {
    const data = JSON.parse(
      root.querySelector('script[type="application/json"]').textContent
    );
    const lists = { depth: data.depths, stretch: data.stretches, angle: data.angles };
    const sliders = {};
    Object.keys(lists).forEach(function (name) {
      sliders[name] = root.querySelector('[data-control="' + name + '"]');
    });

    function at(name) {
      return Number(sliders[name].value);
    }

    function draw() {
      Object.keys(lists).forEach(function (name) {
        const value = lists[name][at(name)];
        const slider = sliders[name];
        slider.setAttribute("aria-valuetext", value);
        root.querySelector('output[for="' + slider.id + '"]').textContent = value;
      });
      const e = eigen(data.kernels[at("depth")][at("stretch")][at("angle")]);
      function left(value) {
        return function (t) {
          return Math.pow(1 - data.rate * value, 2 * t);
        };
      }
      const fast = left(e.fast);
      const slow = left(e.slow);
      const lines = {
        fast: fast,
        slow: slow,
        mean: function (t) {
          return (fast(t) + slow(t)) / 2;
        },
      };
      root.querySelector("[data-ellipse]").setAttribute("points", ellipse(e, data.box));
      Object.keys(lines).forEach(function (name) {
        root
          .querySelector('[data-curve="' + name + '"]')
          .setAttribute("points", curve(lines[name], data));
      });
      const removed = 100 * (1 - slow(data.steps));
      root.querySelector("[data-condition]").textContent =
        Number((e.fast / Math.max(e.slow, 1e-4)).toPrecision(3)) +
        "; after " +
        data.steps +
        " steps " +
        removed.toFixed(0) +
        " % of the loss along the slowest direction is removed";
    }

    Object.keys(sliders).forEach(function (name) {
      sliders[name].addEventListener("input", draw);
    });
    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="kernel-ellipse"]').forEach(start);
})();
