// Subgraphs made and taken apart: the prompt, which package graph/workflow makes of the file, stays the same.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { addNode, connect, definitions, inputNode, isDocument, linksOf, outputNode, type Document, type Id } from "../../src/model/document";
import { parse, stringify, type Json, type Obj } from "../../src/model/json";
import { addSlot, closes, pack, removeSlot, renameSlot, reseat, unpack } from "../../src/model/nest";
import { readClasses, type Classes } from "../../src/model/schema";
import { promotedWidgets } from "../../src/model/subgraph";

const few: Classes = readClasses({
  Load: { input: {}, output: ["MODEL"], output_name: ["MODEL"] },
  Sample: { input: { required: { model: ["MODEL"], seed: ["INT", { default: 1 }], steps: ["INT", { default: 20 }] } }, output: ["IMAGE"], output_name: ["IMAGE"] },
  Save: { input: { required: { images: ["IMAGE"] } }, output: [], output_node: true },
} as unknown as Obj);

function small(): Document {
  let d: Document = { version: 0.4, last_node_id: 0, last_link_id: 0, nodes: [], links: [], extra: {} };
  const add = (type: string, rest: object) => { [d] = addNode(d, "", { type, pos: [d.nodes.length * 300, 0], size: [200, 100], ...rest } as never); };
  add("Load", { outputs: [{ name: "MODEL", type: "MODEL", links: [] }] });
  add("Sample", { outputs: [{ name: "IMAGE", type: "IMAGE", links: [] }], widgets_values: [7, "fixed", 12] });
  add("Save", {});
  d = connect(d, "", { id: 1, slot: 0, name: "MODEL", type: "MODEL" }, { id: 2, name: "model", type: "MODEL", widget: false });
  return connect(d, "", { id: 2, slot: 0, name: "IMAGE", type: "IMAGE" }, { id: 3, name: "images", type: "IMAGE", widget: false });
}

describe("a subgraph", () => {
  const packed = () => pack(small(), "", new Set(["2"]), "Sub", few);

  it("takes over the links of what it is made of", () => {
    const [d, id] = packed();
    const [def] = definitions(d);
    expect(d.nodes.map((n) => n.type)).toEqual(["Load", "Save", def.id]);
    expect(d.nodes[2]).toMatchObject({ id, inputs: [{ name: "model", type: "MODEL" }], outputs: [{ name: "IMAGE", type: "IMAGE" }], widgets_values: [] });
    expect(def.links).toEqual([
      { id: expect.any(Number), origin_id: inputNode, origin_slot: 0, target_id: 2, target_slot: 0, type: "MODEL" },
      { id: expect.any(Number), origin_id: 2, origin_slot: 0, target_id: outputNode, target_slot: 0, type: "IMAGE" }]);
    expect(def.inputs![0].linkIds).toEqual([(def.links[0] as Obj).id]);
    expect([...linksOf(d).values()].map((l) => [l.from, l.to])).toEqual([[1, id], [id, 3]]);
  });

  it("shows a widget that is linked to an input, and keeps the values of the others", () => {
    let [d, id] = packed();
    const def = definitions(d)[0].id;
    const expose = (d: Document, name: string) => {
      const next = addSlot(d, def, "input", name, "INT", few);
      return reseat(d, connect(next, def, { id: inputNode, slot: definitions(next)[0].inputs!.length - 1, name, type: "INT" }, { id: 2, name, type: "INT", widget: true }), def, few);
    };
    d = expose(expose(d, "seed"), "steps");
    const node = () => d.nodes.find((n) => n.id === id)!;
    expect(node().widgets_values).toEqual([7, 12]);
    expect(node().inputs!.map((s) => [s.name, s.widget])).toEqual([["model", undefined], ["seed", { name: "seed" }], ["steps", { name: "steps" }]]);
    d = renameSlot(d, def, "input", 2, "how many");
    expect(promotedWidgets(d, node(), few).map((w) => [w.name, w.label, w.value])).toEqual([["seed", "seed", 7], ["steps", "how many", 12]]);
    expect(node().inputs![2].label).toBe("how many");
    d = removeSlot(d, def, "input", 1, few);
    expect(promotedWidgets(d, node(), few).map((w) => [w.name, w.value])).toEqual([["steps", 12]]);
    expect([...linksOf(definitions(d)[0]).values()].filter((l) => l.from === inputNode).map((l) => [l.fromSlot, l.toSlot])).toEqual([[0, 0], [1, 2]]);
    d = removeSlot(d, def, "input", 0, few);
    expect([...linksOf(d).values()].map((l) => [l.from, l.to])).toEqual([[id, 3]]);
    d = removeSlot(d, def, "output", 0, few);
    expect(linksOf(d).size).toBe(0);
    expect(d.nodes.find((n) => n.id === 3)!.inputs![0].link).toBeNull();
  });

  it("is not made of nodes between which others lie", () => {
    expect(closes(small(), new Set(["1", "3"]))).toBe(true);
    expect(closes(small(), new Set(["1", "2"]))).toBe(false);
  });

  it("comes apart again", () => {
    const [d, id] = packed();
    const [back, made] = unpack(d, "", id, few);
    expect(definitions(back)).toEqual([]);
    expect(back.nodes.find((n) => n.id === made[0])).toMatchObject({ type: "Sample", widgets_values: [7, "fixed", 12] });
    expect([...linksOf(back).values()].map((l) => [l.from, l.to]).sort()).toEqual([[1, made[0]], [made[0], 3]].sort());
  });
});

