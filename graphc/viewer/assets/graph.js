"use strict";

// Drawing of a hierarchy as SVG, with pan, zoom, opening and selection.

const FIRST_ITEMS = 40, MORE_ITEMS = 300, CHARACTER = 7.3, FAR = 350, HEAD = 24, PADDING = 14;

/** Whether an item is the launch of a kernel. */
function isKernel(item) {
  return Boolean(item.calls?.some((name) => kernels.has(name)));
}

/** A drawing of a program: its entry graph is the first. */
class Drawing {
  constructor(host, graphs, onSelect) {
    this.program = decode(graphs);
    this.onSelect = onSelect;
    this.root = makeGroup("", "", null, null);
    fillGroup(this.root, this.program.get(graphs[0].name), this.program);
    this.root.isOpen = true;
    this.callers = this.findCallers();
    this.layer = svg("g", {});
    const defs = svg("defs", {}, svg("marker", {
      id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto",
    }, svg("path", { d: "M0 0 8 4 0 8z", class: "arrow" })));
    this.svg = svg("svg", { class: "graph", tabindex: 0 }, defs, this.layer);
    host.append(this.svg);
    this.view = { x: 0, y: 0, scale: 1 };
    this.listen();
    this.openUpTo(FIRST_ITEMS);
  }

  findCallers() {
    const callers = new Map();
    for (const graph of this.program.values()) {
      for (const node of graph.nodes) {
        for (const name of node.calls) if (!callers.has(name)) callers.set(name, node);
      }
    }
    return callers;
  }

  // -- what is open

  /** Opens groups, the outer ones first, while not more than so many items show. */
  openUpTo(most) {
    let shown = this.root.children.size;
    const queue = [...this.root.children.values()];
    for (const group of queue) {
      if (!group.isGroup || (!group.isOpen && isKernel(group))) continue;
      if (!group.isOpen) {
        fillCalls(group);
        const more = group.children.size - 1;
        if (shown + more > most && more) continue;
        this.open(group);
        shown += more;
      }
      queue.push(...group.children.values());
    }
    this.draw();
  }

  open(group) {
    fillCalls(group);
    group.isOpen = true;
  }

  closeAll() {
    const queue = [...this.root.children.values()];
    for (const item of queue) {
      if (!item.isGroup) continue;
      item.isOpen = false;
      queue.push(...item.children.values());
    }
    this.draw();
    this.fit();
  }

  toggle(group) {
    const before = this.screenPlace(group);
    if (group.isOpen) group.isOpen = false;
    else this.open(group);
    this.draw();
    const after = this.screenPlace(group);
    this.view.x += before.x - after.x; // what was clicked stays where it is
    this.view.y += before.y - after.y;
    this.move();
    this.select(group);
  }

  /** The item of a node, after whatever calls its graph has been filled. */
  itemOf(node) {
    const entry = this.root.instance;
    if (node.graph === entry.graph.name) return entry.items[node.index];
    const caller = this.callers.get(node.graph);
    const call = caller && this.itemOf(caller);
    if (!call) return null;
    fillCalls(call);
    const inner = call.inner ?? [...call.children.values()].find((c) => c.name === "@" + node.graph)?.instance;
    return inner?.items[node.index] ?? null;
  }

  /** Opens what a node is in, selects it and moves to it. */
  reveal(node) {
    const item = this.itemOf(node);
    if (!item) return;
    for (let each = item.parent; each; each = each.parent) this.open(each);
    this.draw();
    this.select(item);
    this.center(item);
  }

  // -- drawing

  draw() {
    this.measure(this.root);
    this.place(this.root, 0, 0);
    this.layer.replaceChildren();
    this.shapes = new Map();
    const boxes = [], leaves = [];
    this.collect(this.root, boxes, leaves);
    this.layer.append(...boxes, ...this.drawEdges(), ...leaves);
    this.mark();
  }

