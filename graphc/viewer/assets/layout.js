"use strict";

// Layered layout of boxes: {w, h, first} in, {x, y} of their corners out.

const GAP_X = 18, GAP_Y = 30, WIDEST_ROW = 1500, LONGEST_ROUTE = 12, SWEEPS = 6;
const CENTERING = 0.9; // below 1, so that branches do not walk to one side

/** The rank of each box: one more than the highest of what it reads. */
function rankBoxes(boxes, edges) {
  const readers = new Map(), reads = new Map();
  for (const [from, to] of edges) {
    if (from.first >= to.first) continue; // against the order of the nodes: a cycle
    readers.set(from, [...(readers.get(from) ?? []), to]);
    reads.set(to, [...(reads.get(to) ?? []), from]);
  }
  const rank = new Map();
  for (const box of boxes) {
    rank.set(box, Math.max(0, ...(reads.get(box) ?? []).map((r) => rank.get(r) + 1)));
  }
  for (const box of boxes) { // what reads nothing stands right above its first reader
    const users = readers.get(box);
    if (!reads.has(box) && users) {
      rank.set(box, Math.max(0, Math.min(...users.map((u) => rank.get(u))) - 1));
    }
  }
  return rank;
}

/** Rows of boxes, with a narrow box wherever an edge passes a row. */
function makeRows(boxes, edges, rank) {
  const rows = [];
  const put = (box, row) => (rows[row] ??= []).push(box);
  const links = new Map(), routes = new Map();
  const link = (above, below) => {
    links.set(above, links.get(above) ?? { up: [], down: [] }).get(above).down.push(below);
    links.set(below, links.get(below) ?? { up: [], down: [] }).get(below).up.push(above);
  };
  for (const box of boxes) put(box, rank.get(box));
  for (const [from, to] of edges) {
    const start = rank.get(from), end = rank.get(to);
    if (end <= start || end - start > LONGEST_ROUTE) continue;
    let above = from;
    const route = [];
    for (let row = start + 1; row < end; row++) {
      const bend = { w: 10, h: 0, isBend: true };
      put(bend, row);
      link(above, bend);
      route.push(bend);
      above = bend;
    }
    link(above, to);
    if (route.length) routes.set(from.id + ">" + to.id, route);
  }
  return { rows: rows.filter(Boolean), links, routes };
}

/** Sorts each row by the mean place of what its boxes are linked to. */
function orderRows(rows, links) {
  const place = new Map();
  const number = (row) => row.forEach((box, i) => place.set(box, i));
  rows.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 ? "down" : "up";
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const key = new Map(row.map((box) => {
        const near = links.get(box)?.[side] ?? [];
        const sum = near.reduce((total, other) => total + place.get(other), 0);
        return [box, near.length ? sum / near.length : place.get(box)];
      }));
      row.sort((a, b) => key.get(a) - key.get(b));
      number(row);
    }
  }
}

/** Puts the boxes of rows near the middle of what they are linked to. */
function placeRows(rows, links) {
  const middle = new Map();
  const put = (row, wanted) => {
    let edge = -Infinity, shift = 0, weights = 0;
    for (const box of row) {
      const x = Math.max(wanted(box), edge + box.w / 2);
      const weight = box.isBend ? 0.02 : 1; // bends give way to boxes
      middle.set(box, x);
      shift += (wanted(box) - x) * weight;
      weights += weight;
      edge = x + box.w / 2 + (box.isBend ? 6 : GAP_X);
    }
    for (const box of row) middle.set(box, middle.get(box) + shift / weights);
  };
  rows.forEach((row) => put(row, () => 0));
  for (let sweep = 0; sweep < 3 * SWEEPS; sweep++) { // first one side, then both
    const side = sweep % 2 ? "down" : "up";
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wanted = new Map(row.map((box) => {
        const { up = [], down = [] } = links.get(box) ?? {};
        const linked = sweep < SWEEPS ? (side === "up" ? up : down) : [...up, ...down];
        const straight = linked.filter((other) => !other.isBend);
        const near = straight.length ? straight : linked;
        const sum = near.reduce((total, other) => total + middle.get(other), 0);
        return [box, CENTERING * (near.length ? sum / near.length : middle.get(box))];
      }));
      put(row, (box) => wanted.get(box));
    }
  }
  return middle;
}

/** Rows that are too wide become several. */
function splitRows(rows) {
  return rows.flatMap((row) => {
    const parts = [[]];
    let width = 0;
    for (const box of row) {
      if (width + box.w > WIDEST_ROW && !box.isBend && parts.at(-1).length) {
        parts.push([]);
        width = 0;
      }
      parts.at(-1).push(box);
      width += box.w + GAP_X;
    }
    return parts;
  });
}

/** Lays boxes out; sets x and y of each and returns {w, h, routes} of all. */
function layOut(boxes, edges) {
  boxes = [...boxes].sort((a, b) => a.first - b.first);
  const made = makeRows(boxes, edges, rankBoxes(boxes, edges));
  orderRows(made.rows, made.links);
  const rows = splitRows(made.rows);
  const middle = placeRows(rows, made.links);
  let left = Infinity, right = -Infinity, y = 0;
  for (const row of rows) {
    const height = Math.max(...row.map((box) => box.h));
    for (const box of row) {
      box.x = middle.get(box) - box.w / 2;
      box.y = box.isBend ? y + height / 2 : y;
      left = Math.min(left, box.x);
      right = Math.max(right, box.x + box.w);
    }
    y += height + GAP_Y;
  }
  for (const row of rows) for (const box of row) box.x -= left;
  return { w: right - left, h: y - GAP_Y, routes: made.routes };
}
