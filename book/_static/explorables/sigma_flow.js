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

  function start(root) {
    const data = explorables.data(root);
    const box = data.box;
    const wide = box.right - box.left;

    function place(strength) {
      return box.left + (wide * (Math.log10(strength) - box.low)) / (box.high - box.low);
    }

    function point(x, value) {
      const y = box.bottom - ((box.bottom - box.top) * value) / box.largest;
      return x.toFixed(1) + "," + y.toFixed(1);
    }

    function over(value, rate, steps) {
      const points = [];
      for (let i = 0; i <= data.points; i += 1) {
        const moved = flow(value, rate, (steps * i) / data.points);
        points.push(point(box.left + (wide * i) / data.points, moved));
      }
      return points.join(" ");
    }

    function ends(value, steps) {
      return data.strengths
        .map((each) => point(place(each), flow(value, data.lr * each, steps)))
        .join(" ");
    }

    function draw() {
      const strength = explorables.value(root, "strength");
      const steps = explorables.value(root, "run");
      const rate = data.lr * strength;
      const time = 1 / (8 * rate);
      data.starts.forEach(function (value) {
        const own = (key) => root.querySelector("[data-" + key + '="' + value + '"]');
        own("start").setAttribute("points", over(value, rate, steps));
        own("ends").setAttribute("points", ends(value, steps));
      });
      root.querySelector("[data-end]").textContent = whole(steps) + " steps";
      const mark = root.querySelector("[data-relaxation]");
      const x = (box.left + wide * Math.min(time / steps, 1)).toFixed(1);
      mark.firstElementChild.setAttribute("transform", "translate(" + x + " " + box.bottom + ")");
      mark.setAttribute("visibility", time > steps ? "hidden" : "visible");
      root
        .querySelector("[data-here]")
        .setAttribute("transform", "translate(" + place(strength).toFixed(1) + " 0)");
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

    root.addEventListener("input", draw);
    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="sigma-flow"]').forEach(start);
})();
