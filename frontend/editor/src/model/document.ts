// A workflow in the editor's own (UI) format. The document is the file's own tree: what an operation does not change is
// shared with the document before it, so unknown keys live on and undo is a list of documents.
import { isObj, type Json, type Obj } from "./json";
import { carry, dropLinks, plant, type Carried } from "./reroute";

export type Id = number | string;

export interface FileSlot { name: string; type: Json; link?: number | null; links?: number[] | null; label?: string; widget?: Obj; slot_index?: number; [key: string]: unknown }

export interface Node {
  id: Id; type: string; pos?: Json; size?: Json; mode?: number; title?: string; flags?: Obj;
  inputs?: FileSlot[]; outputs?: FileSlot[]; widgets_values?: Json; properties?: Obj; color?: string; bgcolor?: string; order?: number;
  [key: string]: unknown;
}

export interface Group { title?: string; bounding: number[]; color?: string; id?: number; [key: string]: unknown }

export interface Link { id: number; from: Id; fromSlot: number; to: Id; toSlot: number; type: string }

/** Canvas is the root or the inside of a subgraph. */
export interface Canvas { nodes: Node[]; links: Json[]; groups?: Group[]; [key: string]: unknown }

export interface Definition extends Canvas {
  id: string; name: string; inputs?: FileSlot[]; outputs?: FileSlot[]; inputNode?: Obj; outputNode?: Obj;
}

export interface Document extends Canvas {
  version: number; last_node_id?: number; last_link_id?: number; state?: Obj; definitions?: { subgraphs?: Definition[]; [key: string]: unknown };
}

export const inputNode = -10;
export const outputNode = -20;

export function empty(): Document {
  return { last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], config: {}, extra: {}, version: 0.4 };
}

/** isDocument tells the UI format from the API format. */
export const isDocument = (v: Json): boolean => isObj(v) && Array.isArray(v.nodes);
export const isPrompt = (v: Json): boolean =>
  isObj(v) && Object.keys(v).length > 0 && Object.values(v).every((n) => isObj(n) && typeof n.class_type === "string");

export const definitions = (doc: Document): Definition[] => doc.definitions?.subgraphs ?? [];
export const definitionOf = (doc: Document, id: string) => definitions(doc).find((d) => d.id === id);

/** canvasOf is the canvas of a path: "" the root, else a subgraph's id. */
export const canvasOf = (doc: Document, at: string): Canvas => (at && definitionOf(doc, at)) || doc;

/** edit changes one canvas and returns the new document. */
export function edit(doc: Document, at: string, change: (c: Canvas) => Canvas): Document {
  if (!at) return change(doc) as Document;
  const subgraphs = definitions(doc).map((d) => (d.id === at ? (change(d) as Definition) : d));
  return { ...doc, definitions: { ...doc.definitions, subgraphs } };
}

export function readLink(l: Json): Link | null {
  if (Array.isArray(l)) {
    const [id, from, fromSlot, to, toSlot, type] = l as [number, Id, number, Id, number, Json];
    return { id, from, fromSlot: Number(fromSlot), to, toSlot: Number(toSlot), type: String(type) };
  }
  if (!isObj(l)) return null;
  return {
    id: l.id as number, from: l.origin_id as Id, fromSlot: Number(l.origin_slot), to: l.target_id as Id, toSlot: Number(l.target_slot),
    type: String(l.type),
  };
}

/** linksOf reads a canvas's links; the input that names a link is the slot that counts. */
export function linksOf(c: Canvas): Map<number, Link> {
  const all = new Map<number, Link>();
  for (const raw of c.links ?? []) {
    const l = readLink(raw);
    if (l) all.set(l.id, l);
  }
  return all;
}

/** writeLink writes a link as an object, or in the form that it was in, with all that it had besides. */
export function writeLink(l: Link, old?: Json): Json {
  if (Array.isArray(old)) return [l.id, l.from, l.fromSlot, l.to, l.toSlot, l.type, ...old.slice(6)];
  return { ...(isObj(old) ? old : {}), id: l.id, origin_id: l.from, origin_slot: l.fromSlot, target_id: l.to, target_slot: l.toSlot, type: l.type };
}

const usesObjects = (doc: Document, at: string) => at !== "" || isObj((doc.links ?? [])[0]) || isObj(doc.state);

function take(doc: Document, kind: "node" | "link"): [Document, number] {
  const key = kind === "node" ? "last_node_id" : "last_link_id";
  const stateKey = kind === "node" ? "lastNodeId" : "lastLinkId";
  const canvases: Canvas[] = [doc, ...definitions(doc)];
  let last = Number(doc[key] ?? doc.state?.[stateKey] ?? 0);
  for (const c of canvases) {
    if (kind === "node") for (const n of c.nodes) last = Math.max(last, Number(n.id) || 0);
    else for (const l of linksOf(c).keys()) last = Math.max(last, l);
  }
  const next = last + 1;
  const changed = { ...doc };
  if (isObj(doc.state)) changed.state = { ...doc.state, [stateKey]: next };
  if (doc[key] !== undefined || !isObj(doc.state)) changed[key] = next as never;
  return [changed, next];
}

