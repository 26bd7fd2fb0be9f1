// What the server is doing: the queue, the run in progress, its pictures, the history, the machine.
import { create } from "zustand";
import { afterQueue } from "./model/control";
import { isObj, parse, stringify, type Obj } from "./model/json";
import { left, needed, tookKey, type Left, type Progress, type Took } from "./model/left";
import { readClasses } from "./model/schema";
import * as server from "./server";
import { openTree, replace, toast, useEditor } from "./store";

export interface NodeError { message: string; inputs: Record<string, string> }
export interface Past { outputs: Record<string, Obj>; id: string; ok: boolean; text: string; files: server.FileRef[]; workflow: Obj | null; seconds: number }

export interface Waiting { id: string; number: number; nodes: number; workflow: Obj | null }

interface Run {
  client: string;
  connected: boolean;
  remaining: number;
  running: string; // id of the prompt that runs, ours or another's
  pending: Waiting[];
  paused: boolean;
  prompt: Obj; // what runs
  nodes: Record<string, Progress>;
  cached: Set<string>;
  previews: Record<string, string>;
  outputs: Record<string, Obj>;
  errors: Record<string, NodeError>;
  began: number;
  history: Past[];
  stats: Obj | null;
}

const clientKey = "graphrun.client";
function clientID(): string {
  const fresh = crypto.getRandomValues(new Uint8Array(16)).reduce((t, b) => t + b.toString(16).padStart(2, "0"), "");
  try {
    const id = sessionStorage.getItem(clientKey) ?? fresh;
    sessionStorage.setItem(clientKey, id);
    return id;
  } catch {
    return fresh;
  }
}

export const useRun = create<Run>(() => ({
  client: clientID(), connected: false, remaining: 0, running: "", pending: [], paused: false, prompt: {}, nodes: {}, cached: new Set<string>(), previews: {}, outputs: {}, errors: {},
  began: 0, history: [], stats: null,
}));
const { getState: get, setState: set } = useRun;

export async function start() {
  server.listen(get().client, { message, preview, connected: (connected) => { set({ connected }); if (connected) { refreshQueue(); refreshHistory(); } } });
  await refreshNodes();
  useEditor.setState({ ready: true });
  await refreshHistory();
  const last = get().history.find((h) => h.ok && sameNodes(h.workflow));
  if (last && Object.keys(get().outputs).length === 0) set({ outputs: last.outputs }); // a reload keeps the pictures too
}

/** sameNodes tells whether a run was of the nodes that the document has now. */
function sameNodes(workflow: Obj | null): boolean {
  const list = (doc: unknown) => isObj(doc) && Array.isArray(doc.nodes) ? (doc.nodes as Obj[]).map((n) => `${n.id} ${n.type}`).sort().join() : "none";
  return list(workflow) === list(useEditor.getState().doc);
}

// Pictures and errors belong to the document that was queued. Another one starts without; a node that is changed is no
// longer the one that was refused.
const queuedFor = new Map<string, number>();
useEditor.subscribe((s, before) => {
  if (s.opened !== before.opened) set({ outputs: {}, errors: {}, previews: {} });
  const { errors } = get();
  if (s.doc === before.doc || Object.keys(errors).length === 0) return;
  const known = new Set(before.doc.nodes);
  let rest = errors;
  for (const n of s.doc.nodes) if (!known.has(n) && errors[String(n.id)]) rest = without(rest, String(n.id));
  if (s.doc.definitions !== before.doc.definitions) for (const id of Object.keys(rest)) if (id.includes(":")) rest = without(rest, id);
  if (rest !== errors) set({ errors: rest });
});

const isForeign = (data: Obj) => {
  const of = queuedFor.get(String(data.prompt_id));
  return of !== undefined && of !== useEditor.getState().opened;
};

export async function refreshNodes() {
  try {
    useEditor.setState({ classes: readClasses(await server.objectInfo()) });
  } catch (error) {
    toast(`The nodes could not be read: ${(error as Error).message}`, true);
  }
}

let queueing: Promise<void> = Promise.resolve();
/** queuePrompt converts the document on the server, queues it, and lets the seeds go on; one after the other, as often as asked. */
export const queuePrompt = (front = false): Promise<void> => (queueing = queueing.then(() => queueOne(front)));

let lastQueued = -1; // the document that was queued last
async function queueOne(front: boolean) {
  set({ errors: {} });
  try {
    const { classes, opened, when } = useEditor.getState();
    // "before" leaves the first run of a document as it is, as in ComfyUI.
    if (when === "before" && lastQueued === opened) replace(afterQueue(useEditor.getState().doc, classes));
    const { doc } = useEditor.getState();
    const made = await server.convert(stringify(doc));
    if (!made.prompt) throw new Error(made.error || "the workflow makes no prompt");
    for (const w of made.warnings?.slice(0, 3) ?? []) toast(w);
    const { ok, answer } = await server.submit(made.prompt, doc as never, get().client, front);
    set({ errors: readErrors(answer) });
    if (!ok) {
      const e = isObj(answer.error) ? answer.error : {};
      toast([e.message ?? "The server refused the prompt", e.details].filter(Boolean).join(": "), true);
      return;
    }
    queuedFor.set(String(answer.prompt_id), opened);
    lastQueued = opened;
    if (when === "after" && useEditor.getState().opened === opened) replace(afterQueue(useEditor.getState().doc, classes));
    refreshQueue();
  } catch (error) {
    toast((error as Error).message, true);
  }
}

