// Subgraphs: their inputs and outputs, making one of nodes, and taking one apart.
import {
  addNode, canvasOf, connect, definitionOf, definitions, edit, inputNode, linksOf, outputNode, pair, paste, readLink, removeNodes, setWidget, unlink, updateNode, writeLink,
  type Canvas, type Definition, type Document, type FileSlot, type Id, type Link, type Node,
} from "./document";
import { bendsOf, carry, parents } from "./reroute";
import type { Json } from "./json";
import { widgetsOf, type Classes } from "./schema";
import { promotedWidgets } from "./subgraph";

export type Side = "input" | "output";

/** unique is a name that no slot has yet. */
function unique(name: string, slots: FileSlot[]): string {
  const taken = new Set(slots.map((s) => s.name));
  let next = name || "slot";
  for (let i = 1; taken.has(next); i++) next = `${name || "slot"}_${i}`;
  return next;
}

const updateDefinition = (doc: Document, at: string, change: (d: Definition) => Definition): Document => edit(doc, at, (c) => change(c as Definition) as Canvas);

/** addSlot gives a subgraph an input or output more, its last. */
export function addSlot(doc: Document, at: string, side: Side, name: string, type: string, classes: Classes): Document {
  const key = `${side}s` as const;
  return reseat(doc, updateDefinition(doc, at, (d) => {
    const slots = d[key] ?? [];
    return { ...d, [key]: [...slots, { id: crypto.randomUUID(), name: unique(name, slots), type, linkIds: [] }] };
  }), at, classes);
}

/** renameSlot gives an input or output another label; its name, by which instances know it, stays. */
export function renameSlot(doc: Document, at: string, side: Side, index: number, label: string): Document {
  const key = `${side}s` as const, name = definitionOf(doc, at)?.[key]?.[index]?.name;
  if (name === undefined) return doc;
  const put = (s: FileSlot): FileSlot => ({ ...s, label: label || undefined });
  const next = updateDefinition(doc, at, (d) => ({ ...d, [key]: d[key]!.map((s, i) => (i === index ? put(s) : s)) }));
  return instances(next, at).reduce((doc, { where, node }) => updateNode(doc, where, node.id, (n) => ({ ...n, [key]: n[key]?.map((s) => (s.name === name ? put(s) : s)) })), next);
}

/** removeSlot takes an input or output away, with the links to it, inside and at every instance. */
export function removeSlot(doc: Document, at: string, side: Side, index: number, classes: Classes): Document {
  const key = `${side}s` as const, end = side === "input" ? inputNode : outputNode;
  const def = definitionOf(doc, at);
  if (!def?.[key]?.[index]) return doc;
  let next = doc;
  const dead = [...linksOf(def).values()].filter((l) => (side === "input" ? Number(l.from) === end && l.fromSlot === index : Number(l.to) === end && l.toSlot === index));
  next = cutLinks(next, at, dead);
  next = updateDefinition(next, at, (d) => ({
    ...d, [key]: d[key]!.filter((_, i) => i !== index),
    links: d.links.map((raw) => {
      const l = readLink(raw);
      if (!l) return raw;
      if (side === "input" && Number(l.from) === end && l.fromSlot > index) return writeLink({ ...l, fromSlot: l.fromSlot - 1 }, raw);
      if (side === "output" && Number(l.to) === end && l.toSlot > index) return writeLink({ ...l, toSlot: l.toSlot - 1 }, raw);
      return raw;
    }),
  }));
  const name = def[key]![index].name;
  for (const { where, node } of instances(doc, at)) {
    const of = [...linksOf(canvasOf(next, where)).values()];
    const own = node.inputs?.find((s) => s.name === name)?.link;
    next = cutLinks(next, where, of.filter((l) => (side === "input" ? l.id === own : String(l.from) === String(node.id) && l.fromSlot === index)));
    next = updateNode(next, where, node.id, (n) => ({ ...n, [key]: n[key]?.filter((s, i) => (side === "input" ? s.name !== name : i !== index)) }));
    next = edit(next, where, (c) => ({
      ...c, links: c.links.map((raw) => {
        const l = readLink(raw);
        if (!l || side === "input" || String(l.from) !== String(node.id) || l.fromSlot < index) return raw;
        return writeLink({ ...l, fromSlot: l.fromSlot - 1 }, raw);
      }),
    }));
  }
  return reseat(doc, next, at, classes);
}

function cutLinks(doc: Document, at: string, links: Link[]): Document {
  return links.length ? unlink(doc, at, new Set(links.map((l) => l.id))) : doc;
}

