import { useEffect, useRef } from "react";
import type { Edge } from "@xyflow/react";
import { createPortal } from "react-dom";
import { definitionOf, edit, pair, removeNodes, setPair, unlink, updateNodes, type Group, type Id, type Node } from "../model/document";
import { closes, pack, unpack } from "../model/nest";
import { arrange } from "../model/prompt";
import { removeBends } from "../model/reroute";
import { canvas, change, clipText, enter, here, pasteText, select, toast, toggleFlag, toggleMode, useEditor } from "../store";
import { wayOf } from "./Canvas";
import { boxOf } from "./flow";
import { bendAt, nodeOf } from "./links";
import { place } from "./Palette";

export interface Entry { text: string; keys?: string; act?: () => void; paint?: (colour: string | undefined) => void; icons?: { text: string; icon: string; act: () => void }[] }

const dark = ["#332922", "#223326", "#222e3d", "#33293d", "#3d2929"], bright = ["#a1309b", "#3f789e", "#88aa33", "#b58b2a", "#888888"];

export function Menu({ x, y, entries, close }: { x: number; y: number; entries: Entry[]; close: () => void }) {
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => { first.current?.focus(); }, []);
  return createPortal(<div className="shade" onPointerDown={(e) => { if (e.target === e.currentTarget) close(); }} onContextMenu={(e) => { e.preventDefault(); close(); }}>
    <div className="menu" role="menu" style={{ left: Math.min(x, innerWidth - 230), top: Math.min(y, innerHeight - entries.length * 30 - 30) }}
      onKeyDown={(e) => {
        const all = [...e.currentTarget.querySelectorAll("button")];
        const i = all.indexOf(document.activeElement as HTMLButtonElement);
        if (e.key === "ArrowDown") all[(i + 1) % all.length].focus();
        else if (e.key === "ArrowUp") all[(i - 1 + all.length) % all.length].focus();
        else if (e.key === "Escape") close();
        else return;
        e.preventDefault();
        e.stopPropagation();
      }}>
      {entries.map((one, i) => one.paint
        ? <div key={i} className="colours">{(one.text === "group" ? bright : [undefined, ...dark]).map((c) => <button key={c ?? "none"} aria-label={`colour ${c ?? "none"}`} style={{ background: c ?? "var(--node)" }} onClick={() => { close(); one.paint!(c); }} />)}</div>
        : one.icons ? <div key={i} className="icons">{one.icons.map((x) => <button key={x.text} role="menuitem" title={x.text} aria-label={x.text} onClick={() => { close(); x.act(); }}>{x.icon}</button>)}</div>
        : <button key={i} ref={i === 0 ? first : undefined} role="menuitem" onClick={() => { close(); one.act?.(); }}><span>{one.text}</span><kbd>{one.keys}</kbd></button>)}
    </div>
  </div>, document.body);
}

export function nodeMenu(id: string): Entry[] {
  if (id.startsWith("bend:")) return [{ text: "Remove the bend", keys: "Del", act: () => { select([id]); removeAny(); } }];
  if (id.startsWith("group:")) return groupMenu(Number(id.slice(6)));
  const n = nodeOf(id);
  const def = n && definitionOf(useEditor.getState().doc, n.type);
  return [
    ...(def ? [{ text: "Open the subgraph", keys: "double click", act: () => enter(n!.id, def.id) }, { text: "Unpack the subgraph", act: () => unpackNode(n!.id) }] : []),
    { text: n?.flags?.collapsed ? "Unfold" : "Fold", keys: "Alt+C", act: () => toggleFlag("collapsed") },
    { text: n?.mode === 2 ? "Unmute" : "Mute", keys: "Ctrl+M", act: () => toggleMode(2) },
    { text: n?.mode === 4 ? "Do not bypass" : "Bypass", keys: "Ctrl+B", act: () => toggleMode(4) },
    { text: n?.flags?.pinned ? "Unpin" : "Pin", keys: "P", act: () => toggleFlag("pinned") },
    { text: "Duplicate", act: duplicate },
    { text: "Group the selection", keys: "Ctrl+G", act: groupSelected },
    { text: "Make a subgraph", keys: "Ctrl+Shift+E", act: packSelected },
    ...(selectedNodes().length > 1 ? [{ text: "", icons: aligns }] : []),
    { text: "node", paint: (c: string | undefined) => change((d, at) => updateNodes(d, at, useEditor.getState().selected, (n) => ({ ...n, color: c, bgcolor: c }))) },
    { text: "Delete", keys: "Del", act: removeAny },
  ];
}

