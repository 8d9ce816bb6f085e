// Chapter 5: one slider over fifty tasks of stored runs moves four drawings and a table.
// The page holds where each curve is and what it says at each task.
"use strict";

(function () {
  const TASKS_A_SECOND = 6;

  function start(root) {
    const data = explorables.data(root);

    function draw() {
      const task = explorables.value(root, "task") - 1;
      root.querySelectorAll("[data-cursor]").forEach(function (line) {
        line.setAttribute("x1", data.across[task]);
        line.setAttribute("x2", data.across[task]);
      });
      root.querySelector("[data-task]").textContent = task + 1;
      Object.entries(data.methods).forEach(function ([method, metrics]) {
        Object.entries(metrics).forEach(function ([metric, { heights, texts }]) {
          const key = '="' + metric + " " + method + '"]';
          const dot = root.querySelector("[data-dot" + key);
          dot.setAttribute("cx", data.across[task]);
          dot.setAttribute("cy", heights[task]);
          root.querySelector("[data-number" + key).textContent = texts[task];
        });
      });
    }

    root.addEventListener("input", draw);
    explorables.player(
      root,
      root.querySelector('[data-control="run"]'),
      root.querySelector('[data-control="task"]'),
      TASKS_A_SECOND
    );
    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="fifty-tasks"]').forEach(start);
})();