/** instances lists the nodes that stand for a subgraph, anywhere. */
function instances(doc: Document, def: string): { where: string; node: Node }[] {
  return ["", ...definitions(doc).map((d) => d.id)].flatMap((where) => canvasOf(doc, where).nodes.filter((n) => n.type === def).map((node) => ({ where, node })));
}

/** reseat gives every instance the slots that its definition has now, and its widgets the values they had. */
export function reseat(before: Document, after: Document, def: string, classes: Classes): Document {
  const d = definitionOf(after, def);
  if (!d) return after;
  let next = after;
  for (const { where, node } of instances(after, def)) {
    const was = canvasOf(before, where).nodes.find((n) => n.id === node.id) ?? node;
    const had = new Map(promotedWidgets(before, was, classes).map((w) => [w.name, w.value]));
    const linked = new Set(promotedWidgets(after, { ...node, properties: {} }, classes).map((w) => w.name));
    const file = new Map((node.inputs ?? []).map((s) => [s.name, s]));
    const inputs = (d.inputs ?? []).map((s): FileSlot => {
      const { widget: _, ...own } = file.get(s.name) ?? { name: s.name, type: s.type, link: null, ...(s.label ? { label: s.label } : {}) };
      return { ...own, type: s.type, ...(linked.has(s.name) ? { widget: { name: s.name } } : {}) };
    });
    const outputs = (d.outputs ?? []).map((s, i): FileSlot => ({ ...(node.outputs?.[i] ?? { name: s.name, links: [], ...(s.label ? { label: s.label } : {}) }), type: s.type }));
    const proxies = node.properties?.proxyWidgets;
    let properties = node.properties;
    if (Array.isArray(proxies)) {
      const names = new Set((d.inputs ?? []).map((s) => s.name)), listed = new Set<string>();
      const kept = proxies.filter((p) => !Array.isArray(p) || String(p[0]) !== "-1" || (names.has(String(p[1])) && linked.has(String(p[1]))));
      for (const p of kept) if (Array.isArray(p)) listed.add(String(p[1]));
      properties = { ...node.properties, proxyWidgets: [...kept, ...[...linked].filter((name) => !listed.has(name)).map((name) => ["-1", name])] };
    }
    const fresh: Node = { ...node, inputs, outputs, properties };
    const list = promotedWidgets(after, { ...fresh, widgets_values: [] }, classes);
    const values = list.map((w) => had.get(w.name) ?? w.value ?? null);
    const stored = fresh.widgets_values;
    next = updateNode(next, where, node.id, () => ({ ...fresh, ...(Array.isArray(stored) || stored == null ? { widgets_values: values } : {}) }));
    next = edit(next, where, (c) => ({
      ...c, links: c.links.map((raw) => {
        const l = readLink(raw);
        const i = l && String(l.to) === String(node.id) ? inputs.findIndex((s) => s.link === l.id) : -1;
        return l && i >= 0 && i !== l.toSlot ? writeLink({ ...l, toSlot: i }, raw) : raw;
      }),
    }));
  }
  return next;
}

/** closes tells whether nodes cannot become one: a way leads out of them and back in. */
export function closes(c: Canvas, ids: Set<string>): boolean {
  const next = new Map<string, string[]>();
  for (const l of linksOf(c).values()) (next.get(String(l.from)) ?? next.set(String(l.from), []).get(String(l.from))!).push(String(l.to));
  const open = [...ids].flatMap((id) => next.get(id) ?? []).filter((id) => !ids.has(id)), seen = new Set<string>();
  while (open.length) {
    const id = open.pop()!;
    if (ids.has(id)) return true;
    if (!seen.has(id)) { seen.add(id); open.push(...(next.get(id) ?? [])); }
  }
  return false;
}

