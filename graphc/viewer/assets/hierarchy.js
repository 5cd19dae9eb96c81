"use strict";

// Graphs as trees of items: groups by layer path, nodes, and inputs.

const MOST_CHILDREN = 150, CHUNK = 50;

/** The graphs of a program by name, with nodes as objects. */
function decode(graphs) {
  const decoded = new Map();
  for (const graph of graphs) {
    const producers = new Array(graph.parameters).fill(null);
    const nodes = graph.nodes.map((row, index) => {
      const node = { index, graph: graph.name, first: producers.length };
      data.fields.forEach((field, i) => { node[field] = row[i]; });
      for (let i = 0; i < node.results; i++) producers.push(node);
      for (const table of ["attributes", "path", "line", "origin"]) {
        const texts = data.tables[table === "attributes" ? table : table + "s"];
        node[table] = texts[node[table]];
      }
      return node;
    });
    const readers = new Map();
    for (const node of nodes) {
      for (const operand of node.operands) {
        if (typeof operand !== "number") continue;
        if (!readers.has(operand)) readers.set(operand, new Set());
        readers.get(operand).add(node);
      }
    }
    decoded.set(graph.name, { ...graph, nodes, producers, readers });
  }
  return decoded;
}

/** A group of items, closed at first. */
function makeGroup(id, name, parent, instance) {
  return {
    id, name, parent, instance, isGroup: true, isOpen: false, children: new Map(),
    members: [], first: Infinity, backward: 0, flops: 0, bytes: 0, seconds: 0,
  };
}

/** Fills a group with the items of a graph. */
function fillGroup(group, graph, program) {
  const instance = { graph, program, root: group, items: [], inputs: [] };
  group.instance = instance;
  for (let i = 0; i < graph.parameters; i++) {
    if (graph.roles[i] || !graph.readers.has(i)) continue;
    const id = `${group.id}/%${i}`;
    const item = { id, input: i, parent: group, instance, first: -1, name: graph.values[i] };
    instance.inputs[i] = item;
    group.children.set(id, item);
  }
  for (const node of graph.nodes) {
    let here = group;
    const parts = node.path ? node.path.split("/") : [];
    parts.forEach((part, depth) => {
      const key = (depth ? "" : node.backward) + "/" + part;
      let next = here.children.get(key);
      if (!next) {
        next = makeGroup(`${here.id}${key}`, part, here, instance);
        next.backward = node.backward;
        here.children.set(key, next);
      }
      here = next;
    });
    const id = `${group.id}#${node.index}`;
    const calls = node.calls.filter((name) => program.has(name));
    const item = calls.length ? makeGroup(id, node.op, here, instance) : { id, parent: here, instance };
    if (calls.length) Object.assign(item, { calls, isUnfilled: true });
    Object.assign(item, { node, first: node.index, backward: node.backward });
    if (calls.length) sum(item, node);
    here.children.set(id, item);
    instance.items[node.index] = item;
    for (let each = here; ; each = each.parent) {
      each.first = Math.min(each.first, node.index);
      each.members.push(node);
      if (each !== group || !group.node) sum(each, node);
      if (each === group) break;
    }
  }
  splitLarge(group);
  return instance;
}

function sum(group, node) {
  group.flops += node.flops;
  group.bytes += node.bytes;
  group.seconds += node.seconds;
}

/** Puts the children of groups that have too many into groups of their own. */
function splitLarge(group) {
  for (const child of group.children.values()) {
    if (child.isGroup && !child.isUnfilled) splitLarge(child);
  }
  if (group.children.size <= MOST_CHILDREN) return;
  const children = [...group.children.values()].sort((a, b) => a.first - b.first);
  const size = Math.max(CHUNK, Math.ceil(children.length / MOST_CHILDREN));
  group.children = new Map();
  for (let start = 0; start < children.length; start += size) {
    const part = children.slice(start, start + size);
    const title = (item) => item.node?.op ?? item.name;
    const name = `${title(part[0])} … ${title(part.at(-1))}`;
    const made = makeGroup(`${group.id}/${start}…`, name, group, group.instance);
    made.isChunk = true;
    for (const child of part) {
      child.parent = made;
      made.children.set(child.id, child);
      made.first = Math.min(made.first, child.first);
      made.backward ||= child.backward ?? 0;
      const nodes = child.node ? [child.node] : child.members ?? [];
      for (const node of nodes) {
        made.members.push(node);
        sum(made, node);
      }
    }
    group.children.set(made.id, made);
  }
}

/** Makes the items of the graphs that a node calls, when they are first needed. */
function fillCalls(item) {
  if (!item.isUnfilled) return;
  item.isUnfilled = false;
  const outer = item.instance;
  const program = outer.program;
  if (item.calls.length === 1) {
    item.inner = fillGroup(item, program.get(item.calls[0]), program);
  } else {
    for (const name of item.calls) {
      const group = makeGroup(`${item.id}@${name}`, "@" + name, item, outer);
      fillGroup(group, program.get(name), program);
      item.children.set(name, group);
    }
  }
  item.instance = outer;
  item.first = item.node.index;
}

/** The child of `group` that `item` is in, or null. */
function childOf(group, item) {
  while (item && item.parent !== group) item = item.parent;
  return item;
}

/** What is drawn for an item: itself, or the outermost closed group that it is in. */
function visible(item) {
  let found = item;
  for (let each = item.parent; each; each = each.parent) if (!each.isOpen) found = each;
  return found;
}

/** The edges of an instance between items, once for each use. */
function* edgesOf(instance, nodes) {
  for (const node of nodes) {
    const to = instance.items[node.index];
    for (const operand of node.operands) {
      if (typeof operand !== "number") continue;
      const maker = instance.graph.producers[operand];
      const from = maker ? instance.items[maker.index] : instance.inputs[operand];
      if (from) yield [from, to];
    }
  }
}

/** The instance whose items a group holds. */
function instanceInside(group) {
  return group.inner ?? group.instance;
}

/** The edges between the children of a group; they stay, whatever is open. */
function siblingEdges(group) {
  if (group.edges) return group.edges;
  const found = new Map();
  const instance = instanceInside(group);
  const nodes = group.node || group === instance.root ? instance.graph.nodes : group.members;
  for (const [u, v] of edgesOf(instance, nodes)) {
    const from = childOf(group, u), to = childOf(group, v);
    if (from && to && from !== to) found.set(from.id + ">" + to.id, [from, to]);
  }
  group.edges = [...found.values()];
  return group.edges;
}
