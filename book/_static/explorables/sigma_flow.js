// Chapter 5: the pull alone moves singular values along a closed form; sliders set its
// strength and the length of the run. The page holds the first state.
"use strict";

(function () {
  // sigma(t)^2 = s^2 / (s^2 + (1 - s^2) exp(-8 rate t))
  function flow(start, rate, time) {
    const square = start * start;
    return start / Math.sqrt(square + (1 - square) * Math.exp(-8 * rate * time));
  }

  function digits(value) {
    return String(Number(value.toPrecision(3)));
  }

  function whole(value) {
    return Math.round(value).toLocaleString("en-US");
  }

  function curve(start, rate, steps, data) {
    const box = data.box;
    const across = (box.right - box.left) / data.points;
    const up = (box.bottom - box.top) / box.largest;
    const points = [];
    for (let i = 0; i <= data.points; i += 1) {
      const value = flow(start, rate, (steps * i) / data.points);
      points.push(
        (box.left + across * i).toFixed(1) + "," + (box.bottom - up * value).toFixed(1)
      );
    }
    return points.join(" ");
  }

  function start(root) {
    const data = JSON.parse(
      root.querySelector('script[type="application/json"]').textContent
    );
    const box = data.box;
    const sliders = {};
    ["strength", "run"].forEach(function (name) {
      sliders[name] = root.querySelector('[data-control="' + name + '"]');
    });

    function show(name, text) {
      const slider = sliders[name];
      slider.setAttribute("aria-valuetext", text);
      root.querySelector('output[for="' + slider.id + '"]').textContent = text;
    }

    function draw() {
      const index = Number(sliders.strength.value);
      const strength = data.strengths[index];
      const steps = data.runs[Number(sliders.run.value)];
      const rate = data.lr * strength;
      const time = 1 / (8 * rate);
      show("strength", String(strength));
      show("run", whole(steps));
      data.starts.forEach(function (value) {
        root
          .querySelector('[data-start="' + value + '"]')
          .setAttribute("points", curve(value, rate, steps, data));
      });
      root.querySelector("[data-end]").textContent = whole(steps) + " steps";
      const line = root.querySelector("[data-relaxation]");
      const x = box.left + (box.right - box.left) * Math.min(time / steps, 1);
      line.setAttribute("transform", "translate(" + x.toFixed(1) + " 0)");
      line.setAttribute("visibility", time > steps ? "hidden" : "visible");
      const part = index / (data.strengths.length - 1);
      const here = box.left + (box.right - box.left) * part;
      root
        .querySelector("[data-here]")
        .setAttribute("transform", "translate(" + here.toFixed(1) + " " + box.scale + ")");
      const low = data.starts[0];
      const high = data.starts[data.starts.length - 1];
      root.querySelector("[data-summary]").textContent =
        "Relaxation time " +
        whole(time) +
        " steps; the run lasts " +
        digits(steps / time) +
        " of them. A singular value of " +
        low +
        " ends at " +
        digits(flow(low, rate, steps)) +
        ", one of " +
        high +
        " at " +
        digits(flow(high, rate, steps)) +
        ".";
    }

    Object.keys(sliders).forEach(function (name) {
      sliders[name].addEventListener("input", draw);
    });
    root.querySelector("[data-literal]").addEventListener("click", function () {
      sliders.strength.value = data.literal;
      draw();
    });
    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="sigma-flow"]').forEach(start);
})();