/** pack makes a subgraph of nodes; what was linked into and out of them becomes its inputs and outputs. It returns the instance's id. */
export function pack(doc: Document, at: string, ids: Set<string>, name: string, classes: Classes): [Document, Id] {
  const c = canvasOf(doc, at);
  const nodes = c.nodes.filter((n) => ids.has(String(n.id)));
  const all = [...linksOf(c).values()], isIn = (id: Id) => ids.has(String(id));
  const within = all.filter((l) => isIn(l.from) && isIn(l.to)), into = all.filter((l) => !isIn(l.from) && isIn(l.to)), outOf = all.filter((l) => isIn(l.from) && !isIn(l.to));
  const box = nodes.map((n) => [...pair(n.pos, [0, 0]), ...pair(n.size, [210, 60])]);
  const left = Math.min(...box.map((b) => b[0])), top = Math.min(...box.map((b) => b[1])), right = Math.max(...box.map((b) => b[0] + b[2]));
  const id = crypto.randomUUID();
  const inner = new Set(within.map((l) => l.id)), last = parents(c);
  const bends = [...bendsOf(c).values()].filter((b) => b.linkIds?.length && b.linkIds.every((l) => inner.has(l)));
  const kept = new Set(bends.map((b) => b.id));
  const cut = (n: Node): Node => ({
    ...n, inputs: n.inputs?.map((s) => (s.link != null && !inner.has(s.link) ? { ...s, link: null } : s)),
    outputs: n.outputs?.map((s) => ({ ...s, links: s.links?.filter((l) => inner.has(l)) ?? [] })),
  });
  const high = (count: number) => 40 + 20 * Math.max(1, count);
  const groups = new Set(into.map((l) => `${l.from}/${l.fromSlot}`)).size;
  const def: Definition = {
    id, version: 1, state: { lastGroupId: 0, lastNodeId: Number(doc.last_node_id ?? doc.state?.lastNodeId ?? 0), lastLinkId: Number(doc.last_link_id ?? doc.state?.lastLinkId ?? 0), lastRerouteId: Math.max(0, ...bends.map((b) => b.id)) }, revision: 0, config: {}, name,
    inputNode: { id: inputNode, bounding: [left - 220, top, 120, high(groups)] }, outputNode: { id: outputNode, bounding: [right + 100, top, 120, high(outOf.length)] },
    inputs: [], outputs: [], widgets: [] as never, nodes: nodes.map(cut), groups: [],
    links: within.map((l) => ({ ...(writeLink(l) as object), ...(kept.has(last.get(l.id)!) ? { parentId: last.get(l.id)! } : {}) }) as Json),
    ...(bends.length ? { reroutes: bends as unknown as Json } : {}), extra: {},
  };
  let next: Document = { ...doc, definitions: { ...doc.definitions, subgraphs: [...definitions(doc), def] } };
  next = removeNodes(next, at, ids);
  let made: Id;
  [next, made] = addNode(next, at, { type: id, pos: [left, top], size: [240, 60], inputs: [], outputs: [], properties: {}, widgets_values: [] });

  const entry = new Map<string, number>(); // the subgraph's input for each outer output
  for (const l of into) {
    const key = `${l.from}/${l.fromSlot}`, target = nodes.find((n) => String(n.id) === String(l.to))!;
    const slot = target.inputs!.find((s) => s.link === l.id) ?? target.inputs![l.toSlot];
    const type = l.type === "*" ? String(slot.type) : l.type, known = entry.has(key);
    if (!known) {
      entry.set(key, entry.size);
      next = addSlot(next, id, "input", String(slot.label ?? slot.name), type, classes);
    }
    const i = entry.get(key)!, input = definitionOf(next, id)!.inputs![i];
    next = connect(next, id, { id: inputNode, slot: i, name: input.name, type }, { id: l.to, name: slot.name, type: String(slot.type), widget: slot.widget != null });
    if (!known) {
      const from = c.nodes.find((n) => String(n.id) === String(l.from));
      next = connect(next, at, { id: l.from, slot: l.fromSlot, name: String(from?.outputs?.[l.fromSlot]?.name ?? ""), type }, { id: made, name: input.name, type, widget: false });
    }
  }
  const exit = new Map<string, number>();
  for (const l of outOf) {
    const key = `${l.from}/${l.fromSlot}`, source = nodes.find((n) => String(n.id) === String(l.from))!;
    const out = source.outputs?.[l.fromSlot], type = String(out?.type ?? l.type);
    if (!exit.has(key)) {
      exit.set(key, exit.size);
      next = addSlot(next, id, "output", String(out?.label ?? out?.name ?? type), type, classes);
      next = connect(next, id, { id: l.from, slot: l.fromSlot, name: String(out?.name ?? ""), type }, { id: outputNode, name: String(exit.get(key)), type, widget: false });
    }
    const i = exit.get(key)!, to = endpoint(c, l);
    if (to) next = connect(next, at, { id: made, slot: i, name: definitionOf(next, id)!.outputs![i].name, type }, to);
  }
  next = reseat(next, next, id, classes);
  const d = definitionOf(next, id)!;
  const rows = Math.max(d.inputs!.length, d.outputs!.length);
  return [updateNode(next, at, made, (n) => ({ ...n, size: [240, 40 + 24 * rows] })), made];
}

/** endpoint is the input that a link enters. */
function endpoint(c: Canvas, l: Link): { id: Id; name: string; type: string; widget: boolean } | null {
  if (Number(l.to) === outputNode) return { id: outputNode, name: String(l.toSlot), type: l.type, widget: false };
  const n = c.nodes.find((n) => String(n.id) === String(l.to));
  const slot = n?.inputs?.find((s) => s.link === l.id) ?? n?.inputs?.[l.toSlot];
  return n && slot ? { id: n.id, name: slot.name, type: String(slot.type), widget: slot.widget != null } : null;
}

