// The document that is edited, its past, and what is selected.
import { create } from "zustand";
import { canvasOf, copy, definitionOf, definitions, isDocument, isPrompt, pair, paste, setPair, updateNodes, type Canvas, type Document, type Id, type Node } from "./model/document";
import { reseat } from "./model/nest";
import type { When } from "./model/control";
import { fromPrompt } from "./model/prompt";
import { parse, stringify, type Json, type Obj } from "./model/json";
import type { Classes } from "./model/schema";
import { promotedWidgets } from "./model/subgraph";
import demo from "./demo.json";

export interface Step { id: string; def: string } // an instance on the way into subgraphs

interface Editor {
  classes: Classes;
  doc: Document;
  path: Step[];
  past: Document[];
  future: Document[];
  selected: Set<string>;
  name: string;
  fit: number; // counts up with each canvas that is shown: of another document, of a subgraph
  opened: number; // counts the documents opened
  theme: "dark" | "light";
  when: When; // whether seeds step after or before a prompt is queued
  ready: boolean; // the nodes are read, or cannot be
  far: 0 | 1 | 2; // the canvas is too far away for controls to be read, for titles too
  toasts: { id: number; text: string; bad: boolean }[];
  palette: null | { x: number; y: number; at: [number, number]; from?: Pending };
}

/** Pending is the socket that a link is drawn from. */
export interface Pending { node: Id; side: "input" | "output"; slot: number; name: string; type: string; widget: boolean }

const key = "graphrun.workflow", nameKey = "graphrun.name", themeKey = "graphrun.theme", whenKey = "graphrun.when";

export const useEditor = create<Editor>(() => ({
  classes: new Map(), ...restored(), path: [], past: [], future: [], selected: new Set<string>(), fit: 0, opened: 0, theme: theme(), when: kept(whenKey) === "before" ? "before" : "after", ready: false, far: 0, toasts: [], palette: null,
}));

const { getState: get, setState: set } = useEditor;

function restored(): { doc: Document; name: string } {
  try {
    const text = localStorage.getItem(key);
    const doc = text ? parse(text) : null;
    if (doc && isDocument(doc)) return { doc: doc as unknown as Document, name: localStorage.getItem(nameKey) ?? "workflow" };
  } catch { /* a browser without storage, or a broken file: the demo */ }
  return { doc: demo as unknown as Document, name: "demo" };
}

function kept(key: string): string | null {
  try { return localStorage.getItem(key); } catch { return null; }
}
function keepValue(key: string, value: string) {
  try { localStorage.setItem(key, value); } catch { /* lasts for this page */ }
}

