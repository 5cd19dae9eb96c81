"use strict";

// The page: tabs, search, and what is said about what is selected.

const data = JSON.parse(document.getElementById("data").textContent);
const kernels = new Map(data.kernels.map((kernel) => [kernel.graph, kernel]));
const MOST_FOUND = 200;

// -- elements and texts

/** Text with control characters and marks that reorder text shown as codes. */
function printable(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) =>
    c === "\n" || c === "\t" ? c : `\\u{${c.codePointAt(0).toString(16)}}`);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) {
      element.append(child instanceof Node ? child : printable(child));
    }
  }
  return element;
}

function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function scaled(value, units, step = 1000) {
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`;
}

const flops = (n) => scaled(n, ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"]);
const bytes = (n) => scaled(n, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);
const seconds = (s) => (s ? scaled(s * 1e9, ["ns", "µs", "ms", "s"]) : "0 s");
const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
const type = (graph, value) => data.tables.types[graph.types[value]];

function resultTypes(graph, node) {
  return Array.from({ length: node.results }, (_, i) => type(graph, node.first + i)).join(", ");
}

function table(rows) {
  return el("table", {}, rows.filter(([, value]) => value !== "" && value !== null).map(([name, value]) =>
    el("tr", {}, el("th", {}, name), el("td", {}, value))));
}

// -- the graph

const graphTab = {
  name: "Graph",
  open(host) {
    this.side = el("aside", { id: "details" });
    this.area = el("div", { class: "area" });
    const button = (text, action, title) => el("button", { onclick: action, title }, text);
    const choice = el("select", { id: "which", onchange: (event) => this.show(event.target.value) },
      el("option", { value: "after" }, "after the passes"), el("option", { value: "before" }, "as traced"));
    const bar = el("div", { class: "bar" }, choice,
      button("fit", () => this.drawing.fit(), "Show all (0)"),
      button("open more", () => this.drawing.openUpTo(MORE_ITEMS), "Open groups, the outer ones first"),
      button("close all", () => this.drawing.closeAll(), "Close all groups"),
      el("span", { class: "legend" }, el("i", { class: "forward" }), "forward ",
        el("i", { class: "backward" }), "backward ", el("i", { class: "kernel" }), "kernel ",
        el("i", { class: "share" }), `share of the time on an ${data.gpu}`));
    host.append(el("div", { class: "split" }, el("div", { class: "left" }, bar, this.area), this.side));
    this.drawings ??= {};
    this.show(this.which ?? "after");
    choice.value = this.which;
  },
  show(which) {
    this.which = which;
    this.area.replaceChildren();
    const known = this.drawings[which];
    if (known) this.area.append(known.svg);
    this.drawing = this.drawings[which] = known ?? new Drawing(this.area, data[which], (item) => this.describe(item));
    if (!known) this.drawing.fit();
    this.describe(this.drawing.selected);
  },
  describe(item) {
    if (!item) this.side.replaceChildren(...this.overview());
    else if (item.input !== undefined) this.side.replaceChildren(...this.aboutInput(item));
    else if (item.node) this.side.replaceChildren(...this.aboutNode(item.node));
    else this.side.replaceChildren(...this.aboutGroup(item));
  },
  overview() {
    const { root, program } = this.drawing;
    const entry = root.instance.graph;
    const state = entry.roles.filter((role) => role === "state").length;
    return [el("h2", {}, "@" + entry.name), table([
      ["nodes", [...program.values()].reduce((n, graph) => n + graph.nodes.length, 0).toLocaleString("en")],
      ["graphs", program.size], ["inputs", entry.parameters - state], ["state", state],
      ["results", entry.results.length], ...this.costs(root)]),
    el("p", { class: "hint" }, "Click a group to open it, − to close it; drag and wheel to move and zoom."),
    ...this.byOp([...program.values()].flatMap((graph) => graph.nodes))];
  },
  costs(of) {
    const share = of.seconds / (this.drawing.root.seconds || 1);
    return [["FLOPs", flops(of.flops)], ["bytes", bytes(of.bytes)],
      [`on an ${data.gpu}`, `${seconds(of.seconds)} at least, ${(share * 100).toFixed(1)} % of the graph`]];
  },
  byOp(nodes) {
    const counts = new Map();
    for (const node of nodes) counts.set(node.op, (counts.get(node.op) ?? 0) + 1);
    const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 12);
    return [el("h3", {}, "Ops"), table(most.map(([op, n]) => [op, n.toLocaleString("en")]))];
  },
  aboutGroup(item) {
    return [el("h2", {}, item.name), table([
      ["layer", item.members[0]?.path ?? ""], ["part", item.backward ? "backward" : "forward"],
      ["nodes", item.members.length.toLocaleString("en")], ...this.costs(item)]), ...this.byOp(item.members)];
  },
  aboutInput(item) {
    const graph = item.instance.graph;
    return [el("h2", {}, item.name), table([["input", item.input], ["type", type(graph, item.input)],
      ["read by", this.nodeList([...graph.readers.get(item.input)])]])];
  },
  aboutNode(node) {
    const graph = this.drawing.graphOf(node);
    const names = Array.from({ length: node.results }, (_, i) => node.first + i);
    const returned = graph.results.flatMap((value, i) => (names.includes(value) ? [i] : []));
    const readers = new Set(names.flatMap((value) => [...(graph.readers.get(value) ?? [])]));
    return [el("h2", {}, node.op), table([
      ["results", names.map((value) => el("div", {}, `${graph.values[value]} : ${type(graph, value)}`))],
      ["operands", node.operands.map((operand) => this.operand(graph, operand))],
      ["attributes", node.attributes], ["layer", node.path], ["line", node.line], ["origin", node.origin],
      ["part", node.backward ? "backward" : "forward"], ["graph", "@" + graph.name], ...this.costs(node),
      ["read by", this.nodeList([...readers])], ["returned as", returned.map((i) => `result ${i} `).join("")],
      ["calls", node.calls.map((name) => this.callee(name))]].filter(([, value]) => value?.length !== 0))];
  },
  callee(name) {
    if (!kernels.has(name)) return el("div", {}, "@" + name);
    return el("a", { href: "#", onclick: (event) => { event.preventDefault(); kernelTab.chosen = name; show(kernelTab); } },
      `kernel @${name}`);
  },
  operand(graph, operand) {
    if (typeof operand !== "number") return el("div", {}, operand);
    const maker = graph.producers[operand];
    const text = `${graph.values[operand]} : ${type(graph, operand)}`;
    if (maker) return el("div", {}, this.link(maker, text));
    return el("div", {}, text, el("small", {}, ` ${graph.roles[operand] || "parameter"}`));
  },
  link(node, text) {
    return el("a", { href: "#", onclick: (event) => { event.preventDefault(); this.drawing.reveal(node); } }, text);
  },
  nodeList(nodes) {
    const shown = nodes.slice(0, 20).map((node) => {
      const name = node.results ? this.drawing.graphOf(node).values[node.first] + " " : "";
      return el("div", {}, this.link(node, `${name}${node.op}`));
    });
    return nodes.length > 20 ? [...shown, el("div", {}, `and ${nodes.length - 20} more`)] : shown;
  },
  search(text) {
    if (!text) return this.describe(this.drawing.selected);
    const found = [];
    for (const graph of this.drawing.program.values()) {
      for (const node of graph.nodes) {
        const names = graph.values.slice(node.first, node.first + node.results).join(" ");
        const all = [node.op, names, node.path, node.line, node.attributes, node.calls.join(" "), node.origin];
        if (all.join("\n").toLowerCase().includes(text)) found.push(node);
      }
    }
    this.side.replaceChildren(el("h2", { id: "found" }, `${count(found.length, "node")} found`),
      ...found.slice(0, MOST_FOUND).map((node) => el("div", { class: "result" },
        this.link(node, `${this.drawing.graphOf(node).values[node.first] ?? ""} ${node.op}`),
        el("small", {}, ` ${node.path} ${node.line}`))),
      found.length > MOST_FOUND ? el("p", {}, `and ${found.length - MOST_FOUND} more`) : "");
  },
};

// -- the passes

const passTab = {
  name: "Passes",
  open(host) {
    this.filter = "";
    this.list = el("ol", { class: "stages" });
    this.diff = el("div", { class: "diff" });
    const all = [data.stages[0]?.before ?? 1, ...data.stages.map((stage) => stage.after)];
    const most = Math.max(1, ...all);
    data.stages.forEach((stage, i) => {
      const changes = stage.added + stage.removed + stage.changed;
      this.list.append(el("li", { onclick: () => this.choose(i) }, el("b", {}, stage.name),
        el("meter", { min: 0, max: most, value: stage.after }),
        el("span", {}, `${stage.before} → ${stage.after} nodes, ${(stage.seconds * 1e3).toFixed(1)} ms`),
        el("span", { class: "small" }, changes ? `−${stage.removed} +${stage.added} ~${stage.changed}` : "nothing changed")));
    });
    this.slider = el("input", { type: "range", min: 0, max: data.stages.length - 1, id: "stage",
      "aria-label": "Stage", oninput: () => this.choose(Number(this.slider.value)) });
    host.append(el("div", { class: "split passes" }, el("aside", {}, this.slider, this.list), this.diff));
    const first = data.stages.findIndex((stage) => stage.changes.length);
    this.choose(this.chosen ?? Math.max(0, first));
  },
  choose(i) {
    this.chosen = i;
    const stage = data.stages[i];
    if (!stage) return this.diff.replaceChildren("No pass ran.");
    this.slider.value = i;
    [...this.list.children].forEach((item, k) => item.classList.toggle("selected", k === i));
    const total = stage.added + stage.removed + stage.changed;
    const lines = [el("h2", {}, `${i + 1}. ${stage.name}`), el("p", {},
      `${stage.removed} removed, ${stage.added} added, ${stage.changed} changed; `
      + `${count(stage.rewrites, "rewrite")}, ${count(stage.refusals, "refusal")}`)];
    let heading = null;
    for (const [graph, path, before, after] of stage.changes) {
      const text = `${path}\n${before}\n${after}`.toLowerCase();
      if (!text.includes(this.filter)) continue;
      const title = `@${graph} ${path || "(no layer)"}`;
      if (title !== heading) lines.push(el("h3", {}, (heading = title)));
      const isChange = before !== null && after !== null;
      if (before !== null) lines.push(el("pre", { class: isChange ? "changed" : "removed" }, `${isChange ? "~" : "-"} ${before}`));
      if (after !== null) lines.push(el("pre", { class: isChange ? "changed" : "added" }, `${isChange ? ">" : "+"} ${after}`));
    }
    if (total > stage.changes.length) lines.push(el("p", {}, `and ${count(total - stage.changes.length, "more change")}`));
    this.diff.replaceChildren(...lines);
  },
  search(text) {
    this.filter = text;
    this.choose(this.chosen);
  },
};

// -- kernels

const kernelTab = {
  name: "Kernels",
  open(host) {
    this.list = el("div", {});
    this.text = el("div", { class: "diff" });
    host.append(el("div", { class: "split kernels" }, el("aside", { class: "wide" }, this.list), this.text));
    this.search("");
    const first = [...kernels.keys()][0];
    if (kernels.size) this.choose(this.chosen ?? first);
    else this.text.append(el("p", {}, data.problem ?? "The passes made no kernels; the pipeline triton does."));
  },
  search(text) {
    const total = data.kernels.reduce((sum, k) => sum + k.seconds * k.launches, 0) || 1;
    const rows = [...kernels.values()].filter((k) =>
      [k.graph, k.kind, k.source, ...k.layers].join("\n").toLowerCase().includes(text));
    rows.sort((a, b) => b.seconds * b.launches - a.seconds * a.launches);
    this.list.replaceChildren(el("h2", {}, count(rows.length, "kernel")), el("table", { class: "grid" },
      el("tr", {}, ...["kernel", "nodes", "grid", "FLOPs", "bytes", "launches", data.gpu, "share"].map((t) => el("th", {}, t))),
      ...rows.map((k) => el("tr", { onclick: () => this.choose(k.graph) }, ...[k.graph, k.nodes, grid(k), flops(k.flops),
        bytes(k.bytes), k.launches, seconds(k.seconds), `${(k.seconds * k.launches / total * 100).toFixed(1)} %`]
        .map((t) => el("td", {}, t))))));
  },
  choose(name) {
    this.chosen = name;
    const kernel = kernels.get(name);
    const graph = data.after.find((each) => each.name === name);
    const decoded = decode([graph]).get(name);
    const tiles = Object.entries(kernel.tiles).map(([tile, size]) => `${tile}=${size}`).join(", ");
    this.text.replaceChildren(el("h2", {}, "@" + name), table([["kind", kernel.kind], ["grid", grid(kernel)],
      ["tiles", tiles], ["warps", kernel.warps], ["FLOPs", flops(kernel.flops)], ["bytes", bytes(kernel.bytes)],
      [`least on an ${data.gpu}`, seconds(kernel.seconds)], ["launches", kernel.launches],
      ["layers", kernel.layers.map((layer) => el("div", {}, layer))]]),
    el("h3", {}, "Nodes"), ...decoded.nodes.map((node) => el("pre", {}, statement(decoded, node))),
    el("h3", {}, "Source"), el("pre", { class: "source" }, kernel.source));
  },
};

/** The grid of a kernel without axes of one program at its end. */
function grid(kernel) {
  return kernel.grid.join(" × ").replace(/( × 1)+$/, "");
}

/** A node's line as the graph prints it. */
function statement(graph, node) {
  const results = graph.values.slice(node.first, node.first + node.results).join(", ");
  const operands = node.operands.map((o) => (typeof o === "number" ? graph.values[o] : o)).join(", ");
  const attributes = node.attributes ? ` ${node.attributes}` : "";
  return `${results} = ${node.op}(${operands})${attributes} : ${resultTypes(graph, node)}`;
}

// -- the ledger

const ledgerTab = {
  name: "Ledger",
  open(host) {
    this.host = el("div", { class: "ledger" });
    host.append(this.host);
    this.search("");
  },
  search(text) {
    const { rewrites, refusals } = data.ledger;
    const has = (entry, ...more) => [...more, ...entry].join("\n").toLowerCase().includes(text);
    const line = (place, number) => data.tables.lines[number] || place;
    const group = (each, head, lines) => {
      const found = each.entries.filter((entry) => has(lines(entry), head));
      if (text && !found.length && !head.toLowerCase().includes(text)) return null;
      const more = each.count - each.entries.length;
      const body = () => [...found.map((entry) => el("pre", {}, lines(entry).join("  "))),
        more ? el("p", {}, `and ${count(more, "more")}`) : null].filter(Boolean);
      const details = el("details", {}, el("summary", {}, el("b", {}, `${each.count.toLocaleString("en")} × `), head));
      details.addEventListener("toggle", () => { if (details.children.length === 1) details.append(...body()); });
      return details;
    };
    const sorted = (list) => [...list].sort((a, b) => b.count - a.count);
    const total = (list) => list.reduce((n, each) => n + each.count, 0);
    this.host.replaceChildren(
      el("h2", {}, `${count(total(rewrites), "rewrite")} by rule`),
      ...sorted(rewrites).map((each) => group(each, each.rule,
        ([number, graph, place, said]) => [`#${number}`, said, line("@" + graph, place)])).filter(Boolean),
      el("h2", {}, `${count(total(refusals), "refusal")} by reason`),
      ...sorted(refusals).map((each) => group(each, `${each.rule}: ${each.reason}`,
        ([graph, place, said]) => [said, line("@" + graph, place)])).filter(Boolean));
  },
};