function readErrors(answer: Obj): Record<string, NodeError> {
  const all: Record<string, NodeError> = {};
  for (const [id, v] of Object.entries(isObj(answer.node_errors) ? answer.node_errors : {})) {
    if (!isObj(v) || !Array.isArray(v.errors)) continue;
    const e: NodeError = { message: "", inputs: {} };
    for (const one of v.errors.filter(isObj)) {
      const name = isObj(one.extra_info) ? one.extra_info.input_name : undefined;
      const text = [one.message, one.details].filter(Boolean).join(": ");
      if (typeof name === "string") e.inputs[name] = text;
      e.message = e.message ? e.message + "\n" + text : text;
    }
    all[id] = e;
  }
  return all;
}

export async function cancel() {
  const { running } = get();
  if (running) await server.interrupt(running);
}

function message(type: string, data: Obj) {
  const node = String(data.node ?? "");
  switch (type) {
    case "status": {
      const status = data.status as Obj, info = isObj(status) ? (status.exec_info as Obj) : {};
      set({ remaining: Number(info?.queue_remaining ?? 0) });
      refreshQueue();
      break;
    }
    case "execution_start":
      Object.values(get().previews).forEach((u) => URL.revokeObjectURL(u));
      set({ running: String(data.prompt_id), nodes: {}, cached: new Set(), previews: {}, began: performance.now(), ...(get().running === data.prompt_id ? {} : { prompt: {} }) });
      refreshQueue();
      break;
    case "execution_cached":
      set({ cached: new Set((data.nodes as string[]) ?? []) });
      break;
    case "progress_state":
      if (!isForeign(data)) progressState(data.nodes as Obj);
      break;
    case "executed":
      if (isObj(data.output) && !isForeign(data)) set({ outputs: { ...get().outputs, [node]: data.output }, previews: without(get().previews, node) });
      break;
    case "execution_error": {
      const id = String(data.node_id);
      if (!isForeign(data)) set({ errors: { ...get().errors, [id]: { message: String(data.exception_message), inputs: {} } } });
      toast(`${data.node_type}: ${data.exception_message}`, true); // other branches may go on: "executing" null is the end
      break;
    }
    case "execution_interrupted":
      toast("Cancelled");
      break;
    case "executing":
      if (data.node == null) ended(); // not before: the history has the run only now
  }
}

function ended() {
  keepTook();
  set({ nodes: {}, cached: new Set(), previews: {}, began: 0 });
  refreshQueue();
  refreshHistory();
}

const without = <T>(map: Record<string, T>, k: string) => {
  const rest = { ...map };
  delete rest[k];
  return rest;
};

function progressState(nodes: Obj) {
  const now = performance.now(), before = get().nodes, next: Record<string, Progress> = { ...before };
  for (const [id, v] of Object.entries(nodes ?? {})) {
    if (!isObj(v)) continue;
    const old = before[id];
    const value = Number(v.value), max = Number(v.max), state = v.state as Progress["state"];
    if (old && old.value === value && old.max === max && old.state === state) continue;
    const fresh = !old || old.state !== "running";
    // The rate counts from the first step: what comes before it is loading.
    const since = fresh || old.value === 0 ? now : old.since;
    next[id] = { value, max, state, began: fresh ? now : old.began, since, first: fresh || old.value === 0 ? value : old.first };
    if (state === "finished" && old?.state === "running") remember(id, (now - old.began) / 1000, max);
  }
  set({ nodes: next });
}

const tookKept = "graphrun.took";
/** took is what nodes took when they ran last, kept in the browser. */
const took: Map<string, Took> = (() => {
  try { return new Map(JSON.parse(localStorage.getItem(tookKept) ?? "[]")); } catch { return new Map(); }
})();

function remember(id: string, seconds: number, steps: number) {
  const key = tookKey(get().prompt, id);
  took.delete(key); // the newest last
  took.set(key, { seconds: Math.round(seconds * 1000) / 1000, steps });
}

function keepTook() {
  try { localStorage.setItem(tookKept, JSON.stringify([...took].slice(-1000))); } catch { /* known for this page */ }
}

let plan: { prompt: Obj; ids: string[] } = { prompt: {}, ids: [] };
/** promptLeft is what is still to do of the prompt that runs; null if nothing of it is known. */
export function promptLeft(): Left | null {
  const { prompt, nodes, cached } = get();
  if (plan.prompt !== prompt) plan = { prompt, ids: needed(prompt, useEditor.getState().classes) };
  return Object.keys(nodes).length || plan.ids.length ? left(prompt, plan.ids, nodes, cached, took, performance.now()) : null;
}