export const updateNode = (doc: Document, at: string, id: Id, change: (n: Node) => Node): Document =>
  edit(doc, at, (c) => ({ ...c, nodes: c.nodes.map((n) => (n.id === id ? change(n) : n)) }));

export const updateNodes = (doc: Document, at: string, ids: Set<string>, change: (n: Node) => Node): Document =>
  edit(doc, at, (c) => ({ ...c, nodes: c.nodes.map((n) => (ids.has(String(n.id)) ? change(n) : n)) }));

export function addNode(doc: Document, at: string, node: Omit<Node, "id">): [Document, Id] {
  const [next, id] = take(doc, "node");
  const order = canvasOf(next, at).nodes.length;
  const whole = { ...node, id, flags: node.flags ?? {}, order, mode: node.mode ?? 0 } as Node;
  return [edit(next, at, (c) => ({ ...c, nodes: [...c.nodes, whole] })), id];
}

/** unlink takes links away, from the table and from both ends. */
export function unlink(doc: Document, at: string, ids: Set<number>): Document {
  if (ids.size === 0) return doc;
  return edit(doc, at, (c) => {
    const changed: Canvas = { ...c, links: c.links.filter((l) => !ids.has(readLink(l)?.id ?? -1)), nodes: c.nodes.map((n) => cut(n, ids)) };
    for (const key of ["inputs", "outputs"] as const) { // the ends of a subgraph
      const slots = (c as Definition)[key];
      if (Array.isArray(slots)) changed[key] = slots.map((s) => Array.isArray(s.linkIds) ? { ...s, linkIds: s.linkIds.filter((l) => !ids.has(l as number)) } : s);
    }
    return dropLinks(changed, ids);
  });
}

function cut(n: Node, ids: Set<number>): Node {
  const inputs = n.inputs?.some((s) => s.link != null && ids.has(s.link)) ? n.inputs.map((s) => (s.link != null && ids.has(s.link) ? { ...s, link: null } : s)) : n.inputs;
  const outputs = n.outputs?.some((s) => s.links?.some((l) => ids.has(l)))
    ? n.outputs.map((s) => (s.links ? { ...s, links: s.links.filter((l) => !ids.has(l)) } : s))
    : n.outputs;
  return inputs === n.inputs && outputs === n.outputs ? n : { ...n, inputs, outputs };
}

export interface From { id: Id; slot: number; name: string; type: string }
export interface To { id: Id; name: string; type: string; widget: boolean }

/** connect links an output to an input, which gives up the link it had. The file's slots are made where it has none. Inside a
 * subgraph both may be its own ends: then a slot is known by its index. */
export function connect(doc: Document, at: string, from: From, to: To): Document {
  const intoEnd = at !== "" && Number(to.id) === outputNode, outOfEnd = at !== "" && Number(from.id) === inputNode;
  const target = canvasOf(doc, at).nodes.find((n) => n.id === to.id);
  if (!target && !intoEnd) return doc;
  const old = intoEnd ? [...linksOf(canvasOf(doc, at)).values()].find((l) => Number(l.to) === outputNode && l.toSlot === Number(to.name))?.id
    : target!.inputs?.find((s) => s.name === to.name)?.link;
  let next = old != null ? unlink(doc, at, new Set([old])) : doc;
  let link: number;
  [next, link] = take(next, "link");
  if (intoEnd) next = edit(next, at, (c) => ({ ...c, outputs: named((c as Definition).outputs, Number(to.name), (s) => ({ ...s, linkIds: [link] })) }));
  else next = updateNode(next, at, to.id, (n) => {
    const inputs = [...(n.inputs ?? [])];
    const i = inputs.findIndex((s) => s.name === to.name);
    if (i >= 0) inputs[i] = { ...inputs[i], link };
    else inputs.push({ name: to.name, type: to.type, link, ...(to.widget ? { widget: { name: to.name } } : {}) });
    return { ...n, inputs };
  });
  if (outOfEnd) next = edit(next, at, (c) => ({ ...c, inputs: named((c as Definition).inputs, from.slot, (s) => ({ ...s, linkIds: [...((s.linkIds as number[]) ?? []), link] })) }));
  else next = updateNode(next, at, from.id, (n) => {
    const outputs = [...(n.outputs ?? [])];
    while (outputs.length < from.slot) outputs.push({ name: "", type: "*", links: [] });
    const own = outputs[from.slot] ?? { name: from.name, type: from.type, links: [] };
    outputs[from.slot] = { ...own, links: [...(own.links ?? []), link] };
    return { ...n, outputs };
  });
  const toSlot = intoEnd ? Number(to.name) : canvasOf(next, at).nodes.find((n) => n.id === to.id)!.inputs!.findIndex((s) => s.name === to.name);
  const made: Link = { id: link, from: from.id, fromSlot: from.slot, to: to.id, toSlot, type: from.type };
  return edit(next, at, (c) => ({ ...c, links: [...c.links, writeLink(made, usesObjects(doc, at) ? undefined : [])] }));
}

