// The canvas as the library takes it: nodes, frames, bends and links. What the document has not changed stays the same object.
import { Position, type Edge, type Node as FlowNode, type NodeHandle } from "@xyflow/react";
import { inputNode, linksOf, outputNode, pair, type Canvas, type Definition, type Node } from "../model/document";
import { bendsOf, chain, parents } from "../model/reroute";
import type { Obj } from "../model/json";
import { canvas, here, useEditor } from "../store";
import { typeColour } from "./colour";
import { outputsOf, slotList, widgetList } from "./node";

type Put = (id: string, source: unknown, make: () => FlowNode) => void;

/** flowNodes are the canvas's nodes. Far away each has its exact size and no sockets, so that nothing has to be measured. */
export function flowNodes(before: FlowNode[], selected: Set<string>, far: boolean): FlowNode[] {
  const c = canvas();
  const old = new Map(before.map((n) => [n.id, n]));
  const list: FlowNode[] = [];
  const put: Put = (id, source, make) => {
    const was = old.get(id), isSelected = selected.has(id);
    if (was && was.data.source === source && (was.data.far === far || was.type === "end")) list.push(!!was.selected === isSelected ? was : { ...was, selected: isSelected });
    else list.push({ ...(was?.measured && was.data.far === far ? { measured: was.measured } : {}), ...make(), selected: isSelected });
  };
  (c.groups ?? []).forEach((g, index) => {
    const [x, y, width, height] = g.bounding ?? [0, 0, 200, 100];
    put("group:" + index, g, () => ({
      id: "group:" + index, type: "frame", position: { x, y }, style: { width, height }, initialWidth: width, initialHeight: height, handles: [], zIndex: -1,
      data: { source: g, far, group: g, index }, dragHandle: ".group-title", draggable: (g.flags as Obj | undefined)?.pinned ? false : undefined,
    }));
  });
  for (const n of c.nodes) put(String(n.id), n, () => flowNode(n, far, old.get(String(n.id))));
  if (!far) for (const b of bendsOf(c).values()) {
    const [x, y] = pair(b.pos, [0, 0]);
    put("bend:" + b.id, b, () => ({
      id: "bend:" + b.id, type: "bend", position: { x: x - 7, y: y - 7 }, style: { width: 14, height: 14 }, measured: { width: 14, height: 14 }, handles: [], zIndex: 1,
      data: { source: b, far, colour: bendColour(c, b.linkIds?.[0]) },
    }));
  }
  if (here()) ends(c as Definition, put);
  return list.length === before.length && list.every((n, i) => n === before[i]) ? before : list;
}

const bendColour = (c: Canvas, link: number | undefined) => typeColour(String((link !== undefined && linksOf(c).get(link)?.type) || "*"));

function flowNode(n: Node, far: boolean, was: FlowNode | undefined): FlowNode {
  const [x, y] = pair(n.pos, [0, 0]);
  const { width, height } = boxOf(n);
  const bare = n.type === "Reroute";
  const base = { id: String(n.id), position: { x, y: bare ? y : y - 30 }, data: { source: n, far, node: n }, draggable: n.flags?.pinned ? false : undefined };
  if (far) return { ...base, type: "node", style: { width, height }, measured: { width, height }, handles: [] };
  const style = bare || n.flags?.collapsed ? {} : { width };
  // A node that has not been in sight is not drawn; its links end about where its sockets will be.
  return { ...base, type: "node", style, ...(was?.measured && !was.data.far ? {} : { initialWidth: width, initialHeight: height, handles: guess(n) }) };
}

/** boxOf is the size of a node with its title, canvas units. */
export function boxOf(n: Node): { width: number; height: number } {
  const [w, h] = pair(n.size, [210, 60]);
  if (n.type === "Reroute") return { width: 56, height: 22 };
  if (n.flags?.collapsed) return { width: 160, height: 30 };
  return { width: Math.max(w, 140), height: Math.max(h, 20) + 30 };
}

