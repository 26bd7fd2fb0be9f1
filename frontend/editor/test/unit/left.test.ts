// What is left of a prompt, from what its nodes took before.
import { expect, it } from "vitest";
import { left, needed, type Progress } from "../../src/model/left";
import type { Obj } from "../../src/model/json";
import { readClasses } from "../../src/model/schema";

const prompt: Obj = {
  a: { class_type: "Load", inputs: {} }, b: { class_type: "Sample", inputs: { model: ["a", 0], steps: 40 } }, c: { class_type: "Save", inputs: { images: ["b", 0] } },
  d: { class_type: "Load", inputs: {} },
};
const classes = readClasses({ Load: {}, Sample: {}, Save: { output_node: true } } as unknown as Obj);
const p = (value: number, max: number, state: Progress["state"] = "running", began = 0): Progress => ({ value, max, state, began, since: began, first: 0 });

it("what runs is what outputs need", () => expect(needed(prompt, classes).sort()).toEqual(["a", "b", "c"]));

it("the whole prompt's time: pace of what runs, earlier runs of what follows, steps in proportion", () => {
  const ids = needed(prompt, classes), took = new Map([["Load a", { seconds: 4, steps: 1 }], ["Sample b", { seconds: 10, steps: 20 }], ["Save c", { seconds: 0.5, steps: 1 }]]);
  const of = (nodes: Record<string, Progress>, now: number, cached: string[] = []) => left(prompt, ids, nodes, new Set(cached), took, now);
  expect(of({}, 0)).toEqual({ seconds: 24.5, unknown: 0, done: 0, total: 3 });
  expect(of({ a: p(0, 1) }, 1000)).toEqual({ seconds: 23.5, unknown: 0, done: 0, total: 3 });
  expect(of({ a: p(1, 1, "finished"), b: p(10, 40, "running", 4000) }, 14000)).toEqual({ seconds: 30.5, unknown: 0, done: 1, total: 3 });
  expect(of({ a: p(1, 1, "finished"), b: p(40, 40, "finished"), c: p(0, 1, "running", 0) }, 9000)).toEqual({ seconds: 0, unknown: 0, done: 2, total: 3 });
  expect(of({}, 0, ["a"])).toEqual({ seconds: 20.5, unknown: 0, done: 0, total: 2 });
  expect(left(prompt, ids, {}, new Set(), new Map(), 0)).toEqual({ seconds: 0, unknown: 3, done: 0, total: 3 });
});
