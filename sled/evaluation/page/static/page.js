"use strict";
// The page of a report: tables, histograms, and a list of utterances that can be sorted and filtered.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const names = Object.keys(data.systems);
  const colours = ["#0f6b6b", "#c06a1f", "#7a4fa3", "#3f7d2c", "#b03060", "#4a6fb5", "#8a7a1a", "#666666"];
  const PAGE = 20;
  const get = (id) => document.getElementById(id);

  /** An element with children; strings become text. */
  function make(tag, fields, ...children) {
    const element = document.createElement(tag);
    Object.assign(element, fields);
    element.append(...children);
    return element;
  }

  const write = (figure, value) =>
    figure.percent ? `${(100 * value).toFixed(1)} %` : value.toFixed(2);

  function table(id, header, rows) {
    const head = make("tr", {}, ...header.map((text) => make("th", { scope: "col" }, text)));
    const body = rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, ...[cell].flat()))));
    get(id).replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
  }

  function showTables() {
    const { protocol } = data;
    get("title").textContent = protocol.name;
    get("about").textContent = protocol.about;
    get("judges").textContent =
      `Experiment ${protocol.digest}: ${protocol.items} texts, ${protocol.settings.repetitions} seeds from ` +
      `${protocol.settings.first_seed}. Judges: ${protocol.judges.join("; ")}.`;
    const shown = data.figures.filter((one) => names.some((name) => data.systems[name].figures[one.key]));
    table("figures", ["", ...names], shown.map((one) => [
      one.label,
      ...names.map((name) => {
        const figure = data.systems[name].figures[one.key];
        if (!figure) return "";
        const interval = `${write(one, figure.low)} – ${write(one, figure.high)}`;
        return [write(one, figure.value), make("small", {}, interval)];
      }),
    ]));
    get("comparisons-section").hidden = !data.comparisons.length;
    table("comparisons", ["", "figure", "difference", "first named is better", "smallest to be seen"],
      data.comparisons.map((one) => {
        const figure = data.figures.find((each) => each.key === one.metric);
        const interval = `${write(figure, one.low)} – ${write(figure, one.high)}`;
        return [
          `${one.second} minus ${one.first}`,
          figure.label,
          [write(figure, one.difference), make("small", {}, interval)],
          `${Math.round(100 * one.probability_second_better)} %`,
          write(figure, one.smallest_difference),
        ];
      }));
    const kinds = Object.keys(data.systems[names[0]].by_kind);
    get("kinds-section").hidden = !kinds.length;
    table("kinds", ["", ...names], kinds.map((kind) => [
      kind,
      ...names.map((name) => {
        const one = data.systems[name].by_kind[kind];
        const rate = one.error_rate === null ? "" : `${Math.round(100 * one.error_rate)} %`;
        return [rate, make("small", {}, `${one.errors} of ${one.words}`)];
      }),
    ]));
  }

  // Histograms: a line for each system.

  const errorRate = (one) => one.errors / Math.max(1, one.words);
  const SERIES = [
    ["errors of a text, of its words", (one) => Math.min(1, errorRate(one))],
    ["length, of the recording's", (one) => one.duration_ratio],
    ["words a second", (one) => one.words_per_s],
    ["speaker similarity", (one) => one.similarity],
    ["DNSMOS", (one) => one.dnsmos],
    ["UTMOS", (one) => one.utmos],
  ];

  function svg(tag, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function showHistograms() {
    const [width, height, bins] = [300, 110, 16];
    for (const [label, value] of SERIES) {
      const values = names.map((name) =>
        data.systems[name].utterances.map(value).filter((one) => one !== undefined));
      const all = values.flat();
      if (!all.length) continue;
      const [low, high] = [Math.min(...all), Math.max(...all)];
      const counts = values.map((each) => {
        const count = new Array(bins).fill(0);
        for (const one of each) {
          count[Math.min(bins - 1, Math.floor(((one - low) / (high - low || 1)) * bins))] += 1 / each.length;
        }
        return count;
      });
      const top = Math.max(...counts.flat()) || 1;
      const picture = svg("svg", { width, height: height + 16, role: "img", "aria-label": label });
      picture.append(svg("line", { x1: 0, y1: height, x2: width, y2: height }));
      counts.forEach((count, index) => {
        const points = count.flatMap((one, bin) => {
          const y = height - (one / top) * (height - 4);
          return [`${(bin / bins) * width},${y}`, `${((bin + 1) / bins) * width},${y}`];
        });
        picture.append(svg("polyline", {
          points: points.join(" "), fill: "none", "stroke-width": 2, stroke: colours[index % colours.length],
        }));
      });
      picture.append(svg("text", { x: 0, y: height + 13 }, low.toFixed(2)));
      picture.append(svg("text", { x: width, y: height + 13, "text-anchor": "end" }, high.toFixed(2)));
      get("histograms").append(make("figure", {}, picture, make("figcaption", {}, label)));
    }
    const legend = make("p", { className: "legend" });
    names.forEach((name, index) => {
      const mark = make("span", {});
      mark.style.background = colours[index % colours.length];
      legend.append(mark, name);
    });
    get("histograms").before(legend);
  }

  // The list of utterances.

  const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));

  function picture(one) {
    const { mels } = data.picture;
    const values = bytes(one.picture);
    const columns = values.length / mels;
    if (!columns) return "";
    const canvas = make("canvas", { width: columns, height: mels });
    canvas.style.width = `${Math.min(100, (100 * columns) / (8 * data.picture.columns_hz))}%`;
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, mels);
    for (let x = 0; x < columns; x++) {
      for (let y = 0; y < mels; y++) {
        const level = values[x * mels + y] / 255;
        const at = 4 * ((mels - 1 - y) * columns + x);
        image.data[at] = 255 * Math.min(1, 1.6 * level * level);
        image.data[at + 1] = 230 * level * level;
        image.data[at + 2] = 40 + 110 * level;
        image.data[at + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }

  /** The words heard; wrong ones are marked, with the word that should have been heard. */
  function words(one) {
    const line = make("p", { className: "words" });
    for (const [said, heard] of one.pairs) {
      if (said === heard) line.append(`${said} `);
      else {
        if (said) line.append(make("del", { title: "not heard" }, said), " ");
        if (heard) line.append(make("ins", { title: said ? `for ${said}` : "added" }, heard), " ");
      }
    }
    if (!one.pairs.length) line.append("(nothing)");
    return line;
  }

  function side(name, one) {
    const facts = [`${one.errors} of ${one.words} wrong`];
    if (one.seconds !== undefined) facts.push(`${one.seconds.toFixed(2)} s`);
    if (one.similarity !== undefined) facts.push(`similarity ${one.similarity.toFixed(2)}`);
    if (one.dnsmos !== undefined) facts.push(`DNSMOS ${one.dnsmos.toFixed(2)}`);
    if (one.utmos !== undefined) facts.push(`UTMOS ${one.utmos.toFixed(2)}`);
    facts.push(...one.flags);
    const element = make("div", { className: "side" },
      make("div", {}, make("b", {}, name), ` ${facts.join(", ")}`), words(one));
    if (one.audio) {
      const player = make("audio", { controls: true, preload: "none" });
      player.src = `data:audio/mpeg;base64,${one.audio}`;
      element.append(picture(one), player);
    } else {
      element.append(make("p", { className: "muted" }, one.audio === "" ? "no sound" : one.file));
    }
    return element;
  }

  const ORDERS = {
    worst: (a, b) => errorRate(b.one) - errorRate(a.one),
    worse: (a, b) => errorRate(b.one) - errorRate(b.other || b.one) - errorRate(a.one) + errorRate(a.other || a.one),
    id: () => 0,
    longest: (a, b) => (b.one.seconds || 0) - (a.one.seconds || 0),
    unlike: (a, b) => (a.one.similarity ?? 2) - (b.one.similarity ?? 2),
    lowest: (a, b) => (a.one.dnsmos ?? 9) - (b.one.dnsmos ?? 9),
  };
  let shown = PAGE;

  function chosen() {
    const system = get("system").value, beside = get("beside").value;
    const others = new Map();
    for (const one of beside ? data.systems[beside].utterances : []) {
      others.set(`${one.id} ${one.repetition}`, one);
      if (!others.has(one.id)) others.set(one.id, one);
    }
    const find = get("find").value.toLowerCase();
    return data.systems[system].utterances
      .map((one) => ({ one, other: others.get(`${one.id} ${one.repetition}`) || others.get(one.id) }))
      .filter(({ one }) =>
        (!get("wrong").checked || one.errors) &&
        (!get("flagged").checked || one.flags.length) &&
        (!get("kind").value || one.kind === get("kind").value) &&
        (!find || `${one.id} ${one.text} ${one.heard}`.toLowerCase().includes(find)))
      .sort(ORDERS[get("order").value]);
  }

  function show() {
    const list = chosen(), system = get("system").value, beside = get("beside").value;
    get("count").textContent = `${list.length} of ${data.systems[system].utterances.length}`;
    get("texts").replaceChildren(...list.slice(0, shown).map(({ one, other }) => {
      const sides = make("div", { className: "sides" }, side(system, one));
      if (other) sides.append(side(beside, other));
      return make("article", {},
        make("header", {}, make("b", {}, one.text),
          make("span", { className: "muted" }, `${one.id}, seed ${one.repetition + 1}`)),
        sides);
    }));
    get("more").hidden = list.length <= shown;
  }

  function fill(id, options) {
    get(id).replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  }

  showTables();
  showHistograms();
  fill("system", names.map((name) => [name, name]));
  fill("beside", [["", "nothing"], ...names.map((name) => [name, name])]);
  const kinds = [...new Set(data.systems[names[0]].utterances.map((one) => one.kind))].filter(Boolean);
  fill("kind", [["", "all"], ...kinds.map((kind) => [kind, kind])]);
  get("kind").parentElement.hidden = !kinds.length;
  get("system").value = names[names.length - 1];
  get("controls").addEventListener("input", () => { shown = PAGE; show(); });
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  get("more").addEventListener("click", () => { shown += PAGE; show(); });
  // Only one recording is heard at a time.
  document.addEventListener("play", (event) => {
    for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
  }, true);
  show();
})();
