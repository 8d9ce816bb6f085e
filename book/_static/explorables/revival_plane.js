// Chapter 5: a silent ReLU unit in the plane. Examples, sliders, or the tip of its row, by
// mouse or finger, set it; Play lets the pull act. The page holds the first state.
"use strict";

(function () {
  const FRAMES_A_SECOND = 20;

  // W(t) = (e I + (1 - e) W W^T)^(-1/2) W, e = exp(-t), t in relaxation times.
  function pulled(rows, time) {
    const [[a, b], [c, d]] = rows;
    const left = Math.exp(-time);
    const m11 = left + (1 - left) * (a * a + b * b);
    const m12 = (1 - left) * (a * c + b * d);
    const m22 = left + (1 - left) * (c * c + d * d);
    const root = Math.sqrt(Math.max(m11 * m22 - m12 * m12, 1e-300));
    const trace = Math.sqrt(m11 + m22 + 2 * root);
    const s11 = (m11 + root) / trace;
    const s12 = m12 / trace;
    const s22 = (m22 + root) / trace;
    const scale = 1 / (s11 * s22 - s12 * s12);
    const i11 = scale * s22;
    const i12 = -scale * s12;
    const i22 = scale * s11;
    return [
      [i11 * a + i12 * c, i11 * b + i12 * d],
      [i12 * a + i22 * c, i12 * b + i22 * d],
    ];
  }

  function halfPlane(row, bias, half) {
    const square = [
      [-half, -half],
      [half, -half],
      [half, half],
      [-half, half],
    ];
    const corners = [];
    square.forEach(function ([x, y], i) {
      const [u, v] = square[(i + 1) % 4];
      const here = row[0] * x + row[1] * y + bias;
      const there = row[0] * u + row[1] * v + bias;
      if (here >= 0) corners.push([x, y]);
      if (here >= 0 !== there >= 0) {
        const part = here / (here - there);
        corners.push([x + part * (u - x), y + part * (v - y)]);
      }
    });
    return corners;
  }

  function start(root) {
    const data = explorables.data(root);
    const plane = data.plane;
    const value = (name) => explorables.value(root, name);

    function row(angle, length) {
      const turn = (angle * Math.PI) / 180;
      return [length * Math.cos(turn), length * Math.sin(turn)];
    }

    function margin(unit, bias) {
      return Math.max(...data.points.map(([x, y]) => unit[0] * x + unit[1] * y)) + bias;
    }

    function at(point) {
      return [plane.center + plane.unit * point[0], plane.center - plane.unit * point[1]];
    }

    function drawn(corners) {
      return corners
        .map(function (corner) {
          const [x, y] = at(corner);
          return x.toFixed(1) + "," + y.toFixed(1);
        })
        .join(" ");
    }

    function arrow(line, point) {
      const [x, y] = at(point);
      line.setAttribute("x2", x.toFixed(1));
      line.setAttribute("y2", y.toFixed(1));
    }

    function verdict(rows, bias) {
      const now = margin(rows[0], bias);
      const end = margin(pulled(rows, data.end)[0], bias);
      if (now > 0) {
        const later = end > 0 ? "stays alive" : "is silenced by the pull";
        return (
          "The unit fires at the start (largest w·x + b: " +
          now.toFixed(2) +
          "). It " +
          later +
          " (in the end " +
          end.toFixed(2) +
          ")."
        );
      }
      const text =
        "The unit is silent at the start (largest w·x + b: " + now.toFixed(2) + "). ";
      const back = data.times.find((time) => margin(pulled(rows, time)[0], bias) > 0);
      if (back !== undefined) {
        return (
          text +
          "It revives after " +
          back.toFixed(1) +
          " relaxation times (end " +
          end.toFixed(2) +
          ")."
        );
      }
      const longest = Math.max(...data.points.map(([x, y]) => Math.hypot(x, y)));
      const reason =
        bias <= -longest
          ? "no row of length one can: the bias is below −" +
            longest.toFixed(2) +
            ", the longest input"
          : "its row comes to rest pointing away";
      return text + "It does not revive (end " + end.toFixed(2) + "): " + reason + ".";
    }

    function draw() {
      const rows = [
        row(value("angle"), value("length")),
        row(value("other_angle"), value("other_length")),
      ];
      const bias = value("bias");
      const now = pulled(rows, value("time"));
      const end = pulled(rows, data.end)[0];
      root
        .querySelector("[data-now]")
        .setAttribute("points", drawn(halfPlane(now[0], bias, plane.half)));
      root
        .querySelector("[data-end]")
        .setAttribute("points", drawn(halfPlane(end, bias, plane.half)));
      arrow(root.querySelector("[data-row]"), now[0]);
      arrow(root.querySelector("[data-other]"), now[1]);
      const tip = root.querySelector("[data-tip]");
      const [x, y] = at(now[0]);
      tip.setAttribute("cx", x.toFixed(1));
      tip.setAttribute("cy", y.toFixed(1));
      root.querySelectorAll("[data-point]").forEach(function (dot, i) {
        const [u, v] = data.points[i];
        const reached = now[0][0] * u + now[0][1] * v + bias > 0;
        dot.classList.toggle("reached", reached);
      });
      root.querySelector("[data-verdict]").textContent = verdict(rows, bias);
    }

    const tip = root.querySelector("[data-tip]");
    tip.addEventListener("pointerdown", function (event) {
      explorables.set(root, "time", 0);
      tip.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    tip.addEventListener("pointermove", function (event) {
      if (!tip.hasPointerCapture(event.pointerId)) return;
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(
        tip.ownerSVGElement.getScreenCTM().inverse()
      );
      const x = (place.x - plane.center) / plane.unit;
      const y = (plane.center - place.y) / plane.unit;
      explorables.set(root, "angle", (Math.atan2(y, x) * 180) / Math.PI);
      explorables.set(root, "length", Math.hypot(x, y));
    });

    root.addEventListener("input", draw);
    explorables.player(
      root,
      root.querySelector('[data-control="run"]'),
      root.querySelector('[data-control="time"]'),
      FRAMES_A_SECOND
    );
    root.querySelectorAll(".explorable-controls").forEach(function (part) {
      part.hidden = false;
    });
    root.querySelector("details.explorable-controls").open = window.matchMedia(
      "(min-width: 60rem)"
    ).matches;
    draw();
  }

  document.querySelectorAll('[data-explorable="revival-plane"]').forEach(start);
})();
