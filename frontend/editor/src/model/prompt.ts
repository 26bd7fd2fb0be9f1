// A graph for a prompt in API format: nodes in columns from left to right, as far from the start as their links are deep.
import { addNode, canvasOf, connect, edit, empty, linksOf, pair, setPair, setWidget, updateNode, type Document, type Id, type Node } from "./document";
import { isObj, type Json, type Obj } from "./json";
import { defaults, slotsOf, widgetsOf, type Classes } from "./schema";
import { nodeSize } from "./layout";

interface PromptNode { class_type: string; inputs: Obj; title?: string }

export function fromPrompt(prompt: Obj, classes: Classes): Document {
  const nodes = new Map<string, PromptNode>();
  for (const [id, v] of Object.entries(prompt)) {
    if (!isObj(v)) continue;
    const meta = isObj(v._meta) ? v._meta : {};
    nodes.set(id, { class_type: String(v.class_type), inputs: isObj(v.inputs) ? v.inputs : {}, title: meta.title as string | undefined });
  }
  let doc = empty();
  const ids = new Map<string, Id>();
  const isLink = (v: Json): v is [string, number] => Array.isArray(v) && v.length === 2 && nodes.has(String(v[0]));
  for (const [id, p] of nodes) {
    const cls = classes.get(p.class_type);
    const outputs = cls?.outputs.map((o) => ({ name: o.name, type: o.type, links: [] as number[] })) ?? [];
    const node: Omit<Node, "id"> = {
      type: p.class_type, inputs: [], outputs, properties: { "Node name for S&R": p.class_type }, widgets_values: cls ? defaults(cls) : [],
    };
    if (p.title && p.title !== cls?.title) node.title = p.title;
    let made: Id;
    [doc, made] = addNode(doc, "", node);
    ids.set(id, made);
    if (!cls) continue;
    doc = updateNode(doc, "", made, (n) => fill(n, p, classes, isLink));
  }
  for (const [id, p] of nodes) {
    for (const [name, v] of Object.entries(p.inputs)) {
      if (!isLink(v)) continue;
      const from = nodes.get(String(v[0]))!;
      const out = classes.get(from.class_type)?.outputs[Number(v[1])];
      const target = doc.nodes.find((n) => n.id === ids.get(id))!;
      const slot = slotsOf(classes.get(p.class_type), target).find((s) => s.name === name);
      doc = connect(doc, "", { id: ids.get(String(v[0]))!, slot: Number(v[1]), name: out?.name ?? "", type: out?.type ?? "*" },
        { id: ids.get(id)!, name, type: slot?.type ?? "*", widget: slot?.widget ?? false });
    }
  }
  return arrange(doc, classes);
}

/** fill sets the widgets by name; a dynamic combo's value brings more of them, so it goes on until all are set. */
function fill(n: Node, p: PromptNode, classes: Classes, isLink: (v: Json) => boolean): Node {
  const cls = classes.get(n.type)!;
  const done = new Set<string>();
  for (;;) {
    const list = widgetsOf(cls, n);
    const w = list.find((w) => !done.has(w.name));
    if (!w) return n;
    done.add(w.name);
    const given = p.inputs[w.name];
    const value = w.kind === "control" ? "fixed" : given === undefined || isLink(given) ? w.value : isObj(given) && "__value__" in given ? given.__value__ : given;
    n = setWidget(n, w.at, value ?? null, list.map((w) => w.value));
  }
}

/** arrange lays a canvas's nodes out anew, those of a column in the order that they are in. */
export function arrange(doc: Document, classes: Classes, at = ""): Document {
  const c = canvasOf(doc, at);
  const feeds = new Map<string, string[]>();
  for (const l of linksOf(c).values()) (feeds.get(String(l.to)) ?? feeds.set(String(l.to), []).get(String(l.to))!).push(String(l.from));
  const depth = new Map<string, number>();
  const of = (id: string, seen: Set<string>): number => {
    if (depth.has(id)) return depth.get(id)!;
    if (seen.has(id)) return 0;
    seen.add(id);
    const d = Math.max(-1, ...(feeds.get(id) ?? []).map((from) => of(from, seen))) + 1;
    depth.set(id, d);
    return d;
  };
  const columns: Node[][] = [];
  for (const n of c.nodes) (columns[of(String(n.id), new Set())] ??= []).push(n);
  const place = new Map<Id, { pos: [number, number]; size: [number, number] }>();
  let x = 40;
  for (const column of columns) {
    let y = 40, wide = 0;
    for (const n of [...(column ?? [])].sort((a, b) => pair(a.pos, [0, 0])[1] - pair(b.pos, [0, 0])[1])) {
      const size = n.size ? pair(n.size, [210, 60]) : nodeSize(classes.get(n.type), n);
      place.set(n.id, { pos: [x, y], size });
      y += (n.flags?.collapsed ? 0 : size[1]) + 30 + 36;
      wide = Math.max(wide, size[0]);
    }
    x += wide + 80;
  }
  return edit(doc, at, (c) => ({ ...c, nodes: c.nodes.map((n) => {
    const p = place.get(n.id)!;
    return { ...n, pos: setPair(n.pos, ...p.pos), size: n.size ?? p.size };
  }) }));
}