export function linkMenu(edge: Edge, at: { x: number; y: number }): Entry[] {
  const id = Number(edge.id.slice(5));
  return [
    { text: "Bend the link here", keys: "Alt and click", act: () => bendAt(id, wayOf(edge), at) },
    { text: "Delete the link", keys: "Del", act: () => change((d, where) => unlink(d, where, new Set([id]))) },
  ];
}

export function canvasMenu(at: { x: number; y: number }, palette: () => void): Entry[] {
  return [
    { text: "Add a node", keys: "double click", act: palette },
    { text: "Add a note", act: () => place("Note", undefined, [at.x, at.y]) },
    { text: "Add a group", act: () => addGroup([at.x, at.y, 400, 260]) },
    { text: "Paste", keys: "Ctrl+V", act: () => navigator.clipboard?.readText().then((t) => pasteText(t, at.x, at.y)).catch(() => {}) },
    { text: "Paste with its links", keys: "Ctrl+Shift+V", act: () => navigator.clipboard?.readText().then((t) => pasteText(t, at.x, at.y, true)).catch(() => {}) },
    { text: "Select all", keys: "Ctrl+A", act: selectAll },
    { text: "Arrange all", act: () => change((d, where) => arrange(d, useEditor.getState().classes, where)) },
  ];
}

const selectedNodes = () => canvas().nodes.filter((n) => useEditor.getState().selected.has(String(n.id)));

/** align puts the selected nodes in line, or at even distances. */
function align(to: (all: DOMRect[]) => (b: DOMRect, i: number) => { x?: number; y?: number }) {
  const nodes = selectedNodes(), boxes = nodes.map((n) => { const [x, y] = pair(n.pos, [0, 0]), { width, height } = boxOf(n); return new DOMRect(x, y, width, height); });
  const put = to(boxes), at = new Map(nodes.map((n, i) => [n.id, put(boxes[i], i)]));
  change((d, where) => updateNodes(d, where, useEditor.getState().selected, (n) => { const p = at.get(n.id)!, [x, y] = pair(n.pos, [0, 0]); return { ...n, pos: setPair(n.pos, p.x ?? x, p.y ?? y) }; }));
}

/** even spreads boxes along an axis, with the same gap between each two. */
const even = (axis: "x" | "y", size: "width" | "height") => (all: DOMRect[]) => {
  const order = [...all].sort((a, b) => a[axis] - b[axis]), last = order.at(-1)!;
  const gap = (last[axis] + last[size] - order[0][axis] - all.reduce((sum, b) => sum + b[size], 0)) / (all.length - 1);
  const at = new Map<DOMRect, number>();
  order.reduce((from, b) => { at.set(b, Math.round(from)); return from + b[size] + gap; }, order[0][axis]);
  return (b: DOMRect) => ({ [axis]: at.get(b)! });
};

const aligns = [
  { text: "align left", icon: "⇤", act: () => align((all) => () => ({ x: Math.min(...all.map((b) => b.x)) })) },
  { text: "align right", icon: "⇥", act: () => align((all) => (b) => ({ x: Math.max(...all.map((b) => b.right)) - b.width })) },
  { text: "align top", icon: "⤒", act: () => align((all) => () => ({ y: Math.min(...all.map((b) => b.y)) })) },
  { text: "align bottom", icon: "⤓", act: () => align((all) => (b) => ({ y: Math.max(...all.map((b) => b.bottom)) - b.height })) },
  { text: "even gaps across", icon: "↔", act: () => align(even("x", "width")) },
  { text: "even gaps down", icon: "↕", act: () => align(even("y", "height")) },
];

