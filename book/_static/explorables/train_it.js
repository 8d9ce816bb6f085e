// Chapter 1: train it yourself. A worker made of this page's own text trains a network;
// what it reports is drawn here. The page holds the images, sizes and the library's means.
"use strict";

const trainIt = (function () {
  // Runs in the worker, or, where there is none, here: `report` says what it has done.
  function trainer(makeEngine, report) {
    const engine = makeEngine();
    const runs = new Map();
    let data, inputs, seed, own, labels, order, speed;
    let timer = null;
    let last = 0;

    function fresh(task) {
      return engine.network(data.widths, engine.generator(1, seed, task));
    }

    function begin(task) {
      const draw = engine.generator(2, seed, task);
      labels = Array.from({ length: data.images }, () => Math.floor(draw() * data.classes));
      order = engine.shuffled(data.images, engine.generator(3, seed, task));
    }

    function choose(method) {
      if (!runs.has(method)) runs.set(method, engine.run(method, fresh(0)));
      own = runs.get(method);
      if (own.step === undefined) own.step = 0;
      begin(Math.min(own.accuracies.length, data.tasks - 1));
    }

    function snapshot() {
      last = Date.now();
      report({
        method: own.method,
        step: own.step,
        accuracies: own.accuracies,
        soFar: own.step ? own.hits / (own.step * data.batch) : null,
        spectra: own.layers.map((layer) => engine.singularValues(layer.weight)),
        silent: engine.silent(own.layers, inputs, data.images),
        running: timer !== null,
        seed: seed,
      });
    }

    function step() {
      const task = own.accuracies.length;
      if (task === data.tasks) return false;
      if (own.step === 0 && task) engine.beforeTask(own, fresh(task));
      const features = data.widths[0];
      const from = (own.step * data.batch) % data.images;
      const chosen = order.slice(from, from + data.batch);
      const batch = new Float64Array(data.batch * features);
      chosen.forEach(function (image, n) {
        batch.set(inputs.subarray(image * features, (image + 1) * features), n * features);
      });
      own.hits += engine.update(own, batch, chosen.map((image) => labels[image]), data);
      own.step += 1;
      if (own.step === data.steps) {
        own.accuracies.push(own.hits / (data.steps * data.batch));
        own.step = own.hits = 0;
        begin(own.accuracies.length);
      }
      return own.accuracies.length < data.tasks;
    }

    // As many updates as the speed asks for, but never longer than a frame or two.
    function slice(due) {
      const start = Date.now();
      let more = true;
      while (more && due >= 1 && Date.now() - start < 30) {
        more = step();
        due -= 1;
      }
      if (!more) {
        timer = null;
        snapshot();
        return;
      }
      if (Date.now() - last > 60) snapshot();
      const kept = Math.min(due, speed / 10);
      timer = setTimeout(function () {
        slice(kept + (speed * (Date.now() - start)) / 1000);
      }, 10);
    }

    function pause() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
    }

    return function (message) {
      if (message.data) {
        data = message.data;
        inputs = Float64Array.from(data.pixels, (digit) => {
          return (parseInt(digit, 36) / 16 - data.mean) / data.deviation;
        });
        return;
      }
      pause();
      speed = message.speed;
      if (message.reset || message.seed !== seed) runs.clear();
      seed = message.seed;
      choose(message.method);
      if (message.act === "run") {
        if (own.accuracies.length === data.tasks) {
          runs.delete(own.method);
          choose(own.method);
        }
        timer = 0;
        slice(1);
      }
      for (let i = 0; message.act === "pass" && i < data.images / data.batch; i += 1) step();
      snapshot();
    };
  }

  // A worker from a Blob works from a file as well; where it may not be, the page trains.
  function partner(data, report) {
    let here = null;
    let worker = null;
    const sent = [];

    function inPage() {
      worker = null;
      here = trainer(window.trainItEngine, report);
      sent.forEach(here);
    }

    function send(message) {
      sent.push(message);
      if (sent.length > 2) sent.splice(1, 1); // the data, and what was asked for last
      if (worker) worker.postMessage(message);
      else here(message);
    }

    try {
      const text =
        "const receive = (" + trainer + ")(" + window.trainItEngine + ", " +
        "(found) => postMessage(found)); onmessage = (event) => receive(event.data);";
      const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      worker = new Worker(address);
      worker.onmessage = (event) => report(event.data);
      worker.onerror = inPage;
    } catch (error) {
      inPage();
    }
    send({ data: data });
    return send;
  }

  function start(root) {
    const data = JSON.parse(
      root.querySelector('script[type="application/json"]').textContent
    );
    const box = data.box;
    const runButton = root.querySelector('[data-control="run"]');
    const live = root.querySelector("[data-now]");
    const lines = {};
    const means = {};
    let shown = null;
    root.querySelectorAll("[data-ghost]").forEach(function (ghost) {
      means[ghost.getAttribute("data-ghost")] = ghost.getAttribute("points").split(" ");
    });

    function part(name) {
      return root.querySelector("[data-" + name + "]");
    }

    function value(name) {
      const all = [...root.querySelectorAll('[data-control="' + name + '"]')];
      return all.find((one) => one.type !== "radio" || one.checked).value;
    }

    function place(task, accuracy) {
      const x = box.left + ((box.right - box.left) * task) / data.tasks;
      const y = box.bottom - (box.bottom - box.top) * accuracy;
      return x.toFixed(1) + "," + y.toFixed(1);
    }

    function along(sigma) {
      const low = Math.log10(box.smallest);
      const high = Math.log10(box.largest);
      const at = Math.min(Math.max(Math.log10(Math.max(sigma, 1e-30)), low), high);
      return box.strip_left + ((box.strip_right - box.strip_left) * (at - low)) / (high - low);
    }

    function digits(share) {
      return share.toFixed(2);
    }

    function mean(values) {
      return values.reduce((sum, each) => sum + each, 0) / values.length;
    }

    function sentence(found) {
      const name = data.names[found.method];
      const done = found.accuracies;
      const fifth = Math.max(1, Math.floor(data.tasks / 5));
      if (done.length === data.tasks) {
        return (
          name + ", all " + data.tasks + " tasks: accuracy " +
          digits(mean(done.slice(0, fifth))) + " over the first " + fifth + " tasks, " +
          digits(mean(done.slice(-fifth))) + " over the last " + fifth + "."
        );
      }
      const task = name + ", task " + (done.length + 1) + " of " + data.tasks;
      if (!done.length && found.soFar === null) return task + ": not trained yet.";
      const first = done.length ? "; task 1 had " + digits(done[0]) : "";
      const now = found.soFar === null ? done[done.length - 1] : found.soFar;
      return task + ": accuracy " + digits(now) + first + ".";
    }

    function table() {
      const body = part("numbers");
      body.replaceChildren();
      Object.keys(data.names).forEach(function (method) {
        const row = body.insertRow();
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = data.names[method];
        row.append(head);
        const own = (lines[method] || []).map(digits).join(" ");
        row.insertCell().textContent = own || "not trained yet";
      });
    }

    // The library's mean goes as far as the reader has trained, or there is nothing to
    // guess; what a fresh network can do is told at once.
    function ghosts() {
      root.querySelectorAll("[data-ghost]").forEach(function (ghost) {
        const name = ghost.getAttribute("data-ghost");
        const told = name === "fresh" ? data.tasks : (lines[name] || []).length;
        ghost.setAttribute("points", means[name].slice(0, told).join(" "));
      });
    }

    function draw(found) {
      if (found.seed !== Number(value("seed"))) return;
      shown = found;
      lines[found.method] = found.accuracies;
      const points = found.accuracies.map((each, task) => place(task + 0.5, each));
      root
        .querySelector('[data-line="' + found.method + '"]')
        .setAttribute("points", points.join(" "));
      // The task that is going on has a dot, since its accuracy begins at guessing.
      if (found.soFar !== null) points.push(place(found.accuracies.length + 0.5, found.soFar));
      const dot = part("dot");
      const [x, y] = points.length ? points[points.length - 1].split(",") : [0, 0];
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", y);
      dot.setAttribute("class", "book-" + found.method);
      dot.setAttribute("visibility", points.length ? "visible" : "hidden");
      found.spectra.forEach(function (values, l) {
        const path = values.map((sigma) => "M" + along(sigma).toFixed(1) + ",-9v18").join("");
        const strip = root.querySelector('[data-strip="' + l + '"]');
        strip.setAttribute("d", path);
        strip.setAttribute("class", "book-" + found.method);
        const silent = root.querySelector('[data-silent="' + l + '"]');
        if (silent) silent.textContent = Math.round(100 * found.silent[l]) + " %";
      });
      ghosts();
      live.setAttribute("aria-live", found.running ? "off" : "polite");
      live.textContent = sentence(found);
      runButton.textContent = found.running ? "Pause" : "Train";
      runButton.setAttribute("data-on", found.running ? "yes" : "no");
      if (!found.running) table();
    }

    const send = partner(data, draw);

    function ask(act, more) {
      send({
        act: act,
        method: value("method"),
        seed: Number(value("seed")),
        speed: Number(value("speed")),
        ...more,
      });
    }

    function clear() {
      Object.keys(data.names).forEach(function (method) {
        delete lines[method];
        root.querySelector('[data-line="' + method + '"]').setAttribute("points", "");
      });
      ghosts();
    }

    root.addEventListener("input", function (event) {
      const key = event.target.getAttribute("data-control");
      if (key === "seed") {
        if (!event.target.checkValidity() || event.target.value === "") return;
        clear();
      }
      const left = (lines[value("method")] || []).length < data.tasks;
      const goesOn = shown && shown.running && key !== "seed" && left;
      ask(goesOn ? "run" : "look");
    });
    runButton.addEventListener("click", function () {
      ask(runButton.getAttribute("data-on") === "yes" ? "look" : "run");
    });
    part("pass").addEventListener("click", function () {
      ask("pass");
    });
    part("reset").addEventListener("click", function () {
      clear();
      ask("look", { reset: true });
    });

    root.querySelectorAll("[hidden]").forEach(function (one) {
      one.removeAttribute("hidden");
    });
    table();
    ghosts();
    ask("look");

    // Starts by itself where the page asks for it, once it is seen, unless the reader has
    // asked for less motion.
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!root.hasAttribute("data-autoplay") || still) return;
    const watch = new IntersectionObserver(function (entries) {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      if (!shown || !(shown.running || shown.step)) ask("run");
    }, { threshold: 0.5 });
    watch.observe(root);
  }

  return { trainer: trainer, start: start };
})();

if (typeof module !== "undefined") module.exports = trainIt;
if (typeof document !== "undefined") {
  document.querySelectorAll('[data-explorable="train-it"]').forEach(trainIt.start);
}
