// Inputs whose number depends on a value or on links, and what seeds become.
import { expect, it } from "vitest";
import { afterQueue } from "../../src/model/control";
import { setWidget, type Document, type Node } from "../../src/model/document";
import type { Obj } from "../../src/model/json";
import { fromPrompt } from "../../src/model/prompt";
import { compatible, defaults, readClasses, slotsOf, widgetsOf } from "../../src/model/schema";

const classes = readClasses({
  Resize: {
    input: { required: {
      image: ["IMAGE", {}],
      mode: ["COMFY_DYNAMICCOMBO_V3", { options: [
        { key: "size", inputs: { required: { width: ["INT", { default: 512, min: 0 }], crop: ["COMBO", { options: ["no", "center"] }] } } },
        { key: "factor", inputs: { required: { by: ["FLOAT", { default: 1.5 }] }, optional: { guide: ["IMAGE", {}] } } }] }],
      method: [["area", "nearest"], {}],
    } },
    output: ["IMAGE"], name: "Resize", display_name: "Resize",
  },
  Sum: {
    input: { required: { values: ["COMFY_AUTOGROW_V3", { template: { input: { required: { value: ["FLOAT,INT", {}] } }, names: ["a", "b", "c"], min: 1 } }] } },
    output: ["FLOAT"], name: "Sum",
  },
  Seeded: { input: { required: { seed: ["INT", { default: 0, min: 0, max: 18446744073709551615n as never }], steps: ["INT", { default: 4 }] } }, output: [], output_node: true, name: "Seeded" },
} as unknown as Obj);

const node = (type: string, rest: Partial<Node> = {}): Node => ({ id: 1, type, ...rest });
const names = (n: Node) => widgetsOf(classes.get(n.type)!, n).map((w) => w.name);

it("a dynamic combo's value brings inputs, whose values follow it in place", () => {
  const cls = classes.get("Resize")!;
  expect(defaults(cls)).toEqual(["size", 512, "no", "area"]);
  let n = node("Resize", { widgets_values: ["size", 640, "center", "nearest"] });
  expect(names(n)).toEqual(["mode", "mode.width", "mode.crop", "method"]);
  expect(widgetsOf(cls, n).map((w) => w.value)).toEqual(["size", 640, "center", "nearest"]);
  expect(slotsOf(cls, n).map((s) => s.name)).toEqual(["image", "mode", "mode.width", "mode.crop", "method"]);
  n = setWidget(n, 0, "factor", []);
  expect(names(n)).toEqual(["mode", "mode.by", "method"]);
  expect(slotsOf(cls, n).map((s) => s.name)).toContain("mode.guide");
});

it("an autogrow list has one free slot after the last that is linked, up to its names", () => {
  const cls = classes.get("Sum")!;
  const slots = (links: Record<string, number>) =>
    slotsOf(cls, node("Sum", { inputs: Object.entries(links).map(([name, link]) => ({ name, type: "FLOAT", link })) })).map((s) => s.name);
  expect(slots({})).toEqual(["values.a"]);
  expect(slots({ "values.a": 1 })).toEqual(["values.a", "values.b"]);
  expect(slots({ "values.c": 1 })).toEqual(["values.a", "values.b", "values.c"]);
});

it("seeds step after the queue, exactly, and links and fixed ones stay", () => {
  const after = (values: unknown[], inputs: Node["inputs"] = []) =>
    (afterQueue({ nodes: [node("Seeded", { widgets_values: values as never, inputs })], links: [], version: 0.4 } as Document, classes, () => 0.5).nodes[0].widgets_values as unknown[])[0];
  expect(after([7, "fixed", 4])).toBe(7);
  expect(after([7, "increment", 4])).toBe(8);
  expect(after([0, "decrement", 4])).toBe(0);
  expect(after([9007199254740993n, "increment", 4])).toBe(9007199254740994n);
  expect(after([18446744073709551615n, "increment", 4])).toBe(18446744073709551615n);
  expect(after([7, "randomize", 4])).toBe(2 ** 49);
  expect(after([7, "increment", 4], [{ name: "seed", type: "INT", link: 3, widget: { name: "seed" } }])).toBe(7);
});

it("a prompt becomes a graph with its values and links", () => {
  const doc = fromPrompt({
    a: { class_type: "Resize", inputs: { mode: "factor", "mode.by": 2.5, method: "nearest" } },
    b: { class_type: "Resize", inputs: { image: ["a", 0], mode: "size", "mode.width": 100 }, _meta: { title: "Second" } },
  }, classes);
  expect(doc.nodes.map((n) => widgetsOf(classes.get("Resize")!, n).map((w) => w.value))).toEqual([["factor", 2.5, "nearest"], ["size", 100, "no", "area"]]);
  expect(doc.nodes[1].title).toBe("Second");
  expect(doc.links).toEqual([[1, 1, 0, 2, 0, "IMAGE"]]);
});

it("types fit as the server judges them", () => {
  expect(compatible("IMAGE", "MODEL")).toBe(false);
  expect(compatible("INT", "FLOAT,INT")).toBe(true);
  expect(compatible("*", "MODEL")).toBe(true);
  expect(compatible("image", "IMAGE")).toBe(true);
});
