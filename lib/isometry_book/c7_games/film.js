// Films of agents: boards, drawn as paths, a slider for the step, Play and Pause. The
// page holds all boards; each is what changed since the one before.
"use strict";

(function () {
  const STILL = 1000; // milliseconds between stills for who asked for less motion

  // Unsigned 16-bit numbers, low byte first: how many cells change, then which.
  function boards(text, size) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const found = [];
    let now = new Uint8Array(size);
    let at = 0;
    while (at < bytes.length) {
      now = now.slice();
      const end = at + 2 + 2 * view.getUint16(at, true);
      for (at += 2; at < end; at += 2) now[view.getUint16(at, true)] ^= 1;
      found.push(now);
    }
    return found;
  }

  // One path a channel, one rectangle a run of cells; the first channel that is on wins.
  function paths(board, rows, columns, channels) {
    const found = Array.from({ length: channels }, () => "");
    for (let row = 0; row < rows; row += 1) {
      let last = channels;
      let from = 0;
      for (let column = 0; column <= columns; column += 1) {
        let top = channels;
        if (column < columns) {
          const cell = (row * columns + column) * channels;
          top = 0;
          while (top < channels && !board[cell + top]) top += 1;
        }
        if (top !== last || column === columns) {
          const run = column - from;
          if (last < channels) {
            found[last] += "M" + from + "," + row + "h" + run + "v1h-" + run + "z";
          }
          last = top;
          from = column;
        }
      }
    }
    return found;
  }

  function start(root) {
    root.setAttribute("data-started", "");
    const data = JSON.parse(
      root.querySelector('script[type="application/json"]').textContent
    );
    const slider = root.querySelector('[data-control="step"]');
    const output = root.querySelector('output[for="' + slider.id + '"]');
    const play = root.querySelector('[data-control="run"]');
    const still = window.matchMedia("(prefers-reduced-motion: reduce)");
    const last = Number(slider.max);
    let timer = null;
    let own = false;
    const films = Array.from(root.querySelectorAll("[data-player]"), function (player, i) {
      const film = data.films[i];
      return {
        frames: boards(film.boards, film.rows * film.columns * film.channels),
        film: film,
        paths: player.querySelectorAll("[data-channel]"),
        text: player.querySelector("[data-now]"),
        cursor: player.querySelector("[data-cursor]"),
      };
    });

    function sentence(film, step) {
      const end = film.returns.length - 1;
      if (step >= end) return "Return " + film.returns[end] + ". " + film.end;
      return (
        "Return " + film.returns[step] + ". The critic expects " + film.values[step] + " more."
      );
    }

    function draw() {
      const step = Number(slider.value);
      const words = step + " of " + last;
      slider.setAttribute("aria-valuetext", words);
      output.textContent = words;
      films.forEach(function (one) {
        const film = one.film;
        const own = Math.min(step, one.frames.length - 1);
        const drawn = paths(one.frames[own], film.rows, film.columns, film.channels);
        one.paths.forEach(function (path) {
          path.setAttribute("d", drawn[Number(path.getAttribute("data-channel"))]);
        });
        one.text.textContent = sentence(film, step);
        const x = (data.curve.left + (data.curve.width * own) / last).toFixed(1);
        one.cursor.setAttribute("x1", x);
        one.cursor.setAttribute("x2", x);
      });
    }

    function speak(how) {
      films.forEach((one) => one.text.setAttribute("aria-live", how));
    }

    function stop() {
      if (timer !== null) clearInterval(timer);
      timer = null;
      play.textContent = "Play";
      play.setAttribute("data-on", "no");
      speak("polite");
    }

    function tick() {
      const step = Number(slider.value);
      const next = still.matches ? data.stills.find((each) => each > step) : step + 1;
      move(next === undefined ? last : Math.min(next, last));
      if (Number(slider.value) === last) stop();
    }

    function move(step) {
      own = true;
      slider.value = step;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      own = false;
    }

    play.addEventListener("click", function () {
      if (timer !== null) {
        stop();
        return;
      }
      if (Number(slider.value) === last) move(0);
      play.textContent = "Pause";
      play.setAttribute("data-on", "yes");
      speak("off");
      timer = setInterval(tick, still.matches ? STILL : 1000 / data.rate);
    });

    slider.addEventListener("input", function () {
      if (!own) stop();
      draw();
    });

    root.querySelector(".explorable-controls").hidden = false;
    root.querySelector("[data-stage]").hidden = false;
    root.querySelector("[data-stills]").hidden = true;
    draw();
  }

  document
    .querySelectorAll('[data-explorable="film"]:not([data-started])')
    .forEach(start);
})();
