// Starts graphrun with its demo model on a free port, and a browser; everything lies in a temporary folder.
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const folder = process.env.SCREENSHOTS || mkdtempSync(join(tmpdir(), "graphrun-editor-"));
mkdirSync(folder, { recursive: true });

export async function serve(binary) {
  const base = mkdtempSync(join(tmpdir(), "graphrun-serve-"));
  const server = spawn(binary, ["serve", "--port", "0", "--base-directory", base], { stdio: ["ignore", "ignore", "pipe"] });
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
