// Starts graphrun with its demo model on a free port, and a browser; everything lies in a temporary folder.
// FRONT names a built page to test in place of the binary's own.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const folder = process.env.SCREENSHOTS || mkdtempSync(join(tmpdir(), "graphrun-editor-"));
mkdirSync(folder, { recursive: true });

export async function serve(binary, ...flags) {
  const base = mkdtempSync(join(tmpdir(), "graphrun-serve-"));
  const server = spawn(binary, ["serve", "--port", "0", "--base-directory", base, ...(process.env.FRONT ? ["--front-end-root", process.env.FRONT] : []), ...flags], { stdio: ["ignore", "ignore", "pipe"] });
  const address = await new Promise((resolve, reject) => {
    let log = "";
    server.stderr.on("data", (d) => {
      log += d;
      const m = log.match(/url=(http:\S+)/);
      if (m) resolve(m[1]);
    });
    server.on("exit", (code) => reject(new Error(`serve ended with ${code}: ${log}`)));
  });
  return { address, base, stop: () => new Promise((done) => { server.removeAllListeners("exit"); server.on("exit", done); server.kill(); }) };
}

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium", headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

export const binary = process.env.GRAPHRUN;
assert.ok(binary, "GRAPHRUN must name the graphrun binary");

let server, browser, page;
export const png1 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const outside = [], complaints = [];

export async function begin() {
  server = await serve(binary);
  browser = await launch();
  page = await fresh();
  console.log(`screenshots: ${folder}`);
  return { server, browser, page };
}

export async function end() {
  await browser?.close();
  await server?.stop();
}

/** fresh is a page of its own that shows the demo. */
export async function fresh(options = {}, prepare = async () => {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 860 }, colorScheme: "dark", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("request", (r) => { if (!r.url().startsWith(server.address) && !/^(blob|data):/.test(r.url())) outside.push(r.url()); });
  page.on("pageerror", (e) => complaints.push(String(e.stack)));
  page.on("console", (m) => { if (m.type() === "error" && !/status of 400/.test(m.text())) complaints.push(m.text()); });
  await prepare(page);
  await page.goto(server.address);
  await page.locator("article[aria-label=Save]").waitFor();
  await page.locator("article[aria-label=Sampler] .number").first().waitFor();
  await page.waitForTimeout(250); // the canvas fits the graph
  return page;
}

export const shot = (name, p = page) => p.screenshot({ path: join(folder, name + ".png") });
export const node = (title, p = page) => p.locator(`article[aria-label="${title}"]`);
export const socket = (title, label, p = page) => node(title, p).locator(`.socket[aria-label^="${label},"]`);
export const edges = (p = page) => p.locator(".react-flow__edge").count();
export const saved = (p = page) => p.waitForTimeout(400).then(() => p.evaluate(() => JSON.parse(localStorage.getItem("graphrun.workflow"))));
export const toast = (text, p = page) => p.locator(".toasts p", { hasText: text }).first().waitFor({ timeout: 20000 });
export async function drag(from, to, p = page) {
  const a = await from.boundingBox(), b = to.boundingBox ? await to.boundingBox() : { ...to, width: 0, height: 0 };
  await p.mouse.move(a.x + a.width / 2, a.y + a.height / 2);
  await p.mouse.down();
  await p.mouse.move((a.x + b.x) / 2, (a.y + b.y) / 2, { steps: 4 });
  await p.mouse.move(b.x + b.width / 2, b.y + b.height / 2, { steps: 6 });
  await p.mouse.up();
}
export const idle = async (p = page) => p.locator(".cancel").waitFor({ state: "detached", timeout: 30000 });

export async function drop(bytes, name, p = page, type = "image/png") {
  const data = await p.evaluateHandle(([b, name, type]) => {
    const d = new DataTransfer();
    d.items.add(new File([Uint8Array.from(atob(b), (c) => c.charCodeAt(0))], name, { type }));
    return d;
  }, [bytes.toString("base64"), name, type]);
  await p.dispatchEvent(".react-flow__pane", "drop", { dataTransfer: data, clientX: 300, clientY: 700 });
}
