// Chapter 3: a slider moves through the depths of deep linear networks. The page holds
// all spectra; this script redraws the four curves and their condition numbers.
"use strict";

(function () {
  function points(logs, box) {
    const step = (box.right - box.left) / Math.max(1, logs.length - 1);
    const scale = (box.bottom - box.top) / box.decades;
    return logs
      .map(function (log, i) {
        const x = box.left + i * step;
        const y = box.top - log * scale;
        return x.toFixed(1) + "," + y.toFixed(1);
      })
      .join(" ");
  }

  function condition(logs, box) {
    const lowest = Math.min.apply(null, logs);
    if (lowest <= -box.decades) return "above 10^" + box.decades;
    if (lowest > -4) return String(Number(Math.pow(10, -lowest).toPrecision(3)));
    return "10^" + (-lowest).toFixed(1);
  }

  function start(root) {
    const data = JSON.parse(
      root.querySelector('script[type="application/json"]').textContent
    );
    const slider = root.querySelector('input[type="range"]');
    const shown = root.querySelector("output");

    function draw() {
      const depth = data.depths[Number(slider.value)];
      shown.textContent = depth;
      slider.setAttribute("aria-valuetext", depth + " layers");
      Object.keys(data.logs).forEach(function (label) {
        const logs = data.logs[label][depth];
        root
          .querySelector('[data-draw="' + label + '"] polyline')
          .setAttribute("points", points(logs, data.geometry));
        root.querySelector('[data-condition="' + label + '"]').textContent =
          condition(logs, data.geometry);
      });
    }

    slider.addEventListener("input", draw);
    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="depth-spectra"]').forEach(start);
})();
