// Which links may be made, and making them.
import type { KeyboardEvent } from "react";
import { connect, definitionOf, edit, inputNode, linksOf, outputNode, unlink, type Definition, type Document, type Id, type Node } from "../model/document";
import { addSlot, type Side } from "../model/nest";
import { addBend } from "../model/reroute";
import { compatible, type Slot } from "../model/schema";
import { canvas, change, here, toast, useEditor, type Pending } from "../store";
import type { Point } from "./flow";
import { outputsOf, slotList } from "./node";

/** refusal says why an output may not enter an input; "" when it may. */
export function refusal(from: { node: Id; type: string }, to: { node: Id; type: string; name: string }): string {
  if (String(from.node) === String(to.node)) return "A node cannot feed itself.";
  if (Number(from.node) === inputNode && Number(to.node) === outputNode && from.type === "*" && to.type === "*") return "A new input needs a node to say its type.";
  if (!compatible(from.type, to.type)) return `${to.name} needs ${to.type}, this output gives ${from.type}.`;
  const next = new Map<string, string[]>();
  for (const l of linksOf(canvas()).values()) (next.get(String(l.from)) ?? next.set(String(l.from), []).get(String(l.from))!).push(String(l.to));
  const seen = new Set<string>(), open = [String(to.node)];
  while (open.length) {
    const id = open.pop()!;
    if (id === String(from.node)) return "This link would close a circle.";
    if (!seen.has(id)) { seen.add(id); open.push(...(next.get(id) ?? [])); }
  }
  return "";
}

export const nodeOf = (id: Id): Node | undefined => canvas().nodes.find((n) => String(n.id) === String(id));

/** endOf is the socket of a handle. */
export function endOf(node: Id, handle: string | null): Pending | undefined {
  if (handle && here() && (Number(node) === inputNode || Number(node) === outputNode)) return endSlot(Number(node) === inputNode ? "input" : "output", handle);
  const n = nodeOf(node);
  if (!n || !handle) return undefined;
  if (handle.startsWith("out:")) {
    const slot = Number(handle.slice(4));
    const out = outputsOf(useEditor.getState().classes.get(n.type), n)[slot];
    return out && { node: n.id, side: "output", slot, name: out.name, type: out.type, widget: false };
  }
  const name = handle.slice(3);
  const slot = slotList(n).find((s) => s.name === name) ?? (n.type === "Reroute" ? { name, type: "*", widget: false } as Slot : undefined);
  return slot && { node: n.id, side: "input", slot: 0, name: slot.name, type: n.type === "Reroute" ? "*" : slot.type, widget: slot.widget };
}

/** endSlot is a socket of a subgraph's own ends; "+" is the one that a link makes. Its input end gives, its output end takes. */
function endSlot(side: Side, handle: string): Pending | undefined {
  const slots = (canvas() as Definition)[`${side}s`] ?? [], at = handle.split(":")[1], slot = at === "+" ? slots.length : Number(at);
  const own = slots[slot];
  if (!own && at !== "+") return undefined;
  return { node: side === "input" ? inputNode : outputNode, side: side === "input" ? "output" : "input", slot, name: side === "input" ? own?.name ?? "" : String(slot), type: String(own?.type ?? "*"), widget: false };
}

export function join(doc: Document, at: string, a: Pending, b: Pending): Document {
  const [from, to] = a.side === "output" ? [a, b] : [b, a];
  const { classes } = useEditor.getState();
  const def = at ? definitionOf(doc, at) : undefined;
  let next = doc, type = from.type;
  if (def && Number(from.node) === inputNode && !def.inputs?.[from.slot]) { // a new input takes the name and type of what it is linked to
    next = addSlot(next, at, "input", to.name, to.type, classes);
    type = to.type;
  }
  if (def && Number(to.node) === outputNode && !def.outputs?.[to.slot]) next = addSlot(next, at, "output", from.name || from.type, from.type, classes);
  return connect(next, at, { id: from.node, slot: from.slot, name: from.name, type }, { id: to.node, name: to.name, type: to.type, widget: to.widget });
}

/** link joins two sockets, or says why not. */
export function link(a: Pending, b: Pending): boolean {
  if (a.side === b.side) {
    toast(`A link goes from an output to an input, not between two ${a.side}s.`, true);
    return false;
  }
  const [from, to] = a.side === "output" ? [a, b] : [b, a];
  const why = refusal(from, to);
  if (why) toast(why, true);
  else change((d, at) => join(d, at, from, to));
  return !why;
}

/** relink moves a link's end to another input. */
export function relink(old: number, from: Pending, to: Pending): boolean {
  if (linksOf(canvas()).get(old)?.to === to.node && nodeOf(to.node)?.inputs?.find((s) => s.name === to.name)?.link === old) return false;
  const why = from.side === to.side ? "A link goes from an output to an input." : refusal(from, to);
  if (why) toast(why, true);
  else change((d, at) => join(unlink(d, at, new Set([old])), at, from, to));
  return !why;
}

/** bendAt puts a bend into a link, into the stretch of its way that is nearest. */
export function bendAt(id: number, way: Point[], at: Point) {
  let k = 0, best = Infinity;
  for (let i = 0; i + 1 < way.length; i++) {
    const a = way[i], dx = way[i + 1].x - a.x, dy = way[i + 1].y - a.y;
    const t = Math.max(0, Math.min(1, ((at.x - a.x) * dx + (at.y - a.y) * dy) / (dx * dx + dy * dy || 1)));
    const away = Math.hypot(at.x - a.x - t * dx, at.y - a.y - t * dy);
    if (away < best) [best, k] = [away, i];
  }
  change((d, where) => edit(d, where, (c) => addBend(d, c, id, k, at.x, at.y)));
}

/** fitting is the first socket of a node that the other end fits, a free one if there is one. */
export function fitting(n: Node, other: Pending): Pending | undefined {
  if (other.side === "input") {
    const i = outputsOf(useEditor.getState().classes.get(n.type), n).findIndex((o) => compatible(o.type, other.type));
    return i < 0 ? undefined : endOf(n.id, "out:" + i);
  }
  const fits = slotList(n).filter((s) => compatible(other.type, s.type)).sort((a, b) => Number(a.widget) - Number(b.widget));
  const s = fits.find((s) => s.link == null) ?? fits[0];
  return s && endOf(n.id, "in:" + s.name);
}

let started: Pending | null = null;
/** keyLink links by keyboard: Enter on one socket, then on the other. */
export function keyLink(e: KeyboardEvent, end: Pending) {
  if (e.key === "Escape") started = null;
  if (e.key !== "Enter" || e.ctrlKey || e.metaKey) return;
  e.preventDefault();
  e.stopPropagation();
  if (started && !(started.node === end.node && started.name === end.name)) {
    link(started, end);
    started = null;
  } else {
    started = end;
    toast(`Link from ${end.name || end.type}: press Enter on the other socket, Escape to leave it.`);
  }
}
