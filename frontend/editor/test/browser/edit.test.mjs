// Editing as ComfyUI's users know it: keys, menus, files, and inputs of newer nodes.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { begin, complaints, drag, drop, edges, end, idle, node, outside, png1, saved, shot, socket, toast } from "./harness.mjs";

let page, server;
before(async () => ({ page, server } = await begin()));
after(end);

const of = (doc, id) => doc.nodes.find((n) => n.id === id);
const pane = (x, y) => page.locator(".react-flow__pane").click({ position: { x, y } });
const demo = async () => {
  await page.getByRole("button", { name: "Demo" }).click();
  await node("Sampler").waitFor();
  await page.waitForTimeout(300);
};
const add = async (text) => {
  await pane(700, 770);
  await page.keyboard.press("a");
  await page.getByLabel("Search nodes").fill(text);
  await page.keyboard.press("Enter");
};

test("arrows move the selection; menus align it and act on groups", async () => {
  await node("Prompt").locator("header").click();
  await node("Empty picture").locator("header").click({ modifiers: ["Shift"] });
  const was = JSON.parse(readFileSync(join(import.meta.dirname, "../../src/demo.json"), "utf8"));
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  let doc = await saved();
  for (const id of [2, 4]) assert.deepEqual(of(doc, id).pos, [of(was, id).pos[0] + 10, of(was, id).pos[1] + 10]);
  await page.keyboard.press("Control+z");
  await node("Demo model").locator("header").click({ modifiers: ["Shift"] });
  await node("Prompt").locator("header").click({ button: "right" });
  await shot("50-menu");
  await page.getByRole("menuitem", { name: "align top" }).click();
  doc = await saved();
  assert.equal(new Set([1, 2, 4].map((id) => of(doc, id).pos[1])).size, 1);
  await page.keyboard.press("Control+z");
  await page.keyboard.press("Control+g");
  await page.locator(".group-title").click({ button: "right", force: true });
  await page.getByRole("menuitem", { name: "Mute its nodes" }).click();
  doc = await saved();
  for (const id of [1, 2, 4]) assert.equal(of(doc, id).mode, 2);
  await shot("51-group-muted");
  await page.keyboard.press("Control+z");
  await page.locator(".group-title").click({ button: "right" });
  await page.getByRole("menuitem", { name: "Remove the group" }).click();
  assert.equal((await saved()).groups.length, 0);
  await pane(700, 770);
  await page.locator(".react-flow__pane").click({ position: { x: 700, y: 770 }, button: "right" });
  await page.getByRole("menuitem", { name: "Arrange all" }).click();
  await page.keyboard.press(".");
  await page.waitForTimeout(300);
  await shot("52-arranged");
  doc = await saved();
  const x = (id) => of(doc, id).pos[0];
  assert.ok(x(1) < x(2) && x(2) < x(5) && x(5) < x(6) && x(6) < x(7), "each node is right of what feeds it");
});

test("a paste keeps the links among what was copied, and with Shift those into it", async () => {
  await demo();
  await node("Sampler").locator("header").click();
  await node("Decode").locator("header").click({ modifiers: ["Shift"] });
  await page.keyboard.press("Control+c");
  await page.mouse.move(600, 700);
  await page.keyboard.press("Control+v");
  assert.equal(await edges(), 10);
  await page.keyboard.press("Control+z");
  await page.keyboard.press("Control+Shift+v");
  assert.equal(await edges(), 9 + 1 + 5);
  const doc = await saved();
  const copy = doc.nodes.filter((n) => n.type === "KSampler").at(-1);
  assert.deepEqual(copy.inputs.filter((s) => s.link).map((s) => doc.links.find((l) => l[0] === s.link)[1]), [1, 2, 3, 4]);
  await page.keyboard.press("Control+z");
});

test("a workflow that is pasted as text opens; undo brings the old one back", async () => {
  const text = JSON.stringify({ 1: { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 255 } }, 2: { class_type: "PreviewImage", inputs: { images: ["1", 0] } } });
  await page.evaluate((t) => {
    const data = new DataTransfer();
    data.setData("text/plain", t);
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  }, text);
  await page.waitForFunction(() => document.querySelectorAll(".react-flow__node").length === 2);
  assert.equal(await page.locator("input[type=color]").inputValue(), "#0000ff");
  await page.keyboard.press("Control+z");
  await node("Sampler").waitFor();
});

test("seeds step before or after a prompt is queued, in the way that is chosen", async () => {
  await demo();
  const seed = async () => of(await saved(), 5).widgets_values[0];
  const control = node("Sampler").getByRole("button", { name: "control_after_generate" }).or(node("Sampler").locator(".k-control .combo"));
  const choose = async (mode) => { await control.first().click(); await page.keyboard.type(mode); await page.keyboard.press("Enter"); };
  const run = async () => { await page.keyboard.press("Control+Enter"); await page.waitForTimeout(300); await idle(); };
  await node("Sampler").getByRole("spinbutton", { name: "steps" }).click();
  await page.keyboard.type("2");
  await page.keyboard.press("Enter");
  await choose("increment");
  const first = await seed();
  await run();
  assert.equal(await seed(), first + 1);
  await choose("fixed");
  await run();
  assert.equal(await seed(), first + 1);
  await choose("decrement");
  await node("Sampler").locator(".k-control .label").click();
  await toast("Seeds change before");
  await demo(); // the first run of a document keeps its seed
  await choose("increment");
  const start = await seed();
  await run();
  assert.equal(await seed(), start);
  await run();
  assert.equal(await seed(), start + 1);
  await node("Sampler").locator(".k-control .label").click();
  await toast("Seeds change after");
});

