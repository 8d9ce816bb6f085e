// Chapter 5: a silent ReLU unit in the plane. Sliders (or the arrow's tip, by mouse or
// finger) set it; Play lets the pull act. The page holds the first state.
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
    const data = JSON.parse(
      root.querySelector('script[type="application/json"]').textContent
    );
    const plane = data.plane;
    const still = window.matchMedia("(prefers-reduced-motion: reduce)");
    const play = root.querySelector("[data-play]");
    const live = root.querySelector("[aria-live]");
    const svg = root.querySelector("svg");
    const sliders = {};
    let timer = null;
    Object.keys(data.lists).forEach(function (name) {
      sliders[name] = root.querySelector('[data-control="' + name + '"]');
    });

    function value(name) {
      return data.lists[name][Number(sliders[name].value)];
    }

    function set(name, wanted) {
      const list = data.lists[name];
      let best = 0;
      list.forEach(function (each, i) {
        if (Math.abs(each - wanted) < Math.abs(list[best] - wanted)) best = i;
      });
      sliders[name].value = best;
    }

    function row(angle, length) {
      const turn = (angle * Math.PI) / 180;
      return [length * Math.cos(turn), length * Math.sin(turn)];
    }

    function margin(unit, bias) {
      return (
        Math.max.apply(
          null,
          data.points.map(function ([x, y]) {
            return unit[0] * x + unit[1] * y;
          })
        ) + bias
      );
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
      const back = data.lists.time.find(function (time) {
        return margin(pulled(rows, time)[0], bias) > 0;
      });
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
      const longest = Math.max.apply(
        null,
        data.points.map(function ([x, y]) {
          return Math.hypot(x, y);
        })
      );
      const reason =
        bias <= -longest
          ? "no row of length one can: the bias is below −" +
            longest.toFixed(2) +
            ", the longest input"
          : "its row comes to rest pointing away";
      return text + "It does not revive (end " + end.toFixed(2) + "): " + reason + ".";
    }

    function draw() {
      Object.keys(sliders).forEach(function (name) {
        const text = String(value(name));
        sliders[name].setAttribute("aria-valuetext", text);
        root.querySelector('output[for="' + sliders[name].id + '"]').textContent = text;
      });
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
        dot.setAttribute("fill", reached ? dot.getAttribute("stroke") : "none");
      });
      root.querySelector("[data-verdict]").textContent = verdict(rows, bias);
    }

    function stop() {
      if (timer !== null) clearInterval(timer);
      timer = null;
      play.textContent = "Play";
      live.setAttribute("aria-live", "polite");
    }

    function tick() {
      const last = data.lists.time.length - 1;
      const next = still.matches ? last : Number(sliders.time.value) + 1;
      sliders.time.value = Math.min(next, last);
      if (next >= last) stop();
      draw();
    }

    play.addEventListener("click", function () {
      if (timer !== null) {
        stop();
        return;
      }
      if (Number(sliders.time.value) === data.lists.time.length - 1) sliders.time.value = 0;
      play.textContent = "Pause";
      live.setAttribute("aria-live", "off");
      timer = setInterval(tick, 1000 / FRAMES_A_SECOND);
    });

    Object.keys(sliders).forEach(function (name) {
      sliders[name].addEventListener("input", function () {
        stop();
        if (name !== "time") sliders.time.value = 0;
        draw();
      });
    });

    root.querySelectorAll("[data-preset]").forEach(function (button) {
      button.addEventListener("click", function () {
        stop();
        const preset = data.presets[button.getAttribute("data-preset")];
        Object.keys(preset).forEach(function (name) {
          set(name, preset[name]);
        });
        sliders.time.value = 0;
        draw();
      });
    });

    const tip = root.querySelector("[data-tip]");
    tip.addEventListener("pointerdown", function (event) {
      stop();
      tip.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    tip.addEventListener("pointermove", function (event) {
      if (!tip.hasPointerCapture(event.pointerId)) return;
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(
        svg.getScreenCTM().inverse()
      );
      const x = (place.x - plane.center) / plane.unit;
      const y = (plane.center - place.y) / plane.unit;
      set("angle", (Math.atan2(y, x) * 180) / Math.PI);
      set("length", Math.hypot(x, y));
      sliders.time.value = 0;
      draw();
    });

    root.querySelector(".explorable-controls").hidden = false;
    draw();
  }

  document.querySelectorAll('[data-explorable="revival-plane"]').forEach(start);
})();