  /** Sets the size of an item, and lays out what is in it if it is open. */
  measure(item) {
    if (item.isGroup && item.isOpen) {
      const children = [...item.children.values()];
      children.forEach((child) => this.measure(child));
      const size = layOut(children, siblingEdges(item));
      const title = this.lines(item)[0].length * CHARACTER + 40;
      item.routes = size.routes;
      item.inset = Math.max(0, (title - size.w - 2 * PADDING) / 2);
      item.w = Math.max(size.w + 2 * PADDING, title);
      item.h = size.h + HEAD + 2 * PADDING;
      return;
    }
    const lines = this.lines(item);
    item.w = Math.max(...lines.map((line) => line.length)) * CHARACTER + (item.isGroup ? 40 : 20);
    item.h = lines.length * 15 + 10;
  }

  place(item, x, y) {
    item.left = x;
    item.top = y;
    if (!item.isGroup || !item.isOpen) return;
    const head = item === this.root ? 0 : HEAD;
    const dx = x + PADDING + item.inset, dy = y + head + PADDING;
    for (const child of item.children.values()) this.place(child, dx + child.x, dy + child.y);
    for (const route of item.routes.values()) {
      for (const bend of route) {
        bend.left = dx + bend.x;
        bend.top = dy + bend.y;
      }
    }
  }

  lines(item) {
    const cut = (text) => (text.length > 42 ? text.slice(0, 40) + "…" : text);
    if (item.input !== undefined) {
      return [cut(item.name), type(item.instance.graph, item.input)];
    }
    if (item.isGroup && !item.node) {
      if (item.isOpen) return [cut(item.name)];
      return [cut(item.name), `${count(item.members.length, "node")} · ${seconds(item.seconds)}`];
    }
    const called = item.isGroup ? "@" + item.calls.join(" @") : "";
    const name = cut(isKernel(item) ? called : `${item.node.op} ${called}`.trim());
    if (item.isOpen) return [name];
    return [name, cut(resultTypes(this.graphOf(item.node), item.node) || " ")];
  }

  graphOf(node) {
    return this.program.get(node.graph);
  }

  collect(item, boxes, leaves) {
    if (item !== this.root) {
      const shape = this.shape(item);
      this.shapes.set(item, shape);
      (item.isGroup && item.isOpen ? boxes : leaves).push(shape);
    }
    if (item.isGroup && item.isOpen) {
      for (const child of item.children.values()) this.collect(child, boxes, leaves);
    }
  }

  shape(item) {
    const kind = item.input !== undefined ? "input" : item.isGroup ? "group" : "node";
    const part = item.backward ? "backward" : "forward";
    const classes = `item ${kind} ${part}${item.isOpen ? " open" : ""}${isKernel(item) ? " kernel" : ""}`;
    const shape = svg("g", { class: classes, transform: `translate(${item.left} ${item.top})` });
    shape.append(svg("rect", { width: item.w, height: item.h, rx: kind === "input" ? 12 : 5 }));
    if (item.isGroup) shape.append(svg("text", { x: 9, y: 17, class: "sign" }, item.isOpen ? "−" : "+"));
    this.lines(item).forEach((line, i) => {
      const x = item.isGroup ? 26 : 10;
      shape.append(svg("text", { x, y: 17 + 15 * i, class: i ? "small" : "" }, line));
    });
    const share = (item.node ?? item).seconds / (this.root.seconds || 1);
    if (share > 0.005 && !item.isOpen && item.instance === this.root.instance) {
      shape.append(svg("rect", { class: "share", x: 0, y: item.h - 3, width: Math.max(2, item.w * share), height: 3 }));
    }
    shape.addEventListener("click", (event) => {
      event.stopPropagation();
      if (this.dragged) return;
      const onSign = event.target.classList.contains("sign");
      if (item.isGroup && (onSign || !item.isOpen)) this.toggle(item);
      else this.select(item);
    });
    shape.addEventListener("dblclick", (event) => {
      event.stopPropagation();
      if (item.isGroup && item.isOpen) this.toggle(item);
    });
    return shape;
  }

  /** The edges between what is visible. */
  *drawEdges() {
    this.lineList = [];
    const pending = [this.root], done = new Set();
    for (const group of pending) {
      for (const child of group.children.values()) {
        if (child.isGroup && child.isOpen) pending.push(child);
      }
      const instance = group === this.root || group.inner || group === group.instance.root ? instanceInside(group) : null;
      if (!instance || done.has(instance)) continue;
      done.add(instance);
      for (const [u, v] of edgesOf(instance, instance.graph.nodes)) {
        const from = visible(u), to = visible(v);
        const key = from.id + ">" + to.id;
        if (from === to || done.has(key)) continue;
        done.add(key);
        yield this.edge(from, to);
      }
    }
  }

