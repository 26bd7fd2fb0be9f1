// The editor in a real browser against a real server: `node --test test/browser` with GRAPHRUN naming the binary.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { begin, binary, complaints, drag, drop, edges, end, fresh, idle, node, outside, png1, saved, serve, shot, socket, toast } from "./harness.mjs";

let server, browser, page;
before(async () => ({ server, browser, page } = await begin()));
after(end);

test("the first screen is the demo", async () => {
  assert.equal(await edges(), 9);
  assert.equal(await page.locator(".react-flow__node").count(), 8);
  await shot("01-demo-dark");
});

test("change the prompt, run, see the picture", async () => {
  await node("Prompt").locator("textarea").fill("a rocket on a green background");
  await page.keyboard.press("Control+Enter");
  await node("Save").locator(".pictures img").waitFor({ timeout: 30000 });
  await idle();
  const wide = await node("Save").locator(".pictures img").evaluate(async (i) => { await i.decode(); return i.naturalWidth; });
  assert.equal(wide, 96);
  await page.getByRole("button", { name: "History" }).first().click();
  await page.locator(".past img").first().waitFor();
  await shot("02-picture-history");
  await page.getByRole("button", { name: "close" }).click();
  const doc = await saved();
  assert.equal(doc.nodes.find((n) => n.id === 2).widgets_values[0], "a rocket on a green background");
  assert.notEqual(doc.nodes.find((n) => n.id === 5).widgets_values[0], 1, "the seed goes on after the queue");
});

test("cancel a run, with progress and time left", async () => {
  const steps = node("Sampler").getByRole("spinbutton", { name: "steps" });
  await steps.click();
  await page.keyboard.type("2000");
  await page.keyboard.press("Control+Enter");
  await page.locator(".state", { hasText: /of 2000 · .* left/ }).waitFor({ timeout: 30000 });
  await shot("03-running");
  await page.locator(".cancel").click();
  await toast("Cancelled");
  await idle();
  await page.keyboard.press("Control+z");
  await steps.click();
  await page.keyboard.type("8");
  await page.keyboard.press("Enter");
});

test("previews are shown while a node runs", async () => {
  // The socket is the server's own; the previews are put between its messages, in both of their forms.
  const dot = Buffer.from(png1, "base64");
  const head = (n, rest) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return Buffer.concat([b, ...rest]); };
  const meta = Buffer.from(JSON.stringify({ node_id: "5", prompt_id: "x", display_node_id: "5", image_type: "image/png" }));
  const forms = [head(1, [head(2, [dot])]), head(4, [head(meta.length, [meta, dot])])];
  let sent = 0;
  const p = await fresh({}, (page) => page.routeWebSocket(/ws/, (client) => {
    client.connectToServer().onMessage((m) => {
      client.send(m);
      if (typeof m === "string" && JSON.parse(m).data?.nodes?.["5"]?.state === "running") client.send(forms[sent++ % 2]);
    });
  }));
  const steps = node("Sampler", p).getByRole("spinbutton", { name: "steps" });
  await steps.click();
  await p.keyboard.type("1000");
  await p.keyboard.press("Control+Enter");
  const preview = node("Sampler", p).locator("img[alt=preview]");
  await preview.waitFor({ timeout: 20000 });
  await p.waitForFunction(() => document.querySelector("img[alt=preview]")?.naturalWidth === 1);
  await p.keyboard.press("Control+Alt+Enter");
  await toast("Cancelled", p);
  await preview.waitFor({ state: "detached" });
  assert.ok(sent > 1);
  await p.context().close();
});

test("a wrong link is refused, a right one made", async () => {
  await drag(socket("Decode", "output IMAGE"), socket("Sampler", "input model"));
  await toast("model needs MODEL, this output gives IMAGE");
  assert.equal(await edges(), 9);
  await shot("04-refused");
  await drag(socket("Demo model", "output CLIP"), socket("Demo model", "input model_path"));
  assert.equal(await edges(), 9);
  await drag(socket("Negative prompt", "output CONDITIONING"), socket("Sampler", "input positive"));
  assert.equal(await edges(), 9, "an input has one link: the old one gives way");
  let doc = await saved();
  assert.equal(doc.links.filter((l) => l[1] === 3 && l[3] === 5).length, 2);
  await page.locator(".react-flow__pane").click({ position: { x: 700, y: 760 } });
  await page.keyboard.press("Control+z");
  doc = await saved();
  assert.equal(doc.links.filter((l) => l[1] === 3 && l[3] === 5).length, 1, "undo");
});