test("Run queues as often as is said", async () => {
  const before = Object.keys(await (await fetch(server.address + "/history")).json()).length;
  await page.getByLabel("how often").fill("3");
  await page.locator(".primary").click();
  await page.waitForTimeout(500);
  await idle();
  await page.waitForFunction(async ([address, n]) => Object.keys(await (await fetch(address + "/history")).json()).length === n, [server.address, before + 3], { timeout: 20000 });
  await page.getByLabel("how often").fill("1");
});

test("pictures come into a node by drop and by paste", async () => {
  await add("load image");
  await page.locator(".upload").waitFor();
  const put = (kind, name) => page.locator(".upload").evaluate((e, [kind, name, b64]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(b64), (c) => c.charCodeAt(0))], name, { type: "image/png" }));
    e.dispatchEvent(kind === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }) : new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  }, [kind, name, png1]);
  const name = async () => (await saved()).nodes.find((n) => n.type === "LoadImage").widgets_values[0];
  await put("drop", "dropped.png");
  await page.locator(".upload img[alt='dropped.png']").waitFor();
  assert.equal(await name(), "dropped.png");
  await put("paste", "pasted.png");
  await page.locator(".upload img[alt='pasted.png']").waitFor();
  assert.equal(await name(), "pasted.png");
  assert.ok(existsSync(join(server.base, "input", "pasted.png")));
  await shot("53-upload");
});

test("any file that carries a workflow opens when dropped; a picture of the history too", async () => {
  await drop(Buffer.from(JSON.stringify({ 7: { class_type: "EmptyImage", inputs: {} } })), "w.json", page, "application/json");
  await page.waitForFunction(() => document.querySelectorAll(".react-flow__node").length === 1);
  await drop(Buffer.from("no workflow at all"), "notes.txt", page, "text/plain");
  await page.locator(".toasts .bad", { hasText: "notes.txt" }).waitFor();
  const file = readdirSync(join(server.base, "output")).find((n) => n.endsWith(".png"));
  const data = await page.evaluateHandle((u) => { const d = new DataTransfer(); d.setData("text/uri-list", u); return d; }, `${server.address}/view?filename=${file}&type=output`);
  await page.dispatchEvent(".react-flow__pane", "drop", { dataTransfer: data, clientX: 300, clientY: 700 });
  await node("Sampler").waitFor();
});

test("inputs follow a dynamic combo's value, and an autogrow list its links", async () => {
  await page.getByRole("button", { name: "New" }).click();
  await add("batch images");
  const batch = page.locator("article").first();
  await batch.waitFor();
  const inputs = () => batch.locator(".socket[aria-label^=input]").count();
  const start = await inputs();
  for (let i = 0; i < start; i++) {
    await add("emptyimage");
    for (let k = 0; k < 3 + 2 * i; k++) await page.keyboard.press("Shift+ArrowUp"); // away from the one that was added before
    await page.keyboard.press("Shift+ArrowLeft");
    await page.keyboard.press(".");
    const fresh = page.locator(".react-flow__node.selected [aria-label='output IMAGE, IMAGE']");
    await fresh.focus();
    await page.keyboard.press("Enter");
    await batch.locator(".socket[aria-label^=input]").nth(i).focus();
    await page.keyboard.press("Enter");
  }
  await shot("54-autogrow");
  assert.equal(await edges(), start);
  assert.equal(await inputs(), start + 1, "one more once all are linked");
  await pane(5, 400);
  await page.keyboard.press(".");
  await page.waitForTimeout(250);
  await shot("54-autogrow");
  await page.getByRole("button", { name: "New" }).click();
  await add("resize image/mask");
  const resize = page.locator("article").first();
  await resize.waitFor();
  const combo = resize.locator("button.combo").first();
  const labels = () => resize.locator(".widget .label").allInnerTexts();
  await page.waitForTimeout(250);
  const one = await labels();
  await combo.click();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.notDeepEqual(await labels(), one);
  await shot("55-dynamic-combo");
  await page.keyboard.press("Control+z");
  assert.deepEqual(await labels(), one);
});

test("a drag from an input offers what gives its type", async () => {
  await demo();
  await socket("Sampler", "input latent_image").dblclick();
  await drag(socket("Sampler", "input latent_image"), { x: 500, y: 790 });
  await page.locator(".palette .filter", { hasText: "gives LATENT" }).waitFor();
  await page.keyboard.type("empty latent");
  await page.keyboard.press("Enter");
  const doc = await saved();
  const link = of(doc, 5).inputs.find((s) => s.name === "latent_image").link;
  assert.ok(/Latent/.test(of(doc, doc.links.find((l) => l[0] === link)[1]).type));
});

test("nothing is asked of other machines, and nothing went wrong unseen", () => {
  assert.deepEqual(outside, []);
  assert.deepEqual(complaints, []);
});
