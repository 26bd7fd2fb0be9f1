// The canvas: large graphs, links that bend, links that move.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { begin, complaints, drag, edges, end, node, outside, saved, shot, socket } from "./harness.mjs";

let page;
before(async () => ({ page } = await begin()));
after(end);

const demo = JSON.parse(readFileSync(join(import.meta.dirname, "../../src/demo.json"), "utf8"));

/** copies is a workflow of that many demos in a grid. */
function copies(count) {
  const nodes = [], links = [];
  for (let k = 0; k < count; k++) {
    const id = (n) => n + k * 100;
    for (const n of demo.nodes) nodes.push({
      ...n, id: id(n.id), pos: [n.pos[0] + (k % 12) * 2000, n.pos[1] + Math.floor(k / 12) * 1200],
      inputs: n.inputs?.map((s) => ({ ...s, link: s.link == null ? null : id(s.link) })), outputs: n.outputs?.map((s) => ({ ...s, links: s.links?.map(id) })),
    });
    for (const l of demo.links) links.push([id(l[0]), id(l[1]), l[2], id(l[3]), l[4], l[5]]);
  }
  return { last_node_id: count * 100, last_link_id: count * 100, nodes, links, groups: [], config: {}, extra: {}, version: 0.4 };
}

const open = (doc, name = "w.json") => page.setInputFiles("[data-testid=open-file]", { name, mimeType: "application/json", buffer: Buffer.from(JSON.stringify(doc)) });

test("a workflow of 1,000 nodes is shown in outline, moved, and edited close by", async () => {
  const start = performance.now();
  await open(copies(125), "large.json");
  await page.waitForFunction(() => document.querySelectorAll(".node.far").length === 1000 && document.querySelector(".far-links path"));
  console.log(`1,000 nodes shown after ${Math.round(performance.now() - start)} ms`);
  await shot("20-large");
  const one = page.locator(".react-flow__node[data-id='5']"), box = await one.boundingBox();
  await drag(one, { x: box.x + 60, y: box.y - 40 });
  const doc = await saved();
  const moved = doc.nodes.find((n) => n.id === 5).pos, was = demo.nodes.find((n) => n.id === 5).pos;
  assert.ok(moved[0] > was[0] + 500 && moved[1] < was[1] - 300, `moved to ${moved}`);
  assert.deepEqual(doc.nodes.filter((n) => n.id !== 5), copies(125).nodes.filter((n) => n.id !== 5).map((n) => JSON.parse(JSON.stringify(n))));
  await page.keyboard.press("Control+z");

  await page.locator(".react-flow__node[data-id='302']").click();
  await page.keyboard.press("."); // a close look at what is selected
  const text = page.locator(".react-flow__node[data-id='302'] textarea");
  await text.fill("close by");
  assert.equal((await saved()).nodes.find((n) => n.id === 302).widgets_values[0], "close by");
  assert.ok(await page.locator(".react-flow__node").count() < 60, "only what is in sight is drawn");
  await page.waitForFunction(() => document.querySelectorAll(".react-flow__edge").length > 0);
  await shot("21-large-near");
  await page.locator(".react-flow__pane").click({ position: { x: 5, y: 400 } });
  await page.keyboard.press(".");
  await page.waitForFunction(() => document.querySelectorAll(".node.far").length === 1000);
});

test("a link bends where it is clicked with Alt; bends move and go away", async () => {
  await page.getByRole("button", { name: "Demo" }).click();
  await node("Sampler").waitFor();
  await page.waitForTimeout(300);
  const a = await socket("Empty picture", "output LATENT").boundingBox(), b = await socket("Sampler", "input latent_image").boundingBox();
  const middle = [(a.x + b.x) / 2 + 5, (a.y + b.y) / 2 + 5];
  await page.keyboard.down("Alt");
  await page.mouse.click(...middle);
  await page.keyboard.up("Alt");
  await page.locator(".bend").waitFor();
  let doc = await saved();
  const link = doc.nodes.find((n) => n.id === 5).inputs.find((s) => s.name === "latent_image").link;
  assert.deepEqual(doc.extra.linkExtensions, [{ id: link, parentId: 1 }]);
  assert.deepEqual(doc.extra.reroutes.map((r) => [r.id, r.parentId, r.linkIds]), [[1, undefined, [link]]]);
  await drag(page.locator(".bend"), { x: middle[0] - 10, y: middle[1] + 160 });
  const path = await page.locator(`[data-id="link:${link}"] .react-flow__edge-path`).getAttribute("d");
  doc = await saved();
  const [x, y] = doc.extra.reroutes[0].pos;
  assert.ok(path.includes(`${Math.round(x)}`.slice(0, -1)), `the link goes through its bend: ${path}, ${x} ${y}`);
  assert.equal(path.split("C").length, 3);
  await shot("22-bend");
  await page.locator(".bend").click({ button: "right" });
  await page.getByRole("menuitem", { name: /Remove the bend/ }).click();
  doc = await saved();
  assert.deepEqual([doc.extra.reroutes, doc.extra.linkExtensions], [[], []]);
  assert.equal(await edges(), 9);
  await page.keyboard.press("Control+z");
  await page.locator(".bend").waitFor();
  await socket("Sampler", "input latent_image").dblclick(); // the link goes, and its bend
  await page.locator(".bend").waitFor({ state: "detached" });
  assert.deepEqual((await saved()).extra.reroutes, []);
  await page.keyboard.press("Control+z");
  assert.equal(await edges(), 9);
});

test("the end of a link is dragged to another input, or off", async () => {
  await drag(socket("Sampler", "input positive"), socket("Sampler", "input negative"));
  let doc = await saved();
  const inputs = () => Object.fromEntries(doc.nodes.find((n) => n.id === 5).inputs.map((s) => [s.name, doc.links.find((l) => l[0] === s.link)?.[1] ?? null]));
  assert.deepEqual([inputs().positive, inputs().negative], [null, 2]);
  await page.keyboard.press("Control+z");
  await drag(socket("Sampler", "input positive"), { x: 700, y: 790 });
  doc = await saved();
  assert.equal(inputs().positive, null);
  assert.equal(await page.locator(".palette").count(), 0);
  await page.keyboard.press("Control+z");
  doc = await saved();
  assert.deepEqual([inputs().positive, inputs().negative], [2, 3]);
});

test("links are selected and deleted", async () => {
  await page.getByRole("button", { name: "Demo" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".react-flow__edge").length === 9 && !document.querySelector(".bend"));
  await page.waitForTimeout(300);
  const a = await socket("Empty picture", "output LATENT").boundingBox(), b = await socket("Sampler", "input latent_image").boundingBox();
  await page.mouse.click((a.x + b.x) / 2 + 5, (a.y + b.y) / 2 + 5);
  await page.locator(".react-flow__edge.selected").waitFor();
  await page.keyboard.press("Delete");
  assert.equal(await edges(), 8);
  await page.keyboard.press("Control+z");
  assert.equal(await edges(), 9);
});

test("nothing is asked of other machines, and nothing went wrong unseen", () => {
  assert.deepEqual(outside, []);
  assert.deepEqual(complaints, []);
});