function theme(): "dark" | "light" {
  const own = kept(themeKey);
  return own === "dark" || own === "light" ? own : matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

export function flipTheme() {
  const theme = get().theme === "light" ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  set({ theme });
  keepValue(themeKey, theme);
}

export function flipWhen() {
  const when = get().when === "after" ? "before" : "after";
  set({ when });
  keepValue(whenKey, when);
  toast(`Seeds change ${when} a prompt is queued`);
}

let saving: ReturnType<typeof setTimeout> | undefined;
const keep = () => {
  clearTimeout(saving);
  saving = undefined;
  try {
    localStorage.setItem(key, stringify(get().doc));
    localStorage.setItem(nameKey, get().name);
  } catch { /* full or forbidden: nothing is kept */ }
};
useEditor.subscribe((s, before) => {
  if (s.doc !== before.doc || s.name !== before.name) saving ??= setTimeout(keep, 300);
});
addEventListener("pagehide", () => { if (saving) keep(); });

export const here = (s: Editor = get()): string => s.path.at(-1)?.def ?? "";
export const canvas = (s: Editor = get()): Canvas => canvasOf(s.doc, here(s));
/** runKey is the id of a node in the prompt: the instances on the way, then its own. */
export const runKey = (path: Step[], id: Id): string => [...path.map((p) => p.id), id].join(":");

/** settled gives the instances of subgraphs whose links inside have changed the widgets that they show now. */
function settled(before: Document, after: Document, classes: Classes): Document {
  if (before.definitions === after.definitions) return after;
  const shown = (doc: Document, type: string) => promotedWidgets(doc, { id: 0, type }, classes).map((w) => w.name).join("\n");
  return definitions(after).reduce((doc, d) => (definitionOf(before, d.id) && shown(before, d.id) !== shown(after, d.id) ? reseat(before, doc, d.id, classes) : doc), after);
}

let lastTag = "", lastTime = 0;
/** change puts a new document in place; changes of one tag that follow at once are one step of undo. */
export function change(next: Document | ((doc: Document, at: string) => Document), tag = ""): void {
  const s = get();
  const made = typeof next === "function" ? next(s.doc, here(s)) : next;
  if (made === s.doc) return;
  const doc = typeof next === "function" ? settled(s.doc, made, s.classes) : made;
  const same = tag !== "" && tag === lastTag && performance.now() - lastTime < 1000;
  [lastTag, lastTime] = [tag, performance.now()];
  set({ doc, past: same ? s.past : [...s.past.slice(-199), s.doc], future: [] });
}

/** replace changes the document without a step of undo: seeds that go on after a queue. */
export const replace = (doc: Document) => set({ doc });

export function undo() {
  const { past, doc, future } = get();
  if (past.length) settle({ doc: past.at(-1)!, past: past.slice(0, -1), future: [doc, ...future] });
}
export function redo() {
  const { past, doc, future } = get();
  if (future.length) settle({ doc: future[0], past: [...past, doc], future: future.slice(1) });
}
function settle(s: Partial<Editor>) {
  lastTag = "";
  set(s);
  const { path, doc } = get();
  if (path.some((p) => !definitionOf(doc, p.def))) set({ path: [] });
}

export function open(doc: Document, name: string) {
  change(doc);
  set({ path: [], selected: new Set(), name, fit: get().fit + 1, opened: get().opened + 1 });
}

/** openTree opens the tree of a workflow of either form. */
export function openTree(tree: Json, name: string): boolean {
  if (isDocument(tree)) open(tree as unknown as Document, name);
  else if (isPrompt(tree)) open(fromPrompt(tree as Obj, get().classes), name);
  else return false;
  return true;
}

export const openDemo = () => open(demo as unknown as Document, "demo");

/** zoomed says how much of nodes can be seen: large graphs are drawn in outline where controls cannot be read. */
export function zoomed(zoom: number) {
  const far = canvas().nodes.length <= 100 || zoom >= 0.3 ? 0 : zoom >= 0.12 ? 1 : 2;
  if (far !== get().far) set({ far });
}

export function select(ids: Iterable<string>) { set({ selected: new Set(ids) }); }

/** toggleMode mutes (2) or bypasses (4), or makes the nodes run again when all are so already. */
export function toggleMode(mode: number) {
  const { selected } = get();
  const all = canvas().nodes.filter((n) => selected.has(String(n.id))).every((n) => n.mode === mode);
  if (selected.size) change((d, at) => updateNodes(d, at, selected, (n) => ({ ...n, mode: all ? 0 : mode })));
}

export function toggleFlag(flag: "collapsed" | "pinned") {
  const { selected } = get();
  const all = canvas().nodes.filter((n) => selected.has(String(n.id))).every((n) => n.flags?.[flag]);
  if (selected.size) change((d, at) => updateNodes(d, at, selected, (n) => ({ ...n, flags: { ...n.flags, [flag]: !all } })));
}

/** nudge moves what is selected. */
export function nudge(dx: number, dy: number): boolean {
  const { selected } = get();
  if (!canvas().nodes.some((n) => selected.has(String(n.id)))) return false;
  const by = (n: Node) => { const [x, y] = pair(n.pos, [0, 0]); return n.flags?.pinned ? n : { ...n, pos: setPair(n.pos, x + dx, y + dy) }; };
  change((d, at) => updateNodes(d, at, selected, by), "nudge");
  return true;
}

export const clipText = () => stringify(copy(get().doc, here(), get().selected));

/** pasteText pastes nodes that were copied, with the links into them from others if wanted; or opens a workflow. */
export function pasteText(text: string, x: number, y: number, linked = false): boolean {
  let clip: Json;
  try { clip = parse(text); } catch { return false; }
  if (isDocument(clip) && (clip as Obj).graphrun !== 1 || isPrompt(clip)) return openTree(clip, "pasted");
  if (typeof clip !== "object" || clip === null || Array.isArray(clip) || clip.graphrun !== 1 || !Array.isArray(clip.nodes) || !clip.nodes.length) return false;
  const [doc, ids] = paste(get().doc, here(), clip, x, y, linked);
  change(doc);
  select(ids.map(String));
  return true;
}

export function enter(id: Id, def: string) { set({ path: [...get().path, { id: String(id), def }], selected: new Set(), fit: get().fit + 1 }); }
export function leave(depth: number) { set({ path: get().path.slice(0, depth), selected: new Set(), fit: get().fit + 1 }); }

let toastID = 0;
export function toast(text: string, bad = false) {
  const id = ++toastID;
  set({ toasts: [...get().toasts.slice(-3), { id, text, bad }] });
  setTimeout(() => set({ toasts: get().toasts.filter((t) => t.id !== id) }), bad ? 6000 : 3000);
}

export function rename(name: string) { set({ name }); }
