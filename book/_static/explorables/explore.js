// What explorables share. The state of one is the value of its parts with data-control: a
// slider, a number, a list, a group of radio buttons; or a button that
// starts and stops, which says with data-on whether it is on.
// * Words set it: <span data-explore="name:key=value,...">words</span> becomes a button.
// * The address holds it, as #name:key=value,... with what is not as at the start.
"use strict";

(function () {
  if (window.explorables) return;
  window.explorables = true;
  const starts = new Map();

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
      if (chosen && chosen.type !== "button") values[key] = chosen.value;
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
      part.value = value;
      if (part.value === "" && before !== "") part.value = before; // no such value
      if (part.value === before) return;
    }
    part.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // The keys of the view first, whatever their order, for an act acts on it.
  function set(text, acts) {
    const [name, rest] = text.split(":");
    const root = document.querySelector('[data-explorable="' + CSS.escape(name) + '"]');
    if (!root) return null;
    const found = controls(root);
    const pairs = (rest || "").split(",").map((pair) => pair.split("="));
    [false, true].forEach(function (act) {
      pairs.forEach(function ([key, value]) {
        const parts = found.get(key);
        if (!parts || value === undefined) return;
        if ((parts[0].type === "button") === act && (acts || !act)) assign(parts, value);
      });
    });
    return root;
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
    button.addEventListener("click", function () {
      const root = set(text, true);
      if (root) root.scrollIntoView({ block: "nearest" });
    });
    span.replaceWith(button);
  }

  window.addEventListener("load", function () {
    document.querySelectorAll("[data-explorable]").forEach(function (root) {
      let waiting = null;
      starts.set(root, state(root));
      root.addEventListener("input", function () {
        clearTimeout(waiting);
        waiting = setTimeout(note, 300, root);
      });
    });
    document.querySelectorAll("span[data-explore]").forEach(words);
    fromAddress();
  });
  window.addEventListener("hashchange", fromAddress);
})();
