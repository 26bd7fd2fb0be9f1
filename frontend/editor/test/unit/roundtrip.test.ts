// Every recorded workflow, opened and saved again, is the same document; and what an edit does not touch stays.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { addNode, canvasOf, connect, definitions, isDocument, linksOf, pair, removeNodes, setPair, setWidget, updateNode, type Document } from "../../src/model/document";
import { parse, stringify, type Obj } from "../../src/model/json";
import { readClasses, slotsOf, widgetsOf } from "../../src/model/schema";
import { promotedWidgets } from "../../src/model/subgraph";

const golden = process.env.GRAPHRUN_GOLDEN ?? join(__dirname, "../../../../../shared/golden");
const pairs = join(golden, "workflows/pairs");
const here = existsSync(pairs);
const classes = here
  ? readClasses({ ...(parse(readFileSync(join(golden, "workflows/object_info.json"), "utf8")) as Obj), ...(parse(readFileSync(join(golden, "workflows/object_info_api_nodes.json"), "utf8")) as Obj) })
  : new Map();

const files = here ? readdirSync(pairs).map((name) => ({ name, text: readFileSync(join(pairs, name, "ui.json"), "utf8") })) : [];
const documents = files.map((f) => ({ ...f, doc: parse(f.text) as unknown as Document })).filter((f) => isDocument(f.doc as never));

/** exact compares the numbers as the file spells them, beyond what a double holds. */
const exact = (text: string) => JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|-?\b(?:NaN|Infinity)\b/g,
  (t) => (/^-?(NaN|Infinity)/.test(t) ? "null" : /^-?\d{16,}$/.test(t) ? JSON.stringify("#" + t) : t)));

describe.skipIf(!here)("pairs", () => {
  it("are there", () => expect(documents.length).toBeGreaterThan(250));

  it.each(documents)("$name comes back as it was", ({ text, doc }) => {
    for (const c of [doc, ...definitions(doc)]) {
      for (const n of c.nodes) { // what drawing it does must not change it
        const cls = classes.get(n.type);
        slotsOf(cls, n);
        if (cls) widgetsOf(cls, n);
        else promotedWidgets(doc, n, classes);
      }
      linksOf(c);
    }
    expect(exact(stringify(doc))).toEqual(exact(text));
  });

  it.each(documents)("$name loses nothing by an edit that is taken back", ({ doc }) => {
    const first = doc.nodes[0];
    if (!first) return;
    let next = updateNode(doc, "", first.id, (n) => ({ ...n, pos: setPair(n.pos, 1, 2) }));
    expect(pair(next.nodes[0].pos, [0, 0])).toEqual([1, 2]);
    let id;
    [next, id] = addNode(next, "", { type: "Note", pos: [0, 0], size: [10, 10], widgets_values: ["x"] });
    expect(doc.nodes.some((n) => n.id === id)).toBe(false);
    next = removeNodes(next, "", new Set([String(id)]));
    next = updateNode(next, "", first.id, (n) => ({ ...n, pos: first.pos }));
    const { last_node_id: _, state: __, ...rest } = next as Document & { state?: unknown };
    const { last_node_id: ___, state: ____, ...before } = doc as Document & { state?: unknown };
    expect(rest).toEqual(before);
  });

  it("know the widgets of nodes: prompts have the values that the widgets show", () => {
    let compared = 0;
    const wrong: string[] = [];
    for (const { name, doc } of documents) {
      const file = join(pairs, name, "api.json");
      if (!existsSync(file)) continue;
      const api = parse(readFileSync(file, "utf8")) as Obj;
      for (const n of doc.nodes) {
        const cls = classes.get(n.type);
        const of = api[String(n.id)] as Obj | undefined;
        if (!cls || !of || (n.mode ?? 0) > 1) continue;
        if (!Array.isArray(n.widgets_values)) continue; // the recorded page ignored objects; newer ones and we do not
        for (const w of widgetsOf(cls, n)) {
          const want = (of.inputs as Obj)?.[w.name];
          if (want === undefined || typeof want === "object" || typeof w.value === "object" || n.inputs?.some((s) => s.name === w.name && s.link != null)) continue;
          if (typeof w.value === "string" && w.value.startsWith("sample_")) continue; // an old spelling that the conversion renames
          compared++;
          const same = typeof want === "string" && typeof w.value === "string" ? want === w.value || /[{%]/.test(w.value) : Number(want) === Number(w.value);
          if (!same) wrong.push(`${name} ${n.type}.${w.name}: ${stringify(w.value)} ${stringify(want)}`);
        }
      }
    }
    expect(compared).toBeGreaterThan(3000);
    expect(wrong).toEqual([]);
  });
});

describe("operations", () => {
  const doc = () => parse(readFileSync(join(__dirname, "../../src/demo.json"), "utf8")) as unknown as Document;

  it("keep both ends of a link", () => {
    const linked = connect(doc(), "", { id: 2, slot: 0, name: "CONDITIONING", type: "CONDITIONING" }, { id: 5, name: "negative", type: "CONDITIONING", widget: false });
    const id = linked.nodes.find((n) => n.id === 5)!.inputs!.find((s) => s.name === "negative")!.link!;
    expect(linksOf(canvasOf(linked, "")).get(id)).toMatchObject({ from: 2, to: 5, toSlot: 2 });
    expect(linked.nodes.find((n) => n.id === 2)!.outputs![0].links).toContain(id);
    expect(linked.nodes.find((n) => n.id === 3)!.outputs![0].links).toEqual([]);
    expect(linked.last_link_id).toBe(id);
  });

  it("make the slot of a widget that a link enters", () => {
    const [d, id] = addNode(doc(), "", { type: "PrimitiveInt", outputs: [{ name: "INT", type: "INT", links: [] }] });
    const linked = connect(d, "", { id, slot: 0, name: "INT", type: "INT" }, { id: 5, name: "seed", type: "INT", widget: true });
    expect(linked.nodes.find((n) => n.id === 5)!.inputs!.at(-1)).toMatchObject({ name: "seed", widget: { name: "seed" } });
  });

  it("remove a node with its links", () => {
    const d = removeNodes(doc(), "", new Set(["5"]));
    expect(d.links).toHaveLength(4);
    expect(d.nodes.find((n) => n.id === 6)!.inputs![0].link).toBeNull();
  });

  it("keep integers beyond 2^53", () => {
    const text = '{"a":[18446744073709551615,9007199254740993,1.5,"18446744073709551615"],"b":-9007199254740993}';
    expect(stringify(parse(text))).toBe(text);
  });

  it("grow widgets_values with what the widgets show", () => {
    expect(setWidget({ id: 1, type: "x" }, 2, "c", ["a", "b", "?"]).widgets_values).toEqual(["a", "b", "c"]);
  });
});