const golden = process.env.GRAPHRUN_GOLDEN ?? join(__dirname, "../../../../../shared/golden");
const pairs = join(golden, "workflows/pairs"), infos = ["object_info.json", "object_info_api_nodes.json"].map((f) => join(golden, "workflows", f));
const binary = process.env.GRAPHRUN;

describe.skipIf(!binary || !existsSync(pairs))("recorded workflows make the same prompt", () => {
  const folder = mkdtempSync(join(tmpdir(), "graphrun-nest-"));
  const info = existsSync(pairs) ? Object.assign({}, ...infos.map((f) => parse(readFileSync(f, "utf8")) as Obj)) : {};
  const classes = readClasses(info);
  writeFileSync(join(folder, "info.json"), stringify(info));
  const convert = (doc: Document): Obj | null => {
    writeFileSync(join(folder, "w.json"), stringify(doc));
    try { return parse(execFileSync(binary!, ["convert", "--object-info", join(folder, "info.json"), join(folder, "w.json")], { stdio: ["ignore", "pipe", "ignore"] }).toString()) as Obj; } catch { return null; }
  };
  /** canonical names nodes by `name` and leaves titles out. */
  const canonical = (prompt: Obj, name: (id: string) => string) => {
    const link = (v: Json): Json => (Array.isArray(v) && v.length === 2 && String(v[0]) in prompt ? [name(String(v[0])), v[1]] : v);
    return Object.fromEntries(Object.entries(prompt).map(([id, n]) => [name(id), { class_type: (n as Obj).class_type, inputs: Object.fromEntries(Object.entries(((n as Obj).inputs ?? {}) as Obj).map(([k, v]) => [k, link(v)])) }]));
  };
  const files = existsSync(pairs) ? readdirSync(pairs).map((name) => ({ name, doc: parse(readFileSync(join(pairs, name, "ui.json"), "utf8")) as unknown as Document })).filter((f) => isDocument(f.doc as never)) : [];

  it("when nodes become a subgraph", () => {
    let compared = 0;
    const wrong: string[] = [];
    for (const { name, doc } of files.filter((_, i) => i % 6 === 0)) {
      // Half of the nodes that stand alone in no subgraph: those to the left, which nothing leads back into.
      const chosen = doc.nodes.filter((n) => classes.has(n.type) && (n.mode ?? 0) === 0).slice(0, Math.ceil(doc.nodes.length / 2)).map((n) => String(n.id));
      const ids = new Set(chosen);
      const all = [doc, ...definitions(doc)].flatMap((c) => c.nodes.map((n) => n.id)); // ids that are there twice are numbered anew by the conversion
      if (ids.size < 2 || closes(doc, ids) || new Set(all).size < all.length || doc.nodes.some((n) => /^workflow[>/]/.test(n.type))) continue;
      const before = convert(doc);
      const [packed, id] = pack(doc, "", ids, "Half", classes);
      const after = convert(packed);
      if (!before) continue;
      compared++;
      const same = (v: unknown) => JSON.stringify(v, (_, x) => (typeof x === "bigint" ? String(x) : x && typeof x === "object" && !Array.isArray(x) ? Object.fromEntries(Object.entries(x).sort(([a], [b]) => (a < b ? -1 : 1))) : x));
      const strip = (of: string) => (of.startsWith(id + ":") ? of.slice(String(id).length + 1) : of);
      if (!after || same(canonical(after, strip)) !== same(canonical(before, (x) => x))) wrong.push(name);
      const [back, made] = unpack(packed, "", id, classes);
      const again = convert(back), was = new Map<string, Id>(made.map((m, i) => [String(m), packed.definitions!.subgraphs!.at(-1)!.nodes[i].id]));
      const old = (of: string) => { const [head, ...rest] = of.split(":"); return [was.get(head) ?? head, ...rest].join(":"); };
      if (!again || same(canonical(again, old)) !== same(canonical(before, (x) => x))) wrong.push(name + " taken apart");
    }
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(12);
  }, 300000);
});