function preview(node: string, picture: Blob) {
  const id = node || Object.entries(get().nodes).find(([, p]) => p.state === "running")?.[0];
  if (!id) return;
  const old = get().previews[id];
  set({ previews: { ...get().previews, [id]: URL.createObjectURL(picture) } });
  if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
}

let asking = false, again = false;
/** refreshQueue reads the queue; while an answer is on its way, further calls make one more. */
export async function refreshQueue() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const q = await server.queue();
    const running = ((q.queue_running as unknown[]) ?? [])[0] as unknown[] | undefined;
    const pending = ((q.queue_pending as unknown[][]) ?? []).map(waiting).sort((a, b) => a.number - b.number);
    const id = running ? String(running[1]) : "";
    const same = id !== "" && id === get().running && Object.keys(get().prompt).length > 0;
    set({ running: id, pending, paused: q.paused === true, ...(same ? {} : { prompt: running && isObj(running[2]) ? running[2] : {} }) });
    if (!id && Object.keys(get().nodes).length) set({ nodes: {}, cached: new Set(), previews: {} }); // the end was missed
  } catch { /* the socket tells when the server is back */ }
  asking = false;
  if (again) { again = false; refreshQueue(); }
}

function waiting(row: unknown[]): Waiting {
  const extra = isObj(row[3]) ? row[3] : {}, info = isObj(extra.extra_pnginfo) ? extra.extra_pnginfo : {};
  return { number: Number(row[0]), id: String(row[1]), nodes: isObj(row[2]) ? Object.keys(row[2]).length : 0, workflow: isObj(info.workflow) ? info.workflow : isObj(row[2]) ? row[2] : null };
}

/** changeQueue changes what waits, and reads the queue again. */
export async function changeQueue(change: Obj) {
  const r = await server.changeQueue(change);
  if (!r.ok) toast((await r.text()) || `The queue cannot be changed: status ${r.status}`, true);
  await refreshQueue();
}

export async function refreshHistory() {
  try {
    const all = await server.history(60);
    set({ history: Object.entries(all).flatMap(([id, e]) => (isObj(e) ? [past(id, e)] : [])).reverse() });
  } catch { /* as above */ }
}

function past(id: string, entry: Obj): Past {
  const status = isObj(entry.status) ? entry.status : {};
  const files: server.FileRef[] = [];
  for (const ui of Object.values(isObj(entry.outputs) ? entry.outputs : {})) files.push(...filesOf(ui as Obj));
  const messages = (Array.isArray(status.messages) ? status.messages : []) as [string, Obj][];
  const first = messages[0]?.[1], last = messages.at(-1);
  const error = messages.find(([t]) => t === "execution_error")?.[1];
  const interrupted = messages.some(([t]) => t === "execution_interrupted");
  const extra = (Array.isArray(entry.prompt) ? entry.prompt[3] : null) as Obj | null;
  const info = isObj(extra?.extra_pnginfo) ? extra.extra_pnginfo : {};
  return {
    outputs: (isObj(entry.outputs) ? entry.outputs : {}) as Record<string, Obj>,
    id, files, ok: status.status_str === "success",
    text: error ? String(error.exception_message) : interrupted ? "cancelled" : "",
    workflow: isObj(info.workflow) ? info.workflow : Array.isArray(entry.prompt) && isObj(entry.prompt[2]) ? (entry.prompt[2] as Obj) : null,
    seconds: first && last ? (Number(last[1].timestamp) - Number(first.timestamp)) / 1000 : 0,
  };
}

/** filesOf are the pictures, videos and sounds of a node's output. */
export function filesOf(ui: Obj): server.FileRef[] {
  if (!isObj(ui)) return [];
  return Object.values(ui).flatMap((list) => Array.isArray(list) ? list.filter((f) => isObj(f) && typeof f.filename === "string") : []) as unknown as server.FileRef[];
}

export async function refreshStats() {
  try { set({ stats: await server.systemStats() }); } catch { /* as above */ }
}

/** openCarried opens the workflow, else the prompt, that the server finds in a file. */
export async function openCarried(file: File, name: string) {
  const { workflow, prompt, error } = await server.convert(file);
  if (!(workflow && openTree(workflow, name)) && !(prompt && openTree(prompt, name))) throw new Error(error || "it holds no workflow");
}

/** openFile opens a workflow of any kind of file, or says why it cannot. */
export async function openFile(file: File) {
  const name = file.name.replace(/\.[^.]+$/, "") || "workflow";
  try {
    if (/json/.test(file.type) || file.name.endsWith(".json")) {
      if (!openTree(parse(await file.text()), name)) throw new Error("it is no workflow");
    } else await openCarried(file, name);
  } catch (error) {
    toast(`${file.name}: ${(error as Error).message}`, true);
  }
}