const named = (slots: FileSlot[] | undefined, index: number, change: (s: FileSlot) => FileSlot) => (slots ?? []).map((s, i) => (i === index ? change(s) : s));

/** removeNodes takes nodes and their links away. */
export function removeNodes(doc: Document, at: string, ids: Set<string>): Document {
  const dead = new Set<number>();
  for (const l of linksOf(canvasOf(doc, at)).values()) if (ids.has(String(l.from)) || ids.has(String(l.to))) dead.add(l.id);
  return edit(unlink(doc, at, dead), at, (c) => ({ ...c, nodes: c.nodes.filter((n) => !ids.has(String(n.id))) }));
}

/** setWidget puts a value where the file keeps it; the array grows with the defaults given. */
export function setWidget(n: Node, at: number | string, value: Json, fill: Json[]): Node {
  if (typeof at === "string") return { ...n, widgets_values: { ...(n.widgets_values as Obj), [at]: value } };
  const values = Array.isArray(n.widgets_values) ? [...n.widgets_values] : [];
  for (let i = values.length; i < at; i++) values[i] = fill[i] ?? null;
  values[at] = value;
  return { ...n, widgets_values: values };
}

export const pair = (v: Json | undefined, fallback: [number, number]): [number, number] => {
  if (Array.isArray(v)) return [Number(v[0]) || 0, Number(v[1]) || 0];
  if (isObj(v)) return [Number(v["0"]) || 0, Number(v["1"]) || 0];
  return fallback;
};

/** setPair writes a position or size in the form the file has it in. */
export const setPair = (old: Json | undefined, x: number, y: number): Json =>
  isObj(old) ? { ...old, "0": x, "1": y } : Array.isArray(old) ? [x, y, ...old.slice(2)] : [x, y];

/** copy takes nodes, the links among them and the definitions they use out of a document. */
export function copy(doc: Document, at: string, ids: Set<string>): Obj {
  const c = canvasOf(doc, at);
  const nodes = c.nodes.filter((n) => ids.has(String(n.id)));
  const links = [...linksOf(c).values()].filter((l) => ids.has(String(l.from)) && ids.has(String(l.to)));
  const uses = definitions(doc).length > 0 && nodes.some((n) => definitionOf(doc, n.type));
  const from = [...linksOf(c).values()].filter((l) => !ids.has(String(l.from)) && ids.has(String(l.to))); // for a paste that keeps them
  return { graphrun: 1, nodes, links, from, ...carry(c, new Set(links.map((l) => l.id))), subgraphs: uses ? definitions(doc) : [] } as unknown as Obj;
}

/** paste puts a copy with its corner at x, y; linked, it is fed by what the nodes copied were. It returns the ids of the new nodes. */
export function paste(doc: Document, at: string, clip: Obj, x: number, y: number, linked = false): [Document, Id[]] {
  const nodes = clip.nodes as unknown as Node[];
  const left = Math.min(...nodes.map((n) => pair(n.pos, [0, 0])[0]));
  const top = Math.min(...nodes.map((n) => pair(n.pos, [0, 0])[1]));
  const ids = new Map<string, Id>();
  let next = doc;
  const missing = ((clip.subgraphs as unknown as Definition[]) ?? []).filter((d) => !definitionOf(doc, d.id));
  if (missing.length) next = { ...next, definitions: { ...next.definitions, subgraphs: [...definitions(next), ...missing] } };
  for (const n of nodes) {
    const [px, py] = pair(n.pos, [0, 0]);
    const fresh = {
      ...n, pos: setPair(n.pos, px - left + x, py - top + y), inputs: n.inputs?.map((s) => ({ ...s, link: null })),
      outputs: n.outputs?.map((s) => ({ ...s, links: [] })),
    };
    let id: Id;
    [next, id] = addNode(next, at, fresh);
    ids.set(String(n.id), id);
  }
  const made = new Map<number, number>(); // the new links by the old
  const inner = clip.links as unknown as Link[], outer = linked && Array.isArray(clip.from) ? (clip.from as unknown as Link[]) : [];
  for (const l of [...inner, ...outer]) {
    const from = nodes.find((n) => n.id === l.from) ?? canvasOf(doc, at).nodes.find((n) => n.id === l.from);
    if (!from) continue;
    const to = nodes.find((n) => n.id === l.to)!;
    const slot = to.inputs?.find((s) => s.link === l.id) ?? to.inputs?.[l.toSlot];
    if (!slot) continue;
    next = connect(next, at, { id: ids.get(String(l.from)) ?? from.id, slot: l.fromSlot, name: String(from.outputs?.[l.fromSlot]?.name ?? ""), type: l.type },
      { id: ids.get(String(l.to))!, name: slot.name, type: String(slot.type), widget: slot.widget != null });
    made.set(l.id, readLink(canvasOf(next, at).links.at(-1)!)!.id);
  }
  if (Array.isArray(clip.bends)) next = edit(next, at, (c) => plant(next, c, clip as unknown as Carried, made, x - left, y - top));
  return [next, [...ids.values()]];
}