const guesses = new WeakMap<Node, NodeHandle[]>();
/** guess places the sockets of a node about where drawing it will put them, relative to its corner. */
export function guess(n: Node): NodeHandle[] {
  const known = guesses.get(n);
  if (known) return known;
  const { width, height } = boxOf(n);
  const widgets = widgetList(n), tops = new Map<string, number>();
  const slots = slotList(n), outputs = outputsOf(useEditor.getState().classes.get(n.type), n);
  const folded = n.flags?.collapsed || n.type === "Reroute";
  const named = new Set(widgets.map((w) => w.name));
  const plain = slots.filter((s) => !named.has(s.name));
  let y = 50 + 24 * Math.max(plain.length, outputs.length);
  for (const w of widgets) { tops.set(w.name, y); y += w.input.options.multiline === true ? 90 : 32; }
  const at = (v: number) => (folded ? Math.min(height / 2, 15) : Math.min(v, height - 6));
  const list: NodeHandle[] = [
    ...slots.map((s) => ({ type: "target" as const, position: Position.Left, id: "in:" + s.name, x: 0, y: at(tops.get(s.name) ?? 49 + 24 * plain.indexOf(s)) })),
    ...outputs.map((_, i) => ({ type: "source" as const, position: Position.Right, id: "out:" + i, x: width, y: at(49 + 24 * i) })),
  ];
  guesses.set(n, list);
  return list;
}

function ends(d: Definition, put: Put) {
  for (const side of ["input", "output"] as const) {
    const at = d[`${side}Node`] as Obj | undefined;
    const id = String(side === "input" ? inputNode : outputNode);
    const b = Array.isArray(at?.bounding) ? at.bounding : [0, 0];
    const slots = (d[`${side}s`] ?? []).map((s) => ({ name: String(s.label ?? s.name), type: String(s.type) }));
    put(id, JSON.stringify([b, slots]), () => ({
      id, type: "end", position: { x: Number(b[0]), y: Number(b[1]) }, deletable: false,
      data: { source: JSON.stringify([b, slots]), far: false, side, slots },
    }));
  }
}

export interface Point { x: number; y: number }
export type LinkData = { bends: { id: number; x: number; y: number }[] };

/** flowEdges are the canvas's links. */
export function flowEdges(before: Edge[], selected: Set<string>): Edge[] {
  const c = canvas();
  const links = linksOf(c), bends = bendsOf(c), last = parents(c);
  const byId = new Map(c.nodes.map((n) => [String(n.id), n]));
  const old = new Map(before.map((e) => [e.id, e]));
  const list: Edge[] = [];
  const add = (id: number, target: string, handle: string) => {
    const l = links.get(id);
    if (!l || (!byId.has(String(l.from)) && Number(l.from) !== inputNode)) return;
    const key = "link:" + id, source = String(l.from), sourceHandle = "out:" + l.fromSlot;
    const out = byId.get(source)?.outputs?.[l.fromSlot]?.type;
    const stroke = typeColour(l.type && l.type !== "*" ? l.type : String(out ?? "*"));
    const way = last.has(id) ? chain(bends, last.get(id)) : [];
    const was = old.get(key), isSelected = selected.has(key);
    const same = was && was.source === source && was.sourceHandle === sourceHandle && was.target === target && was.targetHandle === handle
      && was.style!.stroke === stroke && was.selected === isSelected && (was.data!.way as unknown[]).length === way.length && way.every((b, i) => b === (was.data!.way as unknown[])[i]);
    if (same) list.push(was);
    else list.push({
      id: key, type: "link", source, sourceHandle, target, targetHandle: handle, selected: isSelected, className: "link", style: { stroke },
      data: { way, bends: way.map((b) => { const [x, y] = pair(b.pos, [0, 0]); return { id: b.id, x, y }; }) },
    });
  };
  for (const n of c.nodes) for (const s of n.inputs ?? []) if (s.link != null) add(s.link, String(n.id), "in:" + s.name);
  if (here()) for (const l of links.values()) if (Number(l.to) === outputNode) add(l.id, String(outputNode), "in:" + l.toSlot);
  return list.length === before.length && list.every((e, i) => e === before[i]) ? before : list;
}

/** curve is the way of a link through its bends, as an SVG path. */
export function curve(points: Point[]): string {
  let d = `M${points[0].x},${points[0].y}`;
  for (let i = 1; i < points.length; i++) {
    const a = points[i - 1], b = points[i];
    const by = Math.max(Math.abs(b.x - a.x) / 2, Math.min(60, Math.hypot(b.x - a.x, b.y - a.y) / 3));
    d += `C${a.x + by},${a.y} ${b.x - by},${b.y} ${b.x},${b.y}`;
  }
  return d;
}
