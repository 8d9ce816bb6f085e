// Chapter 6: the results of the streams. The page holds all numbers; this script sorts
// the methods of one stream by one number and draws dots with their intervals.
"use strict";

(function () {
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes, text) {
    const made = name.startsWith("svg:")
      ? document.createElementNS(SVG, name.slice(4))
      : document.createElement(name);
    Object.entries(attributes || {}).forEach(([k, v]) => made.setAttribute(k, v));
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // All rows of all streams, as a table for other programs.
  function table(streams) {
    const field = (x) => (/[",\n]/.test(x) ? '"' + x.replaceAll('"', '""') + '"' : x);
    const head = ["stream", "method", "family", "number", "mean", "low", "high"];
    const lines = Object.entries(streams).flatMap(([name, rows]) =>
      rows.flatMap((row) =>
        Object.entries(row.numbers).map(([what, values]) =>
          [name, row.method, row.family, what, ...values, row.seeds, row.command]
        )
      )
    );
    return [[...head, "seeds", "command"], ...lines]
      .map((line) => line.map(field).join(",") + "\n")
      .join("");
  }

  function start(root) {
    const data = JSON.parse(
      root.querySelector('script[type="application/json"]').textContent
    );
    const body = root.querySelector("tbody");
    const axis = root.querySelector("[data-axis]");
    const command = root.querySelector("[data-command]");
    const control = (name) => root.querySelector('[data-control="' + name + '"]');
    const link = root.querySelector("[data-csv]");
    link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(table(data.streams));

    function digits(value) {
      return value.toFixed(data.digits).replace("-", "\u2212");
    }

    function strip([mean, low, high], [least, most]) {
      const place = (x) => (100 * (x - least)) / (most - least || 1);
      const svg = element("svg:svg", {
        viewBox: "0 0 100 10",
        preserveAspectRatio: "none",
        "aria-hidden": "true",
      });
      if (least < 0 && most > 0) {
        const zero = place(0);
        svg.append(element("svg:line", { x1: zero, x2: zero, y1: 0, y2: 10 }));
      }
      const width = Math.max(0.6, place(high) - place(low));
      svg.append(element("svg:rect", { x: place(low), y: 4, width: width, height: 2 }));
      svg.append(element("svg:rect", { x: place(mean) - 0.7, y: 1, width: 1.4, height: 8 }));
      return svg;
    }

    function draw() {
      const what = control("number").value;
      const family = control("family").value;
      const all = data.streams[control("stream").value].filter((row) => row.numbers[what]);
      const rows = all.filter((row) => family === "all methods" || row.family === family);
      const ends = all.flatMap((row) => row.numbers[what]);
      const range = [Math.min(...ends), Math.max(...ends)];
      axis.textContent = digits(range[0]) + " to " + digits(range[1]);
      rows.sort((a, b) => b.numbers[what][0] - a.numbers[what][0]);
      body.replaceChildren(
        ...rows.map(function (row) {
          const line = element("tr", row.family === "pulls to isometry" ? { class: "own" } : {});
          const head = element("th", { scope: "row" });
          const name = element("button", { type: "button" }, row.method);
          name.addEventListener("click", function () {
            command.replaceChildren(element("code", {}, row.command));
          });
          head.append(name);
          const drawn = element("td");
          drawn.append(strip(row.numbers[what], range));
          const [mean, low, high] = row.numbers[what].map(digits);
          const said = mean + " [" + low + ", " + high + "]";
          line.append(head, drawn, element("td", {}, said));
          return line;
        })
      );
    }

    ["stream", "number", "family"].forEach((name) =>
      control(name).addEventListener("input", draw)
    );
    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="results"]').forEach(start);
})();