// -- numerics and memory

const promiseTab = {
  name: "Numerics and memory",
  open(host) {
    this.host = el("div", { class: "ledger" });
    host.append(this.host);
    this.search("");
  },
  search(text) {
    const lines = (all) => all.filter((line) => line.toLowerCase().includes(text)).join("\n");
    this.host.replaceChildren(el("h2", {}, "What the rewrites promise of each result"), el("pre", {}, lines(data.numerics)),
      ...(data.checks ? [el("h2", {}, "What was compared"), el("pre", {}, data.checks)] : []),
      el("h2", {}, "The memory that a run is predicted to need"), el("pre", {}, lines(data.memory.split("\n"))),
      el("h2", {}, "The passes"), el("pre", { class: "wrap" }, data.pipeline));
  },
};

// -- tabs and search

const tabs = [graphTab, passTab, kernelTab, ledgerTab, promiseTab];
const search = document.getElementById("search");
let current = graphTab;

function show(tab) {
  current = tab;
  search.value = "";
  document.getElementById("main").replaceChildren();
  tab.open(document.getElementById("main"));
  for (const button of document.getElementById("tabs").children) {
    button.classList.toggle("selected", button.textContent === tab.name);
  }
}

document.getElementById("title").append(printable(data.title));
for (const tab of tabs) {
  document.getElementById("tabs").append(el("button", { onclick: () => show(tab) }, tab.name));
}
let waiting = 0;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => current.search(search.value.trim().toLowerCase()), 120);
});
show(tabs.find((tab) => location.hash === "#" + tab.name.toLowerCase().replaceAll(" ", "-")) ?? graphTab);
