// Subgraphs: made of a selection, their inputs and outputs edited, taken apart; the prompt stays the same.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, complaints, drag, edges, end, idle, node, outside, saved, shot, socket } from "./harness.mjs";

let page, server;
before(async () => ({ page, server } = await begin()));
after(end);

/** prompt is what the document makes, its ids without the subgraphs they lie in. */
async function prompt(doc) {
  const made = await (await fetch(server.address + "/graphrun/convert", { method: "POST", body: JSON.stringify(doc) })).json();
  assert.ok(made.prompt, made.error);
  const last = (id) => String(id).split(":").at(-1);
  const links = (v) => (Array.isArray(v) && v.length === 2 ? [last(v[0]), v[1]] : v);
  return Object.fromEntries(Object.entries(made.prompt).map(([id, n]) => [last(id), { ...n, _meta: null, inputs: Object.fromEntries(Object.entries(n.inputs).map(([k, v]) => [k, links(v)])) }]));
}

test("a selection becomes a subgraph that runs", async () => {
  await node("Sampler").locator("header").click();
  await node("Decode").locator("header").click({ modifiers: ["Shift"] });
  await page.keyboard.press("Control+Shift+e");
  const instance = node("New Subgraph");
  await instance.waitFor();
  assert.equal(await edges(), 8);
  const doc = await saved();
  const def = doc.definitions.subgraphs[0];
  assert.deepEqual(def.inputs.map((s) => s.name), ["model", "positive", "negative", "latent_image", "vae"]);
  assert.deepEqual(def.outputs.map((s) => s.type), ["IMAGE"]);
  assert.equal(def.nodes.length, 2);
  await page.keyboard.press("Control+Enter");
  await node("Save").locator(".pictures img").waitFor({ timeout: 30000 });
  await idle();
  await shot("40-packed");
});

test("inside, inputs and outputs are added, renamed and removed", async () => {
  await node("New Subgraph").locator(".enter").click();
  const inputs = node("subgraph inputs"), outputs = node("subgraph outputs");
  await inputs.waitFor();
  await page.waitForTimeout(300);
  assert.equal(await edges(), 7);
  await drag(inputs.locator("[aria-label='new input']"), socket("Sampler", "input steps")); // a widget: the instance shows it
  await inputs.locator("[aria-label='input steps, INT']").waitFor();
  await drag(socket("Sampler", "output LATENT"), outputs.locator("[aria-label='new output']"));
  await outputs.locator("[aria-label='output LATENT, LATENT']").waitFor();
  await inputs.locator(".slot span", { hasText: "steps" }).dblclick();
  await page.keyboard.press("Control+a");
  await page.keyboard.type("how many");
  await page.keyboard.press("Enter");
  await page.getByLabel("name of the subgraph").fill("Paint");
  await shot("41-inside");
  await page.locator(".crumbs button").first().click();
  const instance = node("Paint");
  await instance.waitFor();
  await shot("42-instance");
  assert.equal(await instance.getByRole("spinbutton", { name: "how many" }).inputValue(), "20");
  await instance.getByRole("spinbutton", { name: "how many" }).click();
  await page.keyboard.type("3");
  await page.keyboard.press("Enter");
  let doc = await saved();
  const made = await prompt(doc);
  assert.equal(made["5"].inputs.steps, 3);
  assert.deepEqual(doc.nodes.find((n) => n.type === doc.definitions.subgraphs[0].id).outputs.map((o) => o.name), ["IMAGE", "LATENT"]);
  await shot("42-instance");
  await instance.locator(".enter").click();
  await inputs.waitFor();
  await page.waitForTimeout(300);
  await outputs.locator(".slot", { hasText: "LATENT" }).hover();
  await outputs.getByLabel("remove output LATENT").click();
  await drag(socket("Sampler", "input steps"), { x: 700, y: 800 }); // the widget belongs to the sampler again
  await page.locator(".crumbs button").first().click();
  await instance.waitFor();
  assert.equal(await instance.getByRole("spinbutton").count(), 0);
  doc = await saved();
  assert.deepEqual(doc.nodes.find((n) => n.type === doc.definitions.subgraphs[0].id).outputs.map((o) => o.name), ["IMAGE"]);
  assert.equal((await prompt(doc))["5"].inputs.steps, 20);
});

test("it comes apart again, and undo makes it one again", async () => {
  const before = await prompt(await saved());
  await node("Paint").locator("header").click({ button: "right" });
  await page.getByRole("menuitem", { name: "Unpack the subgraph" }).click();
  await node("Decode").waitFor();
  assert.equal(await edges(), 9);
  const doc = await saved();
  assert.deepEqual(doc.definitions.subgraphs, []);
  const after = await prompt(doc);
  assert.deepEqual(Object.values(after).map((n) => n.class_type).sort(), Object.values(before).map((n) => n.class_type).sort());
  await page.keyboard.press("Control+z");
  await node("Paint").waitFor();
  assert.deepEqual(await prompt(await saved()), before);
});

test("nothing is asked of other machines, and nothing went wrong unseen", () => {
  assert.deepEqual(outside, []);
  assert.deepEqual(complaints, []);
});