function groupMenu(index: number): Entry[] {
  const [x, y, w, h] = canvas().groups?.[index]?.bounding ?? [0, 0, 0, 0];
  const own = canvas().nodes.filter((n) => { const [nx, ny] = pair(n.pos, [0, 0]), b = boxOf(n); return nx + b.width / 2 > x && nx + b.width / 2 < x + w && ny - 30 + b.height / 2 > y && ny - 30 + b.height / 2 < y + h; });
  const ids = new Set(own.map((n) => String(n.id)));
  const mode = (mode: number) => () => change((d, at) => updateNodes(d, at, ids, (n) => ({ ...n, mode })));
  const put = (g: Partial<Group>) => change((d, at) => edit(d, at, (c) => ({ ...c, groups: c.groups!.map((old, i) => (i === index ? { ...old, ...g } : old)) })));
  return [
    { text: "Select its nodes", act: () => select(ids) },
    ...(own.length ? [{ text: "Fit to its nodes", act: () => put({ bounding: around(own) }) }] : []),
    { text: "Mute its nodes", act: mode(2) }, { text: "Bypass its nodes", act: mode(4) }, { text: "Run its nodes", act: mode(0) },
    { text: "group", paint: (color) => put({ color }) },
    { text: "Remove the group", keys: "Del", act: () => removeGroup(index) },
  ];
}

/** around is the frame about nodes. */
function around(nodes: Node[]): number[] {
  const boxes = nodes.map((n) => [...pair(n.pos, [0, 0]), boxOf(n).width, boxOf(n).height - 30]);
  const left = Math.min(...boxes.map((b) => b[0])) - 20, top = Math.min(...boxes.map((b) => b[1])) - 75;
  return [left, top, Math.max(...boxes.map((b) => b[0] + b[2])) + 20 - left, Math.max(...boxes.map((b) => b[1] + b[3])) + 20 - top];
}

const addGroup = (bounding: number[]) =>
  change((d, at) => edit(d, at, (c) => ({ ...c, groups: [...(c.groups ?? []), { title: "Group", bounding, color: "#3f789e", font_size: 24, flags: {} }] })));

function duplicate() {
  const nodes = selectedNodes();
  if (nodes.length) pasteText(clipText(), Math.min(...nodes.map((n) => pair(n.pos, [0, 0])[0])) + 40, Math.min(...nodes.map((n) => pair(n.pos, [0, 0])[1])) + 40);
}

export function selectAll() { select(canvas().nodes.map((n) => String(n.id))); }

/** groupSelected draws a frame around the selected nodes. */
export function groupSelected() {
  const nodes = selectedNodes();
  if (nodes.length) addGroup(around(nodes));
}

const removeGroup = (index: number) => change((d, at) => edit(d, at, (c) => ({ ...c, groups: c.groups?.filter((_, i) => i !== index) })));

/** packSelected makes a subgraph of the selected nodes. */
export function packSelected() {
  const { doc, selected, classes } = useEditor.getState();
  const ids = new Set(canvas().nodes.map((n) => String(n.id)).filter((id) => selected.has(id)));
  if (!ids.size) return toast("Select the nodes that a subgraph is to be made of");
  if (closes(canvas(), ids)) return toast("These nodes cannot become one: a way leads out of them and back in. Select what lies on it too.", true);
  const [next, id] = pack(doc, here(), ids, "New Subgraph", classes);
  change(next);
  select([String(id)]);
}

function unpackNode(id: Id) {
  const { doc, classes } = useEditor.getState();
  const [next, made] = unpack(doc, here(), id, classes);
  change(next);
  select(made.map(String));
}

/** removeAny deletes what is selected: nodes, groups, links, bends. */
export function removeAny() {
  const { selected } = useEditor.getState();
  const of = (kind: string) => new Set([...selected].filter((id) => id.startsWith(kind)).map((id) => Number(id.slice(kind.length))));
  const groups = of("group:"), links = of("link:"), bends = of("bend:");
  if (!selected.size) return false;
  change((d, at) => edit(unlink(removeNodes(d, at, selected), at, links), at, (c) => {
    const rest = groups.size ? { ...c, groups: c.groups?.filter((_, i) => !groups.has(i)) } : c;
    return removeBends(rest, bends);
  }));
  select([]);
  return true;
}
