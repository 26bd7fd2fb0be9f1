import { useEffect, useRef } from "react";
import type { Edge } from "@xyflow/react";
import { createPortal } from "react-dom";
import { definitionOf, edit, pair, removeNodes, unlink, updateNodes, type Id } from "../model/document";
import { closes, pack, unpack } from "../model/nest";
import { removeBends } from "../model/reroute";
import { canvas, change, clipText, enter, here, pasteText, select, toast, toggleFlag, toggleMode, useEditor } from "../store";
import { wayOf } from "./Canvas";
import { bendAt, nodeOf } from "./links";
import { place } from "./Palette";

export interface Entry { text: string; keys?: string; act?: () => void; colours?: boolean }

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
      {entries.map((one, i) => one.colours
        ? <div key={i} className="colours">{[undefined, "#332922", "#223326", "#222e3d", "#33293d", "#3d2929"].map((c) => <button key={c ?? "none"} aria-label={`colour ${c ?? "none"}`} style={{ background: c ?? "var(--node)" }}
          onClick={() => { change((d, at) => updateNodes(d, at, useEditor.getState().selected, (n) => ({ ...n, color: c, bgcolor: c }))); close(); }} />)}</div>
        : <button key={i} ref={i === 0 ? first : undefined} role="menuitem" onClick={() => { close(); one.act?.(); }}><span>{one.text}</span><kbd>{one.keys}</kbd></button>)}
    </div>
  </div>, document.body);
}

export function nodeMenu(id: string): Entry[] {
  if (id.startsWith("bend:")) return [{ text: "Remove the bend", keys: "Del", act: () => { select([id]); removeAny(); } }];
  if (id.startsWith("group:")) return [{ text: "Remove the group", act: () => removeGroup(Number(id.slice(6))) }];
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
    { text: "", colours: true },
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
    { text: "Select all", keys: "Ctrl+A", act: selectAll },
  ];
}

const addGroup = (bounding: number[]) =>
  change((d, at) => edit(d, at, (c) => ({ ...c, groups: [...(c.groups ?? []), { title: "Group", bounding, color: "#3f789e", font_size: 24, flags: {} }] })));

function duplicate() {
  const nodes = canvas().nodes.filter((n) => useEditor.getState().selected.has(String(n.id)));
  if (!nodes.length) return;
  pasteText(clipText(), Math.min(...nodes.map((n) => pair(n.pos, [0, 0])[0])) + 40, Math.min(...nodes.map((n) => pair(n.pos, [0, 0])[1])) + 40);
}

export function selectAll() { select(canvas().nodes.map((n) => String(n.id))); }

/** groupSelected draws a frame around the selected nodes. */
export function groupSelected() {
  const nodes = canvas().nodes.filter((n) => useEditor.getState().selected.has(String(n.id)));
  if (!nodes.length) return;
  const boxes = nodes.map((n) => [...pair(n.pos, [0, 0]), ...pair(n.size, [210, 60])]);
  const left = Math.min(...boxes.map((b) => b[0])) - 20, top = Math.min(...boxes.map((b) => b[1])) - 75;
  const right = Math.max(...boxes.map((b) => b[0] + b[2])) + 20, bottom = Math.max(...boxes.map((b) => b[1] + b[3])) + 20;
  addGroup([left, top, right - left, bottom - top]);
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
