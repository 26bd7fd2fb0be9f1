// What runs and what waits: the queue, errors on the way, time left, models.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { begin, complaints, end, fresh, idle, node, outside, saved, shot, toast } from "./harness.mjs";

let page, server;
before(async () => ({ page, server } = await begin()));
after(end);

const waiting = async () => (await (await fetch(server.address + "/queue")).json()).queue_pending.sort((a, b) => a[0] - b[0]).map((r) => r[1]);
const row = (id) => page.locator(".entry", { has: page.locator(`[aria-label="remove ${id}"]`) });

test("the queue is paused, reordered, cut and resumed", async () => {
  await page.keyboard.press("q");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("The queue is paused").waitFor();
  for (let i = 0; i < 4; i++) {
    await page.keyboard.press("Control+Enter");
    await page.waitForFunction((n) => document.querySelectorAll(".panel .entry").length === n, i + 1);
  }
  const [a, b, c, d] = await waiting();
  await page.getByLabel(`first ${c}`).click();
  await page.waitForFunction((id) => document.querySelector(".entry [aria-label^=remove]").ariaLabel.endsWith(id), c);
  assert.deepEqual(await waiting(), [c, a, b, d]);
  await page.getByLabel(`down ${a}`).click();
  await page.waitForFunction((id) => document.querySelectorAll(".entry [aria-label^=remove]")[1].ariaLabel.endsWith(id), b);
  await page.getByLabel(`up ${d}`).click();
  await page.waitForFunction((id) => document.querySelectorAll(".entry [aria-label^=remove]")[2].ariaLabel.endsWith(id), d);
  assert.deepEqual(await waiting(), [c, b, d, a]);
  await shot("30-queue");
  await page.getByLabel(`remove ${b}`).click();
  await row(b).waitFor({ state: "detached" });
  assert.deepEqual(await waiting(), [c, d, a]);
  await page.getByRole("button", { name: "Resume" }).click();
  await node("Save").locator(".pictures img").waitFor({ timeout: 30000 });
  await page.waitForFunction(() => !document.querySelector(".panel .entry"), null, { timeout: 30000 });
  const history = await (await fetch(server.address + "/history")).json();
  assert.deepEqual(Object.keys(history), [c, d, a]);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.keyboard.press("Control+Enter");
  await page.keyboard.press("Control+Enter");
  await page.locator(".panel .entry").nth(0).waitFor();
  await page.getByRole("button", { name: "Remove all that wait" }).click();
  await page.waitForFunction(() => !document.querySelector(".panel .entry"));
  assert.deepEqual(await waiting(), []);
  await page.getByRole("button", { name: "Resume" }).click();
  await page.keyboard.press("q");
});

test("the time left is that of the whole prompt", async () => {
  await page.locator(".react-flow__pane").click({ position: { x: 700, y: 760 } });
  await node("Sampler").getByRole("spinbutton", { name: "steps" }).click();
  await page.keyboard.type("2000");
  await page.keyboard.press("Control+Enter");
  await page.locator(".state", { hasText: /of 2000 · node \d of \d · .* left/ }).waitFor({ timeout: 30000 });
  const text = await page.locator(".state").innerText();
  assert.ok(!/or more/.test(text), `all nodes have run before: ${text}`);
  await page.locator(".cancel").click();
  await toast("Cancelled");
  await idle();
});

test("progress goes on after the error of one branch, until the prompt ends", async () => {
  // The socket is the server's own; an error of another branch is put between its messages.
  let sent = false;
  const p = await fresh({}, (page) => page.routeWebSocket(/ws/, (client) => {
    client.connectToServer().onMessage((m) => {
      client.send(m);
      if (typeof m !== "string" || sent || JSON.parse(m).data?.nodes?.["5"]?.state !== "running") return;
      sent = true;
      client.send(JSON.stringify({ type: "execution_error", data: { prompt_id: JSON.parse(m).data.prompt_id, node_id: "6", node_type: "VAEDecode", exception_message: "blocked on purpose", executed: [] } }));
    });
  }));
  await node("Sampler", p).getByRole("spinbutton", { name: "steps" }).click();
  await p.keyboard.type("1500");
  await p.keyboard.press("Control+Enter");
  await toast("blocked on purpose", p);
  await node("Decode", p).locator(".problem", { hasText: "blocked on purpose" }).waitFor();
  const first = Number((await p.locator(".state", { hasText: /of 1500/ }).innerText()).match(/(\d+) of 1500/)[1]);
  await p.waitForFunction((n) => Number(document.querySelector(".state").innerText.match(/(\d+) of 1500/)?.[1]) > n, first);
  await p.locator(".node.running[aria-label=Sampler]").waitFor();
  await p.keyboard.press("Control+Alt+Enter");
  await toast("Cancelled", p);
  await idle(p);
  await p.context().close();
});

test("all kinds of models are listed and searched; one clicked becomes its loader", async () => {
  for (const [kind, name] of [["checkpoints", "a/paint.safetensors"], ["loras", "paint.safetensors"], ["controlnet", "canny.safetensors"], ["vae", "soft.safetensors"], ["upscale_models", "sharp.safetensors"]]) {
    mkdirSync(join(server.base, "models", kind, "a"), { recursive: true });
    writeFileSync(join(server.base, "models", kind, name), Buffer.alloc(2 << 20));
  }
  await page.keyboard.press("r"); // reads the nodes and their lists again
  await toast("read again");
  await page.keyboard.press("m");
  for (const kind of ["checkpoints", "loras", "controlnet", "vae", "upscale_models"]) await page.locator(".models summary", { hasText: kind }).waitFor();
  await page.getByLabel("Search models").fill("paint");
  await page.locator(".models li", { hasText: "a/paint.safetensors" }).waitFor();
  assert.equal(await page.locator(".models li").count(), 2);
  await shot("31-models");
  await page.locator(".models li button").last().click();
  await toast("No node loads paint.safetensors"); // graphrun has no loader of loras
  await page.locator(".models li button").first().click();
  const doc = await saved();
  assert.deepEqual(doc.nodes.filter((n) => n.type === "CheckpointLoaderSimple").map((n) => n.widgets_values[0]), ["a/paint.safetensors"]);
});

test("nothing is asked of other machines, and nothing went wrong unseen", () => {
  assert.deepEqual(outside, []);
  assert.deepEqual(complaints, []);
});
