// control_after_generate: what becomes of seeds and choices once a prompt is queued (specs/workflow-conversion.md 8).
import { canvasOf, definitions, setWidget, updateNode, type Document, type Node } from "./document";
import type { Json } from "./json";
import { widgetsOf, type Classes, type Input, type Widget } from "./schema";
import { primitiveWidgets } from "./virtual";

export type When = "after" | "before";

/** afterQueue steps every widget that has a control. Nodes whose widget is fed by a link stay. */
export function afterQueue(doc: Document, classes: Classes, random: () => number = Math.random): Document {
  for (const at of ["", ...definitions(doc).map((d) => d.id)]) {
    for (const n of canvasOf(doc, at).nodes) {
      const cls = classes.get(n.type);
      const list = cls ? widgetsOf(cls, n) : n.type === "PrimitiveNode" ? primitiveWidgets(canvasOf(doc, at), n, classes) : [];
      list.forEach((w, i) => {
        const mode = list[i + 1]?.kind === "control" ? String(list[i + 1].value) : "fixed";
        if (mode === "fixed" || isFed(n, w.name)) return;
        const filter = list[i + 2]?.kind === "filter" ? String(list[i + 2].value ?? "") : "";
        const value = next(w, mode, filter, random);
        if (value !== w.value) doc = updateNode(doc, at, n.id, (n) => setWidget(n, w.at, value, list.map((w) => w.value)));
      });
    }
  }
  return doc;
}

const isFed = (n: Node, name: string) => n.inputs?.some((s) => s.name === name && s.link != null) ?? false;

function next(w: Widget, mode: string, filter: string, random: () => number): Json {
  if (w.kind === "combo") {
    const choices = (w.input.choices ?? []).filter((c) => String(c).toLowerCase().includes(filter.toLowerCase()));
    if (choices.length === 0) return w.value;
    const i = choices.indexOf(w.value);
    switch (mode) {
      case "increment": return choices[Math.min(i + 1, choices.length - 1)];
      case "increment-wrap": return choices[(i + 1) % choices.length];
      case "decrement": return choices[Math.max(i - 1, 0)];
      case "randomize": return choices[Math.floor(random() * choices.length)];
    }
    return w.value;
  }
  return nextInt(w.value, w.input, mode, random);
}

/** nextInt counts in bigint, so that seeds beyond 2^53 step by one too; random ones stay within 2^50 as in ComfyUI. */
export function nextInt(value: Json, input: Input, mode: string, random: () => number): Json {
  const big = (v: Json | undefined, fallback: bigint) => {
    try { return v == null ? fallback : typeof v === "number" ? BigInt(Math.trunc(v)) : BigInt(v as string | bigint); } catch { return fallback; }
  };
  const step = big(input.options.step, 1n) || 1n;
  const min = big(input.options.min, 0n), max = big(input.options.max, (1n << 64n) - 1n);
  const clamp = (v: bigint) => (v < min ? min : v > max ? max : v);
  switch (mode) {
    case "increment": return plain(clamp(big(value, 0n) + step));
    case "decrement": return plain(clamp(big(value, 0n) - step));
    case "randomize": {
      const limit = 1n << 50n;
      const low = min < -limit ? -limit : min, high = max > limit ? limit : max;
      const span = Number((high - low) / step);
      return plain(BigInt(Math.floor(random() * span)) * step + low);
    }
  }
  return value;
}

export const plain = (v: bigint): Json => (v >= -9007199254740991n && v <= 9007199254740991n ? Number(v) : v);
