// How long a prompt still takes: the node that runs by its pace, those after it by what they took before.
import { isObj, type Obj } from "./json";
import type { Classes } from "./schema";

export interface Progress { value: number; max: number; state: "running" | "finished" | "error"; began: number; since: number; first: number }
/** Took is the last run of a node: seconds, and its steps. */
export interface Took { seconds: number; steps: number }
export interface Left { seconds: number; unknown: number; done: number; total: number }

/** needed lists the nodes that a prompt runs: those with an output, and all that feed them. */
export function needed(prompt: Obj, classes: Classes): string[] {
  const all = new Set<string>();
  const open = Object.keys(prompt).filter((id) => { const n = prompt[id]; return isObj(n) && classes.get(String(n.class_type))?.output; });
  while (open.length) {
    const id = open.pop()!;
    const n = prompt[id];
    if (all.has(id) || !isObj(n)) continue;
    all.add(id);
    for (const v of Object.values(isObj(n.inputs) ? n.inputs : {})) if (Array.isArray(v) && v.length === 2 && String(v[0]) in prompt) open.push(String(v[0]));
  }
  return [...all];
}

/** tookKey names what a node's duration is kept under. */
export const tookKey = (prompt: Obj, id: string): string => `${isObj(prompt[id]) ? prompt[id].class_type : ""} ${id}`;

/** expected is what a node took before, by its steps if it has some. */
function expected(prompt: Obj, id: string, took: Map<string, Took>): number | null {
  const t = took.get(tookKey(prompt, id));
  if (!t) return null;
  const n = prompt[id], steps = isObj(n) && isObj(n.inputs) ? Number(n.inputs.steps) : 0;
  return t.seconds * (t.steps > 1 && steps > 0 ? steps / t.steps : 1);
}

/** left adds up what is to come. Times are in milliseconds of one clock. */
export function left(prompt: Obj, ids: string[], nodes: Record<string, Progress>, cached: Set<string>, took: Map<string, Took>, now: number): Left {
  const sum: Left = { seconds: 0, unknown: 0, done: 0, total: 0 };
  const more = Object.keys(nodes).filter((id) => !ids.includes(id)); // nodes that a node has expanded to
  for (const id of [...ids, ...more]) {
    if (cached.has(id)) continue;
    sum.total++;
    const p = nodes[id];
    if (p && p.state !== "running") { sum.done++; continue; }
    const before = expected(prompt, id, took), pace = p && timeLeft(p, now);
    if (pace != null) sum.seconds += pace;
    else if (before !== null) sum.seconds += Math.max(0, before - (p ? (now - p.began) / 1000 : 0));
    else sum.unknown++;
  }
  return sum;
}

/** timeLeft is how many seconds a node that runs still takes, by the pace so far; null while there is none. */
export function timeLeft(p: Progress | undefined, now: number): number | null {
  if (!p || p.state !== "running" || p.value <= p.first) return null;
  return ((now - p.since) / 1000 / (p.value - p.first)) * (p.max - p.value);
}