test("the palette adds nodes: by double click, and filtered from a socket", async () => {
  await page.locator(".react-flow__pane").dblclick({ position: { x: 700, y: 760 } });
  await page.keyboard.type("invert image");
  await page.keyboard.press("Enter");
  await node("Invert Image").waitFor();
  assert.equal(await page.locator(".react-flow__node").count(), 9);
  await page.keyboard.press("Control+z");
  assert.equal(await page.locator(".react-flow__node").count(), 8);
  await drag(socket("Sampler", "output LATENT"), { x: 900, y: 760 });
  await page.locator(".palette .filter", { hasText: "takes LATENT" }).waitFor();
  await shot("05-palette");
  const all = await page.locator(".palette .items > div").count();
  assert.ok(all > 3 && all < 120, `${all} nodes take a LATENT`);
  await page.keyboard.type("vae decode");
  await page.keyboard.press("Enter");
  assert.equal(await edges(), 10, "the new node is linked");
  await page.keyboard.press("Delete");
  assert.equal(await edges(), 9);
});

test("choices are searched by keyboard, numbers step, toggles turn", async () => {
  const before = await saved();
  await node("Sampler").locator("button.combo[aria-label=sampler_name]").click();
  await page.keyboard.type("heunpp");
  await shot("06-choices");
  await page.keyboard.press("Enter");
  const cfg = node("Sampler").getByRole("spinbutton", { name: "cfg" });
  await cfg.click();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Escape");
  await node("Demo model").getByRole("switch", { name: "cpu_offload" }).click();
  const doc = await saved();
  assert.deepEqual(doc.nodes.find((n) => n.id === 5).widgets_values.slice(3), [4.1, "heunpp2", "normal", 1]);
  assert.equal(doc.nodes.find((n) => n.id === 1).widgets_values[3], true);
  await page.locator(".react-flow__pane").click({ position: { x: 700, y: 760 } });
  for (let i = 0; i < 3; i++) await page.keyboard.press("Control+z");
  assert.deepEqual(await saved(), before);
});

test("copy, paste, mute, bypass, fold, group, undo", async () => {
  await node("Empty picture").locator("header").click();
  await page.keyboard.press("Control+m");
  assert.equal((await saved()).nodes.find((n) => n.id === 4).mode, 2);
  await page.keyboard.press("Control+b");
  assert.equal((await saved()).nodes.find((n) => n.id === 4).mode, 4);
  await page.keyboard.press("Control+b");
  await page.keyboard.press("Alt+c");
  assert.equal((await saved()).nodes.find((n) => n.id === 4).flags.collapsed, true);
  await page.keyboard.press("Alt+c");
  await page.keyboard.press("Control+g");
  assert.equal((await saved()).groups.length, 1);
  await page.keyboard.press("Control+c");
  await page.mouse.move(700, 700);
  await page.keyboard.press("Control+v");
  assert.equal((await saved()).nodes.length, 9);
  await shot("06-group-copy");
  for (let i = 0; i < 7; i++) await page.keyboard.press("Control+z");
  const doc = await saved();
  assert.equal(doc.nodes.length, 8);
  assert.equal((doc.groups ?? []).length, 0);
});

test("what the server refuses is shown on the node and the input", async () => {
  await socket("Sampler", "input latent_image").dblclick();
  assert.equal(await edges(), 8);
  await page.keyboard.press("Control+Enter");
  await node("Sampler").locator(".problem", { hasText: "Required input is missing" }).waitFor();
  assert.equal(await node("Sampler").locator(".slot.wrong").innerText(), "latent_image");
  await shot("07-validation");
  await page.keyboard.press("Control+z");
  await node("Sampler").locator(".problem").waitFor({ state: "detached" });
});

test("dropping a PNG opens its workflow; other pictures become a LoadImage node", async () => {
  const name = readdirSync(join(server.base, "output")).find((n) => n.endsWith(".png"));
  const png = readFileSync(join(server.base, "output", name));
  await page.getByRole("button", { name: "New" }).click();
  assert.equal(await page.locator(".react-flow__node").count(), 0);
  await drop(png, name);
  await node("Save").waitFor();
  assert.equal(await node("Prompt").locator("textarea").inputValue(), "a rocket on a green background");
  await drop(Buffer.from(png1, "base64"), "dot.png");
  await page.locator(".upload img").waitFor();
  assert.ok(existsSync(join(server.base, "input", "dot.png")));
  const doc = await saved();
  assert.equal(doc.nodes.find((n) => n.type === "LoadImage").widgets_values[0], "dot.png");
  await shot("08-dropped");
});

