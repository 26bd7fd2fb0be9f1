import { useEffect, useMemo, useRef, useState } from "react";
import { addNode, definitions, setWidget, updateNode, type Node } from "../model/document";
import type { Obj } from "../model/json";
import { nodeSize } from "../model/layout";
import { compatible, defaults, widgetsOf, type Class, type Input } from "../model/schema";
import { change, here, select, useEditor, type Pending } from "../store";
import { fitting, join, nodeOf } from "./links";
import { typeColour } from "./colour";

interface Item { type: string; title: string; category: string; tip: string; class?: Class; rank: number }

/** reaches lists the types that a class's sockets of one side have. */
function reaches(c: Class, side: "inputs" | "outputs"): string[] {
  if (side === "outputs") return c.outputs.map((o) => o.type);
  const walk = (list: Input[]): string[] => list.flatMap((i) => (i.grow ? walk(i.grow.inputs) : i.keys ? [] : [i.type]));
  return walk(c.inputs);
}

/** rank is how well words match, lower is better; -1 not at all. */
export function rank(words: string[], title: string, name: string, category: string): number {
  let sum = 0;
  for (const w of words) {
    const t = title.toLowerCase(), n = name.toLowerCase();
    if (t.startsWith(w) || n.startsWith(w)) sum += 0;
    else if (t.includes(" " + w)) sum += 1;
    else if (t.includes(w) || n.includes(w)) sum += 2;
    else if (category.toLowerCase().includes(w)) sum += 6;
    else {
      let i = 0;
      for (const ch of n) if (ch === w[i]) i++;
      if (i < w.length) return -1;
      sum += 12;
    }
  }
  return sum + title.length / 1000;
}

export function Palette() {
  const open = useEditor((s) => s.palette);
  const classes = useEditor((s) => s.classes);
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const from = open?.from;
  useEffect(() => { setQuery(""); setAt(0); }, [open]);
  const items = useMemo(() => {
    if (!open) return [];
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const found: Item[] = [];
    const add = (type: string, title: string, category: string, tip: string, c?: Class) => {
      const r = rank(words, title, type, category);
      if (r >= 0) found.push({ type, title, category, tip, class: c, rank: r + (c?.deprecated ? 50 : 0) });
    };
    for (const c of classes.values()) {
      if (from && !reaches(c, from.side === "output" ? "inputs" : "outputs").some((t) => (from.side === "output" ? compatible(from.type, t) : compatible(t, from.type)) && (t !== "*" || query))) continue;
      add(c.name, c.title, c.category, c.description, c);
    }
    add("Reroute", "Reroute", "editor", "A bend in a link.");
    if (!from) {
      add("Note", "Note", "editor", "A text on the canvas.");
      add("MarkdownNote", "Markdown Note", "editor", "A text on the canvas.");
      for (const d of definitions(useEditor.getState().doc)) add(d.id, d.name, "subgraphs", "A subgraph of this workflow.");
    }
    if (!from || from.side === "input") add("PrimitiveNode", "Primitive", "editor", "A value for one or more widgets.");
    return found.sort((a, b) => a.rank - b.rank || a.title.localeCompare(b.title)).slice(0, 200);
  }, [open, classes, query]);
  useEffect(() => { list.current?.querySelector(".at")?.scrollIntoView({ block: "nearest" }); }, [at]);
  if (!open) return null;
  const close = () => useEditor.setState({ palette: null });
  const pick = (i: Item | undefined) => { if (i) { close(); place(i.type, i.class, open.at, from); } };
  return <div className="shade" onPointerDown={(e) => { if (e.target === e.currentTarget) close(); }}>
    <div className="palette" role="dialog" aria-label="Add a node" style={{ left: Math.max(8, Math.min(open.x, innerWidth - 400)), top: Math.max(8, Math.min(open.y, innerHeight - 420)) }}
      onKeyDown={(e) => {
        e.stopPropagation();
        if (e.key === "ArrowDown") setAt(Math.min(at + 1, items.length - 1));
        else if (e.key === "ArrowUp") setAt(Math.max(at - 1, 0));
        else if (e.key === "Enter") pick(items[at]);
        else if (e.key === "Escape") close();
        else return;
        e.preventDefault();
      }}>
      {from && <p className="filter"><i style={{ background: typeColour(from.type) }} />{from.side === "output" ? "takes" : "gives"} {from.type}</p>}
      <input autoFocus placeholder="Search nodes" aria-label="Search nodes" value={query} onChange={(e) => { setQuery(e.target.value); setAt(0); }} />
      <div ref={list} className="items" role="listbox" aria-label="nodes">
        {items.map((i, k) => <div key={i.type} role="option" aria-selected={k === at} className={k === at ? "at" : ""} onPointerMove={() => setAt(k)} onClick={() => pick(i)}>
          <b>{i.title}</b><small>{i.category}</small></div>)}
        {items.length === 0 && <p>No node matches.</p>}
      </div>
      {items[at]?.tip && <p className="tip">{items[at].tip}</p>}
    </div>
  </div>;
}

/** bare is a new node of a type, without an id. */
export function bare(type: string, cls: Class | undefined, at: [number, number]): Omit<Node, "id"> {
  const pos = [Math.round(at[0]), Math.round(at[1])];
  const def = definitions(useEditor.getState().doc).find((d) => d.id === type);
  if (def) return {
    type, pos, size: [240, 60 + 24 * Math.max(def.inputs?.length ?? 0, def.outputs?.length ?? 0)], properties: {}, widgets_values: [],
    inputs: (def.inputs ?? []).map((s) => ({ name: s.name, type: s.type, link: null })), outputs: (def.outputs ?? []).map((s) => ({ name: s.name, type: s.type, links: [] })),
  };
  if (cls) {
    const node = { type, pos, inputs: [], outputs: cls.outputs.map((o) => ({ name: o.name, type: o.type, links: [] })), properties: { "Node name for S&R": type }, widgets_values: defaults(cls) };
    return { ...node, size: nodeSize(cls, { id: 0, ...node }) };
  }
  switch (type) {
    case "Reroute":
      return { type, pos, size: [75, 26], inputs: [{ name: "", type: "*", link: null }], outputs: [{ name: "", type: "*", links: [] }], properties: { showOutputText: false, horizontal: false } };
    case "PrimitiveNode":
      return { type, pos, size: [210, 82], inputs: [], outputs: [{ name: "connect to widget input", type: "*", links: [] }], properties: { "Run widget replace on values": false }, widgets_values: [] };
  }
  return { type, pos, size: [240, 110], inputs: [], outputs: [], properties: {}, widgets_values: [""] };
}

/** place adds a node, linked to the socket that was dragged from, with values for some of its widgets. */
export function place(type: string, cls: Class | undefined, at: [number, number], from?: Pending, values: Obj = {}) {
  const where = here();
  const s = useEditor.getState();
  let [doc, id] = addNode(s.doc, where, bare(type, cls, at));
  for (const [name, v] of Object.entries(values)) doc = updateNode(doc, where, id, (n) => {
    const list = cls ? widgetsOf(cls, n) : [], w = list.find((w) => w.name === name);
    return w ? setWidget(n, w.at, v, list.map((w) => w.value)) : n;
  });
  if (from) {
    useEditor.setState({ doc }); // fitting looks at the document
    const n = nodeOf(id);
    const to = n && fitting(n, from);
    if (to) doc = join(doc, where, from, to);
    useEditor.setState({ doc: s.doc });
  }
  change(doc);
  select([String(id)]);
}
