// Native reroutes, in the shapes that ComfyUI writes (golden/workflows/pairs 395 and 416).
import { expect, it } from "vitest";
import { copy, paste, unlink, type Canvas, type Document } from "../../src/model/document";
import { addBend, bendsOf, chain, moveBends, parents, removeBends } from "../../src/model/reroute";

const root = (): Document => ({
  version: 0.4, nodes: [{ id: 1, type: "A", outputs: [{ name: "o", type: "X", links: [1, 2] }] }, { id: 2, type: "B", inputs: [{ name: "i", type: "X", link: 1 }, { name: "j", type: "X", link: 2 }] }],
  links: [[1, 1, 0, 2, 0, "X"], [2, 1, 0, 2, 1, "X"]], extra: { ds: { scale: 1 } },
});
const way = (c: Canvas, link: number) => chain(bendsOf(c), parents(c).get(link)).map((b) => b.id);

it("bends of a root of version 0.4 lie in extra", () => {
  let d = root();
  d = addBend(d, d, 1, 0, 10, 20) as Document;
  d = addBend(d, d, 1, 1, 30, 40) as Document;
  d = addBend(d, d, 1, 0, 5, 6) as Document;
  expect(way(d, 1)).toEqual([3, 1, 2]);
  expect(d.extra).toEqual({
    ds: { scale: 1 }, linkExtensions: [{ id: 1, parentId: 2 }],
    reroutes: [{ id: 1, parentId: 3, pos: [10, 20], linkIds: [1] }, { id: 2, parentId: 1, pos: [30, 40], linkIds: [1] }, { id: 3, pos: [5, 6], linkIds: [1] }],
  });
  expect(bendsOf(moveBends(d, new Map([[2, [7, 8]]]))).get(2)!.pos).toEqual([7, 8]);
  expect(way(removeBends(d, new Set([1])), 1)).toEqual([3, 2]);
  expect(way(removeBends(d, new Set([1, 2, 3])), 1)).toEqual([]);
  const gone = unlink(d, "", new Set([1]));
  expect(bendsOf(gone).size).toBe(0);
  expect(parents(gone).size).toBe(0);
});

it("links that share a bend keep it until the last of them goes", () => {
  const d: Document = { ...root(), extra: { reroutes: [{ id: 4, pos: [0, 0], linkIds: [1, 2] }], linkExtensions: [{ id: 1, parentId: 4 }, { id: 2, parentId: 4 }] } };
  expect(way(addBend(d, d, 1, 0, 1, 1), 2)).toEqual([5, 4]); // what is put before a shared bend is shared
  expect(way(addBend(d, d, 1, 1, 1, 1), 2)).toEqual([4]);
  const one = unlink(d, "", new Set([1]));
  expect(bendsOf(one).get(4)!.linkIds).toEqual([2]);
  expect(way(one, 2)).toEqual([4]);
  expect(bendsOf(unlink(one, "", new Set([2]))).size).toBe(0);
});

it("bends of subgraphs lie beside their links, which name them", () => {
  const inside: Canvas = { nodes: [], links: [{ id: 7, origin_id: 5, origin_slot: 0, target_id: 6, target_slot: 0, type: "X" }], state: { lastRerouteId: 3 }, extra: {} };
  const c = addBend(root(), inside, 7, 0, 100, 100);
  expect(c.links[0]).toMatchObject({ id: 7, parentId: 4 });
  expect(c.reroutes).toEqual([{ id: 4, pos: [100, 100], linkIds: [7] }]);
  expect(c.state).toEqual({ lastRerouteId: 4 });
  expect(removeBends(c, new Set([4])).links).toEqual(inside.links);
});

it("bends are pasted with the links that pass them", () => {
  let d = root();
  d = addBend(d, d, 1, 0, 10, 20) as Document;
  d = addBend(d, d, 1, 1, 30, 40) as Document;
  const [next] = paste(d, "", copy(d, "", new Set(["1", "2"])), 100, 200);
  const link = next.nodes[3].inputs![0].link!;
  expect(link).not.toBe(1);
  expect(chain(bendsOf(next), parents(next).get(link)).map((b) => [b.id, b.pos, b.linkIds])).toEqual([[3, [110, 220], [link]], [4, [130, 240], [link]]]);
  expect(way(next, 1)).toEqual([1, 2]);
});
