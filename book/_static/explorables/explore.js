// What explorables share. The state of one is the value of its parts with data-control: a
// slider, a number, a list, a group of radio buttons; or a button that
// starts and stops, which says with data-on whether it is on. A slider with data-values
// stands for one of these, and shows it in its output.
// * Words set it: <span data-explore="name:key=value,...">words</span> becomes a button.
// * So do examples, buttons that may have a question in data-ask, an answer in data-answer.
// * The address holds it, as #name:key=value,... with what is not as at the start.
"use strict";

(function () {
  if (window.explorables) return;
  const starts = new Map();

  function valuesOf(part) {
    const text = part.getAttribute("data-values");
    return text === null ? null : text.split(" ");
  }

  function valueOf(part) {
    const values = valuesOf(part);
    return values ? values[Number(part.value)] : part.value;
  }

  // What to write into a part so that it stands for a value, or for the nearest it has.
  function placeOf(part, value) {
    const values = valuesOf(part);
    if (!values) return value;
    const exact = values.indexOf(value);
    if (exact >= 0 || !Number.isFinite(Number(value))) return exact < 0 ? part.value : exact;
    const away = values.map((each) => Math.abs(Number(each) - Number(value)));
    return away.indexOf(Math.min(...away));
  }

  // Three digits, from ten thousand on as a power of ten; as isometry_book.controls.
  function digits(value) {
    if (value < 1e4) return String(Number(value.toPrecision(3)));
    const [mantissa, exponent] = value.toExponential(1).split("e+");
    const raised = exponent.replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
    return mantissa + " × 10" + raised;
  }

  function show(part) {
    if (!valuesOf(part)) return;
    const shown = part.getAttribute("data-shown");
    const text = shown ? shown.split("|")[Number(part.value)] : valueOf(part);
    part.setAttribute("aria-valuetext", text);
    document.querySelector('output[for="' + part.id + '"]').textContent = text;
  }

  function controls(root) {
    const found = new Map();
    root.querySelectorAll("[data-control]").forEach(function (part) {
      const key = part.getAttribute("data-control");
      found.set(key, (found.get(key) || []).concat(part));
    });
    return found;
  }

  // What a button does is an act, no view: words may ask for it, an address never.
  function state(root) {
    const values = {};
    controls(root).forEach(function (parts, key) {
      const chosen = parts.find((part) => part.type !== "radio" || part.checked);
      if (chosen && chosen.type !== "button") values[key] = valueOf(chosen);
    });
    return values;
  }

  function assign(parts, value) {
    const radio = parts.find((part) => part.type === "radio" && part.value === value);
    const part = radio || parts[0];
    if (part.type === "button") {
      if ((part.getAttribute("data-on") || "no") !== value) part.click();
      return;
    }
    if (part.type === "radio") {
      if (!radio || radio.checked) return;
      radio.checked = true;
    } else {
      const before = part.value;
      part.value = placeOf(part, value);
      if (part.value === "" && before !== "") part.value = before; // no such value
      if (part.value === before) return;
    }
    part.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function pairsOf(text) {
    const [name, rest] = text.split(":");
    return [name, (rest || "").split(",").map((pair) => pair.split("="))];
  }

  // The keys of the view first, whatever their order, for an act acts on it.
  function set(text, acts) {
    const [name, pairs] = pairsOf(text);
    const root = document.querySelector('[data-explorable="' + CSS.escape(name) + '"]');
    if (!root) return null;
    const found = controls(root);
    [false, true].forEach(function (act) {
      pairs.forEach(function ([key, value]) {
        const parts = found.get(key);
        if (!parts || value === undefined) return;
        if ((parts[0].type === "button") === act && (acts || !act)) assign(parts, value);
      });
    });
    return root;
  }

  // An example is pressed while the state is its own, but for what time moves; its
  // question stays until the next.
  function mark(root) {
    const now = state(root);
    root.querySelectorAll("[data-moved]").forEach(function (part) {
      delete now[part.getAttribute("data-control")];
    });
    root.querySelectorAll("button[data-explore]").forEach(function (button) {
      const pairs = pairsOf(button.getAttribute("data-explore"))[1];
      const on = pairs.every(([key, value]) => now[key] === undefined || now[key] === value);
      button.setAttribute("aria-pressed", on);
      const question = root.querySelector("[data-question]");
      const asked = button.getAttribute("data-ask");
      if (!on || !question || question.textContent === asked) return;
      question.textContent = asked;
      const answer = root.querySelector("[data-answer]:not(button)");
      answer.textContent = button.getAttribute("data-answer");
      answer.closest("details").open = false;
    });
  }

  function note(root) {
    const first = starts.get(root);
    const changed = Object.entries(state(root)).filter(([k, v]) => first[k] !== v);
    const name = root.getAttribute("data-explorable");
    const text = changed.map(([key, value]) => key + "=" + encodeURIComponent(value));
    history.replaceState(null, "", "#" + name + ":" + text.join(","));
  }

  function fromAddress() {
    const text = decodeURIComponent(location.hash.slice(1));
    if (!/^[\w-]+:/.test(text)) return;
    const root = set(text, false);
    if (root) root.scrollIntoView({ block: "center" });
  }

  function words(span) {
    const button = document.createElement("button");
    const text = span.getAttribute("data-explore");
    button.type = "button";
    button.className = span.className;
    button.setAttribute("data-explore", text);
    button.append(...span.childNodes);
    span.replaceWith(button);
  }

  // Let a button move a slider on, until its end: at once for who asked for less motion.
  function player(root, button, slider, rate) {
    const still = window.matchMedia("(prefers-reduced-motion: reduce)");
    const live = root.querySelector("[aria-live]");
    let timer = null;
    let own = false;

    function turn(on) {
      clearInterval(timer);
      timer = on ? setInterval(tick, 1000 / rate) : null;
      button.textContent = on ? "Pause" : "Play";
      button.setAttribute("data-on", on ? "yes" : "no");
      live.setAttribute("aria-live", on ? "off" : "polite");
    }

    function move(place) {
      own = true;
      slider.value = place;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      own = false;
    }

    function tick() {
      const last = Number(slider.max);
      const next = still.matches ? last : Number(slider.value) + 1;
      if (next >= last) turn(false);
      move(next);
    }

    button.addEventListener("click", function () {
      const on = timer === null;
      if (on && slider.value === slider.max) move(0);
      turn(on);
    });
    root.addEventListener("input", function () {
      if (!own && timer !== null) turn(false);
    });
  }

  // What an explorable's own script reads and sets: values, not places of sliders.
  window.explorables = {
    player: player,
    digits: digits,
    value: (root, key) => Number(valueOf(controls(root).get(key)[0])),
    set: (root, key, value) => assign(controls(root).get(key), String(value)),
    data: (root) =>
      JSON.parse(root.querySelector('script[type="application/json"]').textContent),
  };

  // Before the explorable's own listeners, which draw what is then set.
  document.addEventListener("input", (event) => show(event.target), true);
  document.addEventListener("click", function (event) {
    const button = event.target.closest("button[data-explore]");
    const root = button && set(button.getAttribute("data-explore"), true);
    if (root && !root.contains(button)) root.scrollIntoView({ block: "nearest" });
  });
  window.addEventListener("load", function () {
    document.querySelectorAll("[data-explorable]").forEach(function (root) {
      let waiting = null;
      starts.set(root, state(root));
      mark(root);
      root.addEventListener("input", function () {
        mark(root);
        clearTimeout(waiting);
        waiting = setTimeout(note, 300, root);
      });
    });
    document.querySelectorAll("span[data-explore]").forEach(words);
    fromAddress();
  });
  window.addEventListener("hashchange", fromAddress);
})();