  edge(from, to) {
    let group = from.parent;
    while (group && !childOf(group, to)) group = group.parent;
    const a = childOf(group, from), b = childOf(group, to);
    const route = group.routes?.get(a.id + ">" + b.id) ?? [];
    const points = [
      [from.left + from.w / 2, from.top + from.h],
      ...route.map((bend) => [bend.left + 5, bend.top]),
      [to.left + to.w / 2, to.top],
    ];
    let d = `M${points[0]}`;
    for (let i = 1; i < points.length; i++) {
      const [x, y] = points[i - 1], [u, v] = points[i];
      const bend = Math.max(12, Math.abs(v - y) / 2);
      d += `C${x} ${y + bend} ${u} ${v - bend} ${u} ${v}`;
    }
    const isFar = Math.hypot(points[0][0] - points.at(-1)[0], points[0][1] - points.at(-1)[1]) > FAR;
    const isBack = to.top < from.top;
    const line = svg("path", { d, class: `edge${isFar ? " far" : ""}${isBack ? " back" : ""}`, "marker-end": "url(#arrow)" });
    this.lineList.push({ from, to, line });
    return line;
  }

  // -- selection

  select(item) {
    this.selected = item;
    this.mark();
    this.onSelect(item);
  }

  /** Shows what is selected, and the edges that touch it. */
  mark() {
    const chosen = this.selected && visible(this.selected);
    for (const [item, shape] of this.shapes) shape.classList.toggle("selected", item === chosen);
    for (const { from, to, line } of this.lineList) {
      line.classList.toggle("near", from === chosen || to === chosen);
    }
  }

  // -- pan and zoom

  move() {
    const { x, y, scale } = this.view;
    this.layer.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
  }

  screenPlace(item) {
    return { x: item.left * this.view.scale + this.view.x, y: item.top * this.view.scale + this.view.y };
  }

  fit() {
    const { clientWidth: w, clientHeight: h } = this.svg;
    const whole = Math.min((w - 20) / this.root.w, (h - 20) / this.root.h, 1.1);
    const scale = Math.max(whole, Math.min(0.7, (w - 20) / this.root.w), 0.1);
    this.view = { x: Math.max(10, (w - this.root.w * scale) / 2), y: 10, scale };
    this.move();
  }

  center(item) {
    const { clientWidth: w, clientHeight: h } = this.svg;
    const scale = Math.max(this.view.scale, 0.8);
    this.view = {
      x: w / 2 - (item.left + item.w / 2) * scale, y: h / 2 - (item.top + Math.min(item.h, h) / 2) * scale, scale,
    };
    this.move();
  }

  zoom(factor, x, y) {
    const scale = Math.min(4, Math.max(0.02, this.view.scale * factor));
    const change = scale / this.view.scale;
    this.view = { x: x - (x - this.view.x) * change, y: y - (y - this.view.y) * change, scale };
    this.move();
  }

  listen() {
    let start = null;
    this.svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 500), event.offsetX, event.offsetY);
    }, { passive: false });
    this.svg.addEventListener("pointerdown", (event) => {
      start = { x: event.clientX - this.view.x, y: event.clientY - this.view.y, from: [event.clientX, event.clientY] };
      this.dragged = false;
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!start || !event.buttons) return;
      if (Math.hypot(event.clientX - start.from[0], event.clientY - start.from[1]) > 4) this.dragged = true;
      if (!this.dragged) return;
      this.view.x = event.clientX - start.x;
      this.view.y = event.clientY - start.y;
      this.move();
    });
    this.svg.addEventListener("pointerup", () => { start = null; });
    this.svg.addEventListener("keydown", (event) => {
      const { clientWidth: w, clientHeight: h } = this.svg;
      if (event.key === "+") this.zoom(1.25, w / 2, h / 2);
      else if (event.key === "-") this.zoom(0.8, w / 2, h / 2);
      else if (event.key === "0") this.fit();
      else if (event.key === "Enter" && this.selected?.isGroup) this.toggle(this.selected);
    });
  }
}
