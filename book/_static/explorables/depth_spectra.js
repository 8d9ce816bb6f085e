// Chapter 3: a slider moves through the depths of deep linear networks. The page holds
// all spectra; this script redraws the four curves and their condition numbers.
"use strict";

(function () {
  function points(logs, box) {
    const step = (box.right - box.left) / Math.max(1, logs.length - 1);
    const scale = (box.bottom - box.top) / box.decades;
    return logs
      .map((log, i) => (box.left + i * step).toFixed(1) + "," + (box.top - log * scale).toFixed(1))
      .join(" ");
  }

  function start(root) {
    const data = explorables.data(root);
    const box = data.box;

    function draw() {
      const depth = explorables.value(root, "depth");
      Object.entries(data.logs).forEach(function ([name, byDepth]) {
        const logs = byDepth[depth];
        const lowest = Math.min(...logs);
        root
          .querySelector('[data-draw="' + name + '"]')
          .setAttribute("points", points(logs, box));
        root.querySelector('[data-condition="' + name + '"]').textContent =
          lowest <= -box.decades ? "above 10¹²" : explorables.digits(Math.pow(10, -lowest));
      });
    }

    root.addEventListener("input", draw);
    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="depth-spectra"]').forEach(start);
})();
