// The arithmetic of "Train it yourself": a ReLU network, Adam, AdamO, FIRE. Pure functions
// of typed arrays in float64, held to the library by tests/book/test_train_it.py. The
// page turns this one function into the text of a worker, so it uses nothing outside it.
"use strict";

function trainItEngine() {
  const BETAS = [0.9, 0.999];
  const EPS = 1e-8;
  const FIRE_ITERATIONS = 10;

  // A generator of numbers in [0, 1) for each purpose; small, seeded, good enough here.
  function generator(...labels) {
    let state = 0x9e3779b9;
    labels.forEach(function (label) {
      state = Math.imul(state ^ (label + 0x7f4a7c15), 0x85ebca6b);
      state ^= state >>> 13;
    });
    return function () {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function shuffled(count, draw) {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i -= 1) {
      const j = Math.floor(draw() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  function tensor(rows, columns) {
    const size = rows * columns;
    return {
      rows: rows,
      columns: columns,
      value: new Float64Array(size),
      gradient: new Float64Array(size),
      mean: new Float64Array(size),
      square: new Float64Array(size),
    };
  }

  // Layers of given widths; uniform within 1 / sqrt(inputs), as torch.nn.Linear draws.
  function network(widths, draw) {
    return widths.slice(1).map(function (out, i) {
      const bound = 1 / Math.sqrt(widths[i]);
      const layer = { weight: tensor(out, widths[i]), bias: tensor(out, 1) };
      [layer.weight, layer.bias].forEach(function (part) {
        for (let k = 0; k < part.value.length; k += 1) {
          part.value[k] = bound * (2 * draw() - 1);
        }
      });
      return layer;
    });
  }

  function forget(layers) {
    layers.forEach(function (layer) {
      [layer.weight, layer.bias].forEach(function (part) {
        part.mean.fill(0);
        part.square.fill(0);
      });
    });
  }

  // (count, inputs) -> (count, outputs), a ReLU on all layers but the last.
  function forward(layers, inputs, count) {
    const seen = [inputs];
    layers.forEach(function (layer, l) {
      const { rows, columns, value } = layer.weight;
      const from = seen[l];
      const out = new Float64Array(count * rows);
      for (let n = 0; n < count; n += 1) {
        for (let o = 0; o < rows; o += 1) {
          let sum = layer.bias.value[o];
          for (let i = 0; i < columns; i += 1) {
            sum += value[o * columns + i] * from[n * columns + i];
          }
          out[n * rows + o] = l + 1 < layers.length && sum < 0 ? 0 : sum;
        }
      }
      seen.push(out);
    });
    return seen;
  }

  // Turns logits into the gradient of the mean cross-entropy; returns how many are right.
  function judge(logits, labels, classes) {
    let hits = 0;
    labels.forEach(function (label, n) {
      const row = logits.subarray(n * classes, (n + 1) * classes);
      const best = Math.max(...row);
      if (row.indexOf(best) === label) hits += 1;
      let total = 0;
      for (let k = 0; k < classes; k += 1) total += Math.exp(row[k] - best);
      for (let k = 0; k < classes; k += 1) {
        const share = Math.exp(row[k] - best) / total;
        row[k] = (share - (k === label ? 1 : 0)) / labels.length;
      }
    });
    return hits;
  }

  function backward(layers, seen, count) {
    let back = seen[layers.length];
    for (let l = layers.length - 1; l >= 0; l -= 1) {
      const { rows, columns, value, gradient } = layers[l].weight;
      const from = seen[l];
      const next = new Float64Array(count * columns);
      gradient.fill(0);
      layers[l].bias.gradient.fill(0);
      for (let n = 0; n < count; n += 1) {
        for (let o = 0; o < rows; o += 1) {
          const d = back[n * rows + o];
          if (d === 0) continue;
          layers[l].bias.gradient[o] += d;
          for (let i = 0; i < columns; i += 1) {
            gradient[o * columns + i] += d * from[n * columns + i];
            next[n * columns + i] += d * value[o * columns + i];
          }
        }
      }
      for (let k = 0; k < next.length; k += 1) if (l && from[k] === 0) next[k] = 0;
      back = next;
    }
  }

  function adam(part, lr, t) {
    const first = 1 - Math.pow(BETAS[0], t);
    const second = Math.sqrt(1 - Math.pow(BETAS[1], t));
    const { value, gradient, mean, square } = part;
    for (let k = 0; k < value.length; k += 1) {
      const g = gradient[k];
      mean[k] += (1 - BETAS[0]) * (g - mean[k]);
      square[k] = BETAS[1] * square[k] + (1 - BETAS[1]) * g * g;
      value[k] -= ((lr / first) * mean[k]) / (Math.sqrt(square[k]) / second + EPS);
    }
  }

  // The smaller Gram matrix of rows (or columns), (d, d).
  function gram(value, rows, columns) {
    const wide = rows <= columns;
    const d = wide ? rows : columns;
    const length = wide ? columns : rows;
    const out = new Float64Array(d * d);
    for (let a = 0; a < d; a += 1) {
      for (let b = 0; b <= a; b += 1) {
        let sum = 0;
        for (let k = 0; k < length; k += 1) {
          sum += wide
            ? value[a * columns + k] * value[b * columns + k]
            : value[k * columns + a] * value[k * columns + b];
        }
        out[a * d + b] = sum;
        out[b * d + a] = sum;
      }
    }
    return out;
  }

  // value <- left * value + right * (M value, or value M), M of the Gram matrix's side.
  function mixed(value, rows, columns, matrix, left, right) {
    const wide = rows <= columns;
    const d = wide ? rows : columns;
    const out = new Float64Array(value.length);
    for (let r = 0; r < rows; r += 1) {
      for (let c = 0; c < columns; c += 1) {
        let sum = 0;
        for (let k = 0; k < d; k += 1) {
          sum += wide
            ? matrix[r * d + k] * value[k * columns + c]
            : value[r * columns + k] * matrix[k * d + c];
        }
        out[r * columns + c] = left * value[r * columns + c] + right * sum;
      }
    }
    value.set(out);
  }

  // The pull of AdamO: W <- W - 4 rate (W W^T - I) W, shortened where it would overshoot.
  function pull(weight, rate) {
    const { rows, columns, value } = weight;
    const matrix = gram(value, rows, columns);
    const d = Math.min(rows, columns);
    let norm = 0;
    for (let k = 0; k < d; k += 1) matrix[k * d + k] -= 1;
    matrix.forEach(function (entry) {
      norm += entry * entry;
    });
    norm = Math.sqrt(norm);
    const factor = 4 * rate * norm <= 2 ? 4 * rate : 0.5 / norm;
    mixed(value, rows, columns, matrix, 1, -factor);
  }

  // FIRE: the nearest isometry, nearly, by Newton-Schulz, times sqrt(out / in).
  function nearest(weight) {
    const { rows, columns, value } = weight;
    let norm = 0;
    value.forEach(function (entry) {
      norm += entry * entry;
    });
    if (norm === 0) return;
    norm = Math.sqrt(norm);
    for (let k = 0; k < value.length; k += 1) value[k] /= norm;
    for (let i = 0; i < FIRE_ITERATIONS; i += 1) {
      mixed(value, rows, columns, gram(value, rows, columns), 1.5, -0.5);
    }
    const scale = Math.sqrt(rows / columns);
    for (let k = 0; k < value.length; k += 1) value[k] *= scale;
  }

  // One run is a network, what Adam remembers, and how far it has come.
  function run(method, layers) {
    return { method: method, layers: layers, updates: 0, accuracies: [], hits: 0 };
  }

  // What a method does before every task but the first; `fresh` are new layers.
  function beforeTask(own, fresh) {
    if (own.method === "fresh") own.layers = fresh;
    if (own.method === "fire") {
      own.layers.forEach(function (layer) {
        nearest(layer.weight);
      });
    }
    if (own.method === "fresh" || own.method === "fire") {
      forget(own.layers);
      own.updates = 0;
    }
  }

  // One update on a minibatch, (count, inputs); returns how many were right before it.
  function update(own, inputs, labels, settings) {
    const layers = own.layers;
    const classes = layers[layers.length - 1].weight.rows;
    const seen = forward(layers, inputs, labels.length);
    const hits = judge(seen[layers.length], labels, classes);
    backward(layers, seen, labels.length);
    own.updates += 1;
    layers.forEach(function (layer, l) {
      if (own.method === "adamo" && l + 1 < layers.length) {
        pull(layer.weight, settings.pull);
      }
      adam(layer.weight, settings.lr, own.updates);
      adam(layer.bias, settings.lr, own.updates);
    });
    return hits;
  }

  // Singular values in descending order, by one-sided Jacobi rotations.
  function singularValues(weight) {
    const { rows, columns, value } = weight;
    const wide = rows <= columns;
    const d = wide ? rows : columns;
    const length = wide ? columns : rows;
    const vectors = Array.from({ length: d }, function (_, a) {
      return Float64Array.from({ length: length }, function (_, k) {
        return wide ? value[a * columns + k] : value[k * columns + a];
      });
    });
    for (let sweep = 0, turned = true; turned && sweep < 30; sweep += 1) {
      turned = false;
      for (let p = 0; p < d; p += 1) {
        for (let q = p + 1; q < d; q += 1) {
          const [u, v] = [vectors[p], vectors[q]];
          let [uu, vv, uv] = [0, 0, 0];
          for (let k = 0; k < length; k += 1) {
            uu += u[k] * u[k];
            vv += v[k] * v[k];
            uv += u[k] * v[k];
          }
          if (Math.abs(uv) <= 1e-12 * Math.sqrt(uu * vv)) continue;
          turned = true;
          const slope = (vv - uu) / (2 * uv);
          const t = (slope < 0 ? -1 : 1) / (Math.abs(slope) + Math.hypot(1, slope));
          const c = 1 / Math.hypot(1, t);
          for (let k = 0; k < length; k += 1) {
            const kept = u[k];
            u[k] = c * (kept - t * v[k]);
            v[k] = c * (v[k] + t * kept);
          }
        }
      }
    }
    return vectors.map((vector) => Math.hypot(...vector)).sort((a, b) => b - a);
  }

  // Of each hidden layer, the share of units that are zero on every one of the inputs.
  function silent(layers, inputs, count) {
    return forward(layers, inputs, count)
      .slice(1, -1)
      .map(function (values, l) {
        const units = layers[l].weight.rows;
        let dead = 0;
        for (let o = 0; o < units; o += 1) {
          let alive = false;
          for (let n = 0; n < count && !alive; n += 1) alive = values[n * units + o] > 0;
          if (!alive) dead += 1;
        }
        return dead / units;
      });
  }

  return {
    generator: generator,
    shuffled: shuffled,
    network: network,
    run: run,
    beforeTask: beforeTask,
    update: update,
    singularValues: singularValues,
    silent: silent,
  };
}

if (typeof module !== "undefined") module.exports = { trainItEngine: trainItEngine };