/** unpack puts a subgraph's nodes in the place of an instance, with the values it shows. It returns their ids. */
export function unpack(doc: Document, at: string, id: Id, classes: Classes): [Document, Id[]] {
  const outer = canvasOf(doc, at), node = outer.nodes.find((n) => n.id === id), def = node && definitionOf(doc, node.type);
  if (!node || !def) return [doc, []];
  const links = [...linksOf(def).values()], [x, y] = pair(node.pos, [0, 0]);
  let next = doc, made: Id[];
  const inner = links.filter((l) => Number(l.from) !== inputNode && Number(l.to) !== outputNode);
  [next, made] = def.nodes.length ? paste(next, at, { nodes: def.nodes, links: inner, ...carry(def, new Set(inner.map((l) => l.id))) } as never, x, y) : [next, []];
  const of = new Map(def.nodes.map((n, i) => [String(n.id), made[i]]));
  next = spread(next, at, node, def, of, classes);
  if (node.mode === 2 || node.mode === 4) for (const one of made) next = updateNode(next, at, one, (n) => ({ ...n, mode: n.mode ? n.mode : node.mode }));

  const outerLinks = linksOf(outer);
  const origin = (slot: number) => { // what feeds an input of the instance
    const l = outerLinks.get(node.inputs?.find((s) => s.name === def.inputs?.[slot]?.name)?.link ?? -1);
    return l && { id: l.from, slot: l.fromSlot, name: String(outer.nodes.find((n) => n.id === l.from)?.outputs?.[l.fromSlot]?.name ?? ""), type: l.type };
  };
  const joins: [{ id: Id; slot: number; name: string; type: string }, { id: Id; name: string; type: string; widget: boolean }][] = [];
  for (const l of links) {
    const from = Number(l.from) === inputNode ? origin(l.fromSlot)
      : { id: of.get(String(l.from))!, slot: l.fromSlot, name: String(def.nodes.find((n) => n.id === l.from)?.outputs?.[l.fromSlot]?.name ?? ""), type: l.type };
    if (!from || (Number(l.from) !== inputNode && Number(l.to) !== outputNode)) continue;
    if (Number(l.to) !== outputNode) {
      const to = endpoint(def, l);
      if (to) joins.push([from, { ...to, id: of.get(String(l.to))! }]);
    } else for (const o of outerLinks.values()) {
      const to = String(o.from) === String(id) && o.fromSlot === l.toSlot && endpoint(outer, o);
      if (to) joins.push([from, to]);
    }
  }
  next = removeNodes(next, at, new Set([String(id)]));
  for (const [from, to] of joins) next = connect(next, at, from, to);
  if (def.groups?.length) {
    const dx = x - Math.min(...def.nodes.map((n) => pair(n.pos, [0, 0])[0])), dy = y - Math.min(...def.nodes.map((n) => pair(n.pos, [0, 0])[1]));
    next = edit(next, at, (c) => ({ ...c, groups: [...(c.groups ?? []), ...def.groups!.map((g) => ({ ...g, bounding: [g.bounding[0] + dx, g.bounding[1] + dy, ...g.bounding.slice(2)] }))] }));
  }
  if (instances(next, def.id).length === 0) next = { ...next, definitions: { ...next.definitions, subgraphs: definitions(next).filter((d) => d.id !== def.id) } };
  return [next, made];
}

/** spread writes the values of an instance's widgets to the nodes that it was made of. */
function spread(doc: Document, at: string, node: Node, def: Definition, of: Map<string, Id>, classes: Classes): Document {
  const links = [...linksOf(def).values()];
  for (const w of promotedWidgets(doc, node, classes)) {
    const proxy = Array.isArray(node.properties?.proxyWidgets) && typeof w.at === "number" ? (node.properties.proxyWidgets[w.at] as Json[]) : null;
    const targets: [string, string][] = proxy && String(proxy[0]) !== "-1" ? [[String(proxy[0]), String(proxy[1])]]
      : links.filter((l) => Number(l.from) === inputNode && def.inputs?.[l.fromSlot]?.name === w.name).flatMap((l) => { const to = endpoint(def, l); return to ? [[String(to.id), to.name] as [string, string]] : []; });
    for (const [inner, name] of targets) {
      const made = of.get(inner);
      if (made === undefined) continue;
      doc = updateNode(doc, at, made, (n) => {
        const cls = classes.get(n.type), list = cls ? widgetsOf(cls, n) : promotedWidgets(doc, n, classes);
        const one = list.find((w) => w.name === name);
        return one ? setWidget(n, one.at, w.value, list.map((w) => w.value)) : n;
      });
    }
  }
  return doc;
}