test("a reload keeps the graph; the saved file is the document", async () => {
  const before = await saved();
  await page.reload();
  await node("Prompt").locator("textarea").waitFor();
  assert.equal(await node("Prompt").locator("textarea").inputValue(), "a rocket on a green background");
  await node("Save").waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Control+s")]);
  assert.deepEqual(JSON.parse(readFileSync(await download.path(), "utf8")), before);
});

test("an API file opens as a graph that runs", async () => {
  await page.setInputFiles("[data-testid=open-file]", process.env.DEMO ?? join(import.meta.dirname, "../../../../workflows/demo.json"));
  await node("Sampler").waitFor();
  assert.equal(await edges(), 9);
  await page.waitForTimeout(200);
  await page.keyboard.press("Control+Enter");
  await node("Save").locator(".pictures img").waitFor({ timeout: 30000 });
  await idle();
  await shot("09-api");
});

test("the main path by keyboard alone, in light", async () => {
  const p = await fresh({ colorScheme: "light" });
  for (let i = 0; i < 80; i++) {
    await p.keyboard.press("Tab");
    if (await p.evaluate(() => document.activeElement?.tagName === "TEXTAREA" && document.activeElement.closest("article")?.ariaLabel === "Prompt")) break;
  }
  await p.keyboard.press("Control+a");
  await p.keyboard.type("a red heart");
  await p.keyboard.press("Control+Enter");
  await node("Save", p).locator(".pictures img").waitFor({ timeout: 30000 });
  assert.equal((await saved(p)).nodes.find((n) => n.id === 2).widgets_values[0], "a red heart");
  await shot("10-keyboard-light", p);
  await p.context().close();
});

test("subgraphs are shown, entered, and run; what nobody knows is kept", async () => {
  const file = join(import.meta.dirname, "subgraph.json");
  await page.setInputFiles("[data-testid=open-file]", file);
  const instance = node("Sample and decode");
  await instance.waitFor();
  assert.equal(await instance.getByRole("spinbutton", { name: "steps" }).inputValue(), "12");
  await instance.locator(".enter").click();
  await node("subgraph outputs").waitFor();
  assert.equal(await edges(), 8);
  await page.waitForTimeout(300);
  await shot("11-inside-subgraph");
  await page.locator(".crumbs button").first().click();
  await instance.waitFor();
  assert.deepEqual(await saved(), JSON.parse(readFileSync(file, "utf8")));
  await page.keyboard.press("Control+Enter");
  await node("Save").locator(".pictures img").waitFor({ timeout: 30000 });
  await idle();
  await shot("12-subgraph");
});

test("a server with a token: the address carries it once, a cookie from then on", async () => {
  const own = await serve(binary, "--token", "a-long-secret");
  const context = await browser.newContext();
  const p = await context.newPage();
  await p.goto(own.address + "/?token=a-long-secret");
  await node("Sampler", p).waitFor();
  await p.locator(".state:not(.lost)").waitFor({ state: "attached" });
  await p.keyboard.press("Control+Enter");
  await node("Save", p).locator(".pictures img").waitFor({ timeout: 30000 });
  assert.ok(await node("Save", p).locator(".pictures img").evaluate(async (i) => { await i.decode(); return i.naturalWidth; }));
  await context.close();
  await own.stop();
});

test("time to interactive", async () => {
  const times = [];
  for (let i = 0; i < 5; i++) {
    const context = await browser.newContext();
    const p = await context.newPage();
    const start = performance.now();
    await p.goto(server.address, { waitUntil: "commit" });
    await p.locator("article[aria-label=Sampler] .number").first().waitFor();
    times.push(Math.round(performance.now() - start));
    await context.close();
  }
  console.log(`time to interactive, from the address to a demo with controls: ${times.join(", ")} ms`);
});

test("nothing is asked of other machines, and nothing went wrong unseen", () => {
  assert.deepEqual(outside, []);
  assert.deepEqual(complaints, []);
});
